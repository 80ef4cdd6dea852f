"""A rule pack is replaced while events flow: noticed, taken between two batches, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.jobs.active_pack import LOOK_SECONDS, PackFile
from pipeline.rulepack import RulePack, build_pack
from schemas.errors import ConfigError
from schemas.health import PackReport
from schemas.member import Member, MemberRegistry
from schemas.times import from_rfc3339, to_rfc3339
from tests.local_centre import Arrival, LocalCentre

PROBES = Path(__file__).parents[2] / "e2e" / "rules" / "probe.yml"
START = from_rfc3339("2026-11-23T10:00:00.000Z")
REGISTRY = MemberRegistry(members=tuple(Member(id=f"bank-{each}", name=each) for each in "abc"))
MORE = """
title: More
id: 5b1f4e0a-6a7e-4d55-9a5e-0000000000aa
status: test
logsource: {product: jointsoc, service: e2e}
detection: {selection: {event.action: added}, condition: selection}
level: low
federation: {alert: true}
"""


class Clock:
    """Seconds that pass when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def small() -> RulePack:
    return build_pack([PROBES], REGISTRY)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> RulePack:
    more = tmp_path_factory.mktemp("rules") / "more.yml"
    more.write_text(MORE)
    return build_pack([PROBES, more], REGISTRY)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path, small: RulePack) -> Path:
    small.write(tmp_path / "rules.pack")
    return tmp_path / "rules.pack"


def told(reports: list[PackReport]) -> list[tuple[str, bool]]:
    return [(report.version, bool(report.refused)) for report in reports]


def test_the_first_look_tells_what_is_in_force(file: Path, small: RulePack, clock: Clock) -> None:
    packs = PackFile(file, "detect", clock)
    (report,) = packs.look()
    assert (report.version, report.refused, report.detections) == (small.version, "", len(small.detections))
    assert packs.look() == []


def test_another_pack_is_in_force_at_the_next_look(file: Path, large: RulePack, clock: Clock) -> None:
    packs = PackFile(file, "detect", clock)
    packs.look()
    large.write(file)
    assert packs.look() == [], "it looks once a second, not at every batch"
    clock.now += LOOK_SECONDS
    assert told(packs.look()) == [(large.version, False)]
    assert packs.pack.version == large.version


def test_a_version_that_others_use_is_looked_for_at_once(file: Path, large: RulePack, clock: Clock) -> None:
    packs = PackFile(file, "correlate", clock)
    packs.look()
    large.write(file)
    assert told(packs.look(wanted=large.version)) == [(large.version, False)]


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"jointsoc-pack 1\n0000\n\x80", b"jointsoc-pack 99\n"])
def test_a_file_that_is_no_pack_is_refused_once_and_the_old_one_stays(
    file: Path, small: RulePack, large: RulePack, clock: Clock, damage: bytes
) -> None:
    packs = PackFile(file, "detect", clock)
    packs.look()
    draft = file.with_name("draft")
    draft.write_bytes(damage)
    draft.replace(file)
    clock.now += LOOK_SECONDS
    (report,) = packs.look()
    assert report.version == small.version
    assert str(file) in report.refused
    clock.now += LOOK_SECONDS
    assert packs.look() == []
    file.unlink()
    clock.now += LOOK_SECONDS
    assert packs.look() == []
    large.write(file)
    clock.now += LOOK_SECONDS
    assert told(packs.look()) == [(large.version, False)]


def test_without_any_pack_there_is_nothing_to_go_on_with(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the rule pack"):
        PackFile(tmp_path / "none.pack", "detect")


class Switch:
    """A pack source that a test changes."""

    def __init__(self, pack: RulePack) -> None:
        self.pack = pack

    def look(self, wanted: str = "") -> list[PackReport]:
        return []


def probe(second: int, member: str, action: str = "probe") -> Arrival:
    at = START + second * 1000
    fields = {
        "@timestamp": to_rfc3339(at),
        "event.id": f"{member}-{second}",
        "event.action": action,
        "source.ip": "203.0.113.9",
        "jointsoc.logsource.product": "jointsoc",
        "jointsoc.logsource.service": "e2e",
    }
    return Arrival(at, member, fields)


def rules_of(centre: LocalCentre) -> list[str]:
    return sorted(alert.rule.name for alert in centre.standing())


def test_a_swap_keeps_what_unchanged_rules_have_seen(small: RulePack, large: RulePack) -> None:
    detect, keyed = Switch(small), Switch(small)
    centre = LocalCentre(detect, keyed)
    centre.take([probe(1, "bank-a"), probe(2, "bank-b"), probe(3, "bank-c"), probe(3, "bank-a", "added")])
    detect.pack = large  # the detect stage is first, as it is in the job
    centre.take([probe(4, "bank-a"), probe(5, "bank-a", "added")])
    keyed.pack = large
    centre.take([probe(6, "bank-b"), probe(7, "bank-c")])
    centre.settle()
    assert rules_of(centre) == ["E2E probes at several institutions", "More"]
    (found,) = [alert for alert in centre.standing() if alert.jointsoc.groups == 3]
    assert found.jointsoc.events == 6
    assert found.jointsoc.pack == large.version


def test_hits_of_a_removed_rule_end_with_it(small: RulePack) -> None:
    without = RulePack(small.detections, [], REGISTRY)
    detect, keyed = Switch(small), Switch(small)
    centre = LocalCentre(detect, keyed)
    centre.take([probe(second, f"bank-{'abc'[second % 3]}") for second in range(5)])
    keyed.pack = without  # hits of the old pack are still on their way
    centre.take([probe(6, "bank-a")])
    detect.pack = without
    centre.take([probe(7, "bank-b")])
    centre.settle()
    assert rules_of(centre) == []


def test_a_new_member_counts_from_the_swap_on(small: RulePack) -> None:
    more = MemberRegistry(members=(*REGISTRY.members, Member(id="bank-d", name="d")))
    switch = Switch(small)
    centre = LocalCentre(switch, switch)
    centre.take([probe(1, "bank-d")])
    assert [letter.reason for letter in centre.dead] == ["unregistered-member"]
    switch.pack = RulePack(small.detections, small.correlations, more)
    centre.take([probe(2 + number, member) for number, member in enumerate(["bank-a", "bank-b", "bank-d"] * 2)])
    centre.settle()
    (found,) = centre.standing()
    assert [member.id for member in found.jointsoc.members] == ["bank-a", "bank-b", "bank-d"]
