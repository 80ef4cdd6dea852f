"""SigmaHQ's rules and regression cases, where the corpora lie beside the project."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import yaml

from pipeline.detect.compile import Compiled, compile_detections
from pipeline.detect.evaluate import Detector
from pipeline.detect.load import load_documents
from pipeline.detect.plain import compile_test
from pipeline.detect.plan import LogSource
from pipeline.detect.records import read_file, read_stream
from pipeline.detect.routing import applies, names_of
from pipeline.detect.view import EventView
from schemas.event import Fields
from schemas.logsource import FIELDS, Entry, derive_logsource, load_table
from tests.pipeline.detect.matching_events import as_windows_logs_it, matching_event

SIGMAHQ = Path(__file__).parents[4] / "shared" / "corpora" / "sigmahq"
LANES = SIGMAHQ.parent / "lanes"
CASES = sorted((SIGMAHQ / "regression_data").glob("**/info.yml"))
RULES = 3_780
PLACEHOLDER_RULES = 25

pytestmark = pytest.mark.skipif(not SIGMAHQ.is_dir(), reason="the SigmaHQ corpus is not beside the project")


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return compile_detections(load_documents(sorted(SIGMAHQ.glob("rules*"))))


@pytest.fixture(scope="module")
def detector(compiled: Compiled) -> Detector:
    return Detector(compiled.plans)


def recorded(case: Path, suffix: str) -> list[Fields]:
    """The events of a case; raw text logs are not events."""
    found = []
    for file in sorted(case.parent.glob(f"*{suffix}")):
        for record in read_file(file):
            assert record.fields is not None, f"{file}:{record.number}: {record.problem}"
            derive_logsource(record.fields)
            found.append(record.fields)
    return found


def test_every_active_rule_loads_except_those_that_wait_for_placeholders(compiled: Compiled) -> None:
    assert len(compiled.plans) == RULES - PLACEHOLDER_RULES
    assert len(compiled.problems) == PLACEHOLDER_RULES
    assert all("has no values" in problem.what and ".yml:" in problem.where for problem in compiled.problems)


def test_every_rule_keeps_author_and_source(compiled: Compiled) -> None:
    assert all(plan.author and plan.source.endswith((".yml:1", ".yml:2", ".yml:3")) for plan in compiled.plans)


@pytest.mark.parametrize("suffix", [".json", ".evtx"])
def test_every_regression_case_matches_its_rule(detector: Detector, suffix: str) -> None:
    if suffix == ".evtx":
        pytest.importorskip("evtx", reason="the evtx package is not installed")
    indexes = {plan.id: index for index, plan in enumerate(detector.plans)}
    missed = []
    for case in CASES:
        events = recorded(case, suffix)
        rule = yaml.safe_load(case.read_text(encoding="utf-8"))["rule_metadata"][0]["id"]
        if events and not any(indexes[rule] in detector.match(fields) for fields in events):
            missed.append(f"{case.parent.name} {rule}")
    assert not missed
    assert len(CASES) > 100


@pytest.mark.parametrize("length", [4096, 5000, 60_000])
def test_an_evtx_file_cut_short_is_told(tmp_path: Path, length: int) -> None:
    pytest.importorskip("evtx", reason="the evtx package is not installed")
    whole = next((SIGMAHQ / "regression_data").glob("**/*.evtx"))
    assert all(record.fields is not None for record in read_file(whole))
    (cut := tmp_path / "cut.evtx").write_bytes(whole.read_bytes()[:length])
    assert [record.problem[:29] for record in read_file(cut)] == ["the EVTX file is cut short: a"]


def test_the_fast_engine_agrees_with_the_plain_one_on_real_events(detector: Detector) -> None:
    plain = [compile_test(plan.expression) for plan in detector.plans]
    for case in CASES[::12]:
        for fields in recorded(case, ".json"):
            view = EventView(fields)
            expected = tuple(index for index in detector.routed_rules(fields) if plain[index](view))
            assert detector.match(fields) == detector.match(fields) == expected


def reach(entry: Entry) -> tuple[set[str], set[str], set[str]]:
    """All names an event of an entry can get."""
    product, category, service = map(set, entry.names)
    for further in (one for choices in entry.refine.values() for one in choices.values()):
        for known, more in zip((product, category, service), reach(further), strict=True):
            known |= more
    return product, category, service


def test_some_entry_of_the_log_source_table_reaches_every_rule_but_for_a_named_rest(compiled: Compiled) -> None:
    table = load_table()
    reached = list(map(reach, (*table.windows.values(), *table.datasets.values(), *table.modules.values())))
    unreachable = {
        plan.logsource
        for plan in compiled.plans
        if not any(
            all(name is None or name in known for name, known in zip(plan.logsource.attributes(), names, strict=True))
            for names in reached
        )
    }
    # A file event of the firewall's own system, which PAN-OS does not log; a member states this log source itself.
    assert unreachable == {LogSource("paloalto", "file_event", "globalprotect")}


def homes(logsource: LogSource) -> Iterator[tuple[str, int, Fields]]:
    """Channel, event code and further fields of every entry of the table that an event of this log source may have."""
    for (channel, code), entry in load_table().windows.items():
        for refined in [{}, *({field: value} for field, choices in entry.refine.items() for value in choices)]:
            stated: Fields = {"Channel": channel, "EventID": int(code or 1), **refined}
            derive_logsource(stated)
            if applies(logsource, names_of(stated)) and not any(name.startswith("winlog.") for name in refined):
                yield channel, int(code or 1), refined


def test_rules_of_every_windows_log_source_fire_on_events_made_from_their_conditions(detector: Detector) -> None:
    by_logsource: dict[LogSource, list[int]] = {}
    for index, plan in enumerate(detector.plans):
        if plan.logsource.product == "windows":
            by_logsource.setdefault(plan.logsource, []).append(index)
    made, missed = 0, []
    for logsource, indexes in by_logsource.items():
        for index in indexes if os.environ.get("JSOC_ORACLE") == "all" else indexes[:3]:
            fields = matching_event(detector.plans[index])
            if fields is None:
                continue  # texts that no joining of a condition's parts gives
            made += 1
            logged = (as_windows_logs_it(more | fields, channel, code) for channel, code, more in homes(logsource))
            lines = b"\n".join(map(orjson.dumps, logged))
            found = [record.fields for record in read_stream(io.BytesIO(lines))]
            if not any(one is not None and index in detector.match(one) for one in found):
                missed.append(f"{detector.plans[index].source} {logsource}")
    assert not missed
    assert made > 100


@pytest.mark.parametrize(
    ("lane", "sources"),
    [
        ("structured_windows", {("windows", "process_creation", None)}),
        ("sysmon_file_event", {("windows", "file_event", "sysmon")}),
        ("correlation", {("windows", "authentication", None)}),
        (
            "mixed_schema",
            {
                ("windows", "process_creation", None),
                ("linux", None, None),
                (None, "webserver", None),
                ("aws", None, "cloudtrail"),
            },
        ),
    ],
)
def test_events_that_name_their_log_source_plainly_are_routed(lane: str, sources: set[object]) -> None:
    found = set()
    for record in read_file(LANES / f"{lane}.ndjson.gz"):
        fields = record.fields or {}
        derive_logsource(fields)
        found.add(tuple(fields.get(field) for field in FIELDS))
    assert found == sources
