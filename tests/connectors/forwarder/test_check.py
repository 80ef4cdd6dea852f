from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

import pytest

from connectors.forwarder.check import check_forwarder, load_forwarder
from connectors.forwarder.dry_run import newest_lines, try_lines
from connectors.forwarder.findings import Finding
from connectors.mapping.library import find_mapping
from schemas.errors import ConfigError
from tests.connectors.forwarder.bench import LOGOUT, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.log_logins(1, 2)
    return made


def faults(bench: Bench) -> list[Finding]:
    return [finding for finding in check_forwarder(bench.settings()) if finding.verdict == "fault"]


def test_a_sound_configuration_has_no_fault(bench: Bench) -> None:
    assert {finding.verdict for finding in check_forwarder(bench.settings())} == {"ok"}


def test_checking_leaves_nothing_behind(bench: Bench) -> None:
    before = sorted(bench.folder.iterdir())
    list(check_forwarder(bench.settings()))
    list(try_lines(bench.settings(), 5))
    assert sorted(bench.folder.iterdir()) == sorted({*before, bench.config})


def test_a_log_that_is_not_there_yet_is_a_warning(bench: Bench) -> None:
    bench.portal.unlink()
    assert [finding.what for finding in check_forwarder(bench.settings()) if finding.verdict == "warning"] == [
        "input portal"
    ]


def test_every_fault_is_told_not_only_the_first(bench: Bench) -> None:
    (bench.folder / "institution.secret").chmod(0o644)
    (bench.folder / "password.secret").unlink()
    bench.data["inputs"].append({"name": "two", "path": str(bench.portal), "mapping": "no-such"})
    found = faults(bench)
    assert [finding.what for finding in found] == ["password", "institution key", "input two", "mapping no-such"]
    assert "chmod 600" in found[1].detail


def test_a_customer_mapping_without_the_federation_key_is_a_fault(bench: Bench) -> None:
    del bench.data["keys"]["federation"]
    (finding,) = faults(bench)
    assert "needs the federation key" in finding.detail


def test_a_mapping_whose_sample_does_not_hold_is_a_fault_with_its_line(bench: Bench) -> None:
    own = bench.folder / "own.yml"
    shutil.copy(find_mapping("customer-portal").path, own)
    own.write_text(own.read_text(encoding="utf-8").replace("event.action: login", "event.action: log_in", 1))
    bench.data["inputs"][0]["mapping"] = str(own)
    assert faults(bench)
    assert all(finding.detail.startswith(f"{own}:") for finding in faults(bench))


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("member", "Kestrel Bank", "forwarder.yml:1: member: "),
        ("inputs", [], "inputs: "),
        ("heartbeat", 5, "heartbeat: "),
        ("internal_networks", ["10.0.0.1/8"], "internal_networks.0"),
    ],
)
def test_a_mistake_in_the_configuration_is_told_with_file_line_and_key(
    bench: Bench, key: str, value: object, told: str
) -> None:
    bench.data[key] = value
    with pytest.raises(ConfigError) as caught:
        bench.settings()
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"timezone": "Mars/Olympus"}, "time zone"),
        ({"path": None}, "path"),
        ({"type": "stdin"}, "Extra inputs"),
        ({"type": "tape"}, "one of file, backfill"),
        ({"name": "a b"}, "pattern"),
    ],
)
def test_a_mistake_in_an_input_is_told(bench: Bench, change: dict[str, object], told: str) -> None:
    bench.data["inputs"][0] |= change
    with pytest.raises(ConfigError, match=told):
        bench.settings()


def test_input_names_are_unique(bench: Bench) -> None:
    bench.data["inputs"].append(dict(bench.data["inputs"][0]))
    with pytest.raises(ConfigError, match="unique; repeated: portal"):
        bench.settings()


def test_a_dry_run_tries_the_newest_lines(bench: Bench) -> None:
    bench.log(LOGOUT + "no json\n")
    trials = list(try_lines(bench.settings(), 3))
    assert [type(trial.outcome).__name__ for trial in trials] == ["dict", "Dropped", "Refused"]
    assert trials[0].origins["user.hash"] == "hmac(federation, customer) of user or customer"


def test_the_newest_lines_of_a_large_file_are_whole(tmp_path: Path) -> None:
    log = tmp_path / "large.log"
    log.write_bytes(b"".join(b"line %07d\n" % number for number in range(500_000)) + b"partial")
    lines = newest_lines(log, 2)
    assert [line.raw for line in lines] == [b"line 0499998", b"line 0499999"]
    assert log.read_bytes()[lines[0].start : lines[0].end] == b"line 0499998\n"


def test_the_example_in_the_documentation_is_a_sound_configuration(bench: Bench) -> None:
    text = (Path(__file__).parents[3] / "docs" / "forwarder.md").read_text(encoding="utf-8")
    example = text[text.index("       member: kestrel-bank") : text.index("4. `jsoc forward check")]
    bench.config.write_text(textwrap.dedent(example), encoding="utf-8")
    assert [one.name for one in load_forwarder(bench.config).inputs] == ["web", "ssh", "windows"]
