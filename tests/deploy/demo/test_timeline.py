"""The whole demo without servers: native lines, the forwarders' mappings, detection, correlation."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from heapq import merge
from itertools import takewhile

import pytest

from connectors.mapping.compiled import CompiledMapping, Surroundings
from connectors.mapping.library import MappingFile, find_mapping
from connectors.pseudonyms import Pseudonyms
from deploy.demo.background import background
from deploy.demo.forwarders import MAPPINGS
from deploy.demo.institutions import LOGS, Line, load_institutions
from deploy.demo.story import Play, cast_of, load_stories, stage
from deploy.demo.verdict import differences, growth
from pipeline.detect.load import load_documents
from pipeline.rulepack import RulePack, build_pack
from schemas.member import MemberRegistry
from tests.local_centre import HOUR, RULES, Arrival, LocalCentre, build_our_pack

INSTITUTIONS = load_institutions()
NOON = 1_795_435_200_000
HOURS = 2
FULL = "JSOC_FULL_BACKGROUND" in os.environ
"""Two hours at the demo's own rate instead of a quarter of it."""


def registry(*, separate: str = "") -> MemberRegistry:
    """The six; `separate` names one that is taken out of its corporate group."""
    members = (institution.member for institution in INSTITUTIONS)
    return MemberRegistry(
        members=tuple(one.model_copy(update={"group": ""}) if one.id == separate else one for one in members)
    )


@cache
def pack() -> RulePack:
    return build_our_pack(registry())


@cache
def rule_names() -> dict[str, str]:
    return {document.id: str(document.data.get("name")) for document in load_documents([RULES])}


@cache
def mapping_file(name: str) -> MappingFile:
    return find_mapping(name)


class Forwarders:
    """The six forwarders' mappings; counts what becomes of each line."""

    def __init__(self) -> None:
        self._mappings: dict[tuple[str, str], CompiledMapping] = {}
        for number, institution in enumerate(INSTITUTIONS):
            around = Surroundings(Pseudonyms(bytes([number + 1]) * 32, b"f" * 32), now=lambda: NOON)
            for log in LOGS:
                self._mappings[institution.id, log] = mapping_file(MAPPINGS[log]).compile(around)
        self.outcomes: Counter[tuple[str, str]] = Counter()

    def forward(self, lines: Iterable[Line]) -> Iterator[Arrival]:
        for number, line in enumerate(lines):
            outcome = self._mappings[line.member, line.log].apply(line.text.encode())
            self.outcomes[line.log, type(outcome).__name__] += 1
            if isinstance(outcome, dict):
                yield Arrival(line.at + 300, line.member, {**outcome, "event.id": f"{line.member}/{line.log}/{number}"})


def run(lines: Iterable[Line], *, batch_ms: int, rules: RulePack | None = None) -> tuple[LocalCentre, Forwarders]:
    centre, forwarders = LocalCentre(rules or pack()), Forwarders()
    batch: list[Arrival] = []
    centre.tick(NOON)
    for arrival in forwarders.forward(lines):
        if batch and arrival.appended - batch[0].appended > batch_ms:
            centre.take(batch)
            batch = []
        batch.append(arrival)
    centre.take(batch)
    return centre, forwarders


def everyday(seed: int, *, until: int, rate: float) -> Iterator[Line]:
    lines = background(INSTITUTIONS, seed=seed, start=NOON, rate=rate)
    return takewhile(lambda line: line.at < until, lines)


def play(run_number: int) -> Play:
    return stage(INSTITUTIONS, run=run_number, start=NOON + 2_000)


@pytest.mark.parametrize("run_number", [1, 2])
def test_the_stories_raise_exactly_the_alerts_they_promise(run_number: int) -> None:
    story = play(run_number)
    lines = merge(story.lines, everyday(run_number, until=story.end, rate=20.0))
    centre, forwarders = run(lines, batch_ms=200)
    assert not centre.dead
    assert not [count for (_, outcome), count in forwarders.outcomes.items() if outcome == "Refused"]
    assert differences(story.expected, growth(centre.standing(), {}), rule_names()) == []


def test_once_settled_the_same_alerts_stand() -> None:
    story = play(5)
    centre, _ = run(story.lines, batch_ms=200)
    centre.settle()
    assert differences(story.expected, growth(centre.standing(), {}), rule_names()) == []
    assert {alert.jointsoc.alert.state for alert in centre.standing()} == {"settled"}


@pytest.mark.parametrize(
    ("story", "rules", "alert"),
    [
        ("in-house-shell", lambda: build_our_pack(registry(separate="aurora-securities")), "web_shell_spread"),
        ("two-banks", lambda: build_our_pack(registry(separate="aurora-securities")), "ssh_guessing_at_many"),
        (
            "own-scanner",
            lambda: build_pack([RULES / "detections", RULES / "correlations"], registry()),
            "web_scan_of_many",
        ),
    ],
)
def test_a_decoy_would_alert_but_for_its_reason(story: str, rules: Callable[[], RulePack], alert: str) -> None:
    (decoy,) = [number for number, one in enumerate(load_stories()) if one.id == story]
    address = cast_of(load_stories(), decoy, 7).address
    digest = cast_of(load_stories(), decoy, 7).sha256
    lines = [line for line in play(7).lines if address in line.text or digest in line.text.lower()]
    kept, _ = run(lines, batch_ms=200)
    assert kept.standing() == []
    loosened, _ = run(lines, batch_ms=200, rules=rules())
    assert [rule_names()[found.rule.uuid] for found in loosened.standing()] == [alert]


def test_every_decoy_is_proven_to_be_one() -> None:
    assert {story.id for story in load_stories() if not story.expected} == {
        "in-house-shell",
        "two-banks",
        "own-scanner",
    }


def test_hours_of_everyday_traffic_raise_no_alert() -> None:
    lines = everyday(11, until=NOON + HOURS * HOUR, rate=20.0 if FULL else 5.0)
    centre, forwarders = run(lines, batch_ms=30_000)
    centre.settle()
    assert centre.standing() == []
    assert not centre.dead
    assert not [count for (_, outcome), count in forwarders.outcomes.items() if outcome == "Refused"]
    assert forwarders.outcomes["portal", "dict"] > 1_000
