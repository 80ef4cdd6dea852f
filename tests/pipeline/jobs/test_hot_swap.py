from __future__ import annotations

import gc
import weakref
from pathlib import Path
from textwrap import dedent

import pytest

from pipeline.detect.evaluate import Detector
from pipeline.jobs.active_pack import FixedPack
from pipeline.jobs.detect_stage import DetectStage
from pipeline.jobs.keyed_stage import KeyedStage
from pipeline.jobs.message import ShardBatch, address, encode
from pipeline.rulepack import RulePack, build_pack
from schemas.health import PackReport, PartitionAccount, ShardAccount, health_from_json
from schemas.member import Member, MemberRegistry
from schemas.times import from_rfc3339, to_rfc3339
from tests.local_centre import LATENESS, Arrival, LocalCentre, MemoryState
from tests.pipeline.jobs.test_detect_stage import line, record

NOON = from_rfc3339("2026-11-23T12:00:00.000Z")
MINUTE = 60_000


def registry(*names: str, group: str = "") -> MemberRegistry:
    return MemberRegistry(members=tuple(Member(id=name, name=name, group=group) for name in names))


BANKS = registry("ash-bank", "birch-bank", "cedar-bank")


def detection(number: int, action: str, *, alerts: bool = False) -> str:
    return dedent(
        f"""\
        title: {action.capitalize()}
        id: 5b1f4e0a-6a7e-4d55-9a5e-00000000000{number}
        name: {action}
        logsource: {{product: portal}}
        detection: {{sel: {{event.action: {action}}}, condition: sel}}
        """
    ) + ("federation: {alert: true}\n" if alerts else "")


def correlation(number: int, action: str, *, least: int = 3, groups: int = 1) -> str:
    return dedent(
        f"""\
        title: Many {action}
        id: 5b1f4e0a-6a7e-4d55-9a5e-00000000001{number}
        correlation:
          type: event_count
          rules: [{action}]
          group-by: [source.ip]
          timespan: 1h
          condition: {{gte: {least}}}
        federation: {{min_organizations: {groups}}}
        """
    )


PROBES = (detection(1, "probe"), correlation(1, "probe"))
LOGINS = (detection(2, "login"), correlation(2, "login"))


class Active:
    """The active pack, as the operator replaces it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "active" / "rules.pack"
        self.path.parent.mkdir()
        self._rules = folder / "rules.yml"

    def build(self, *rules: str, members: MemberRegistry = BANKS) -> RulePack:
        self._rules.write_text("---\n".join(rules))
        return build_pack([self._rules], members)

    def put(self, *rules: str, members: MemberRegistry = BANKS) -> str:
        pack = self.build(*rules, members=members)
        pack.write(self.path)
        return pack.version


@pytest.fixture
def active(tmp_path: Path) -> Active:
    found = Active(tmp_path)
    found.put(*PROBES, *LOGINS)
    return found


@pytest.fixture
def centre(active: Active) -> LocalCentre:
    return LocalCentre(active.path)


def events(
    action: str, minutes: range, members: tuple[str, ...] = ("ash-bank", "birch-bank", "cedar-bank")
) -> list[Arrival]:
    return [
        Arrival(
            NOON + minute * MINUTE,
            members[minute % len(members)],
            {
                "@timestamp": to_rfc3339(NOON + minute * MINUTE),
                "event.action": action,
                "source.ip": "203.0.113.7",
                "event.id": f"{action}-{minute}",
                "jointsoc.logsource.product": "portal",
            },
        )
        for minute in minutes
    ]


def told(centre: LocalCentre) -> dict[str, int]:
    """Title of each standing alert -> how many events it counts."""
    return {alert.rule.name: alert.jointsoc.events for alert in centre.standing()}


def accounted(centre: LocalCentre) -> tuple[int, int]:
    accounts = [message for message in centre.health.values() if isinstance(message, PartitionAccount)]
    return sum(account.lines for account in accounts), sum(account.evaluated for account in accounts)


def reports(centre: LocalCentre) -> dict[str, tuple[str, str]]:
    found = [message for message in centre.health.values() if isinstance(message, PackReport)]
    return {report.stage: (report.version, report.refused) for report in found}


def test_an_added_rule_counts_from_the_next_batch_and_nothing_is_lost_or_counted_twice(
    active: Active, centre: LocalCentre
) -> None:
    centre.take(events("probe", range(2)))
    version = active.put(*PROBES, *LOGINS, detection(3, "upload", alerts=True), correlation(3, "upload"))
    centre.take([*events("probe", range(2, 4)), *events("upload", range(2, 6))])
    centre.settle()
    assert told(centre) == {"Many probe": 4, "Many upload": 4, "Upload": 1}
    assert accounted(centre) == (8, 8)
    assert {alert.jointsoc.pack for alert in centre.standing()} == {version}


def test_an_unchanged_correlation_keeps_its_state_and_fires_once(active: Active, centre: LocalCentre) -> None:
    centre.take(events("probe", range(2)))
    assert told(centre) == {}
    active.put(*PROBES)
    centre.take(events("probe", range(2, 3)))
    assert told(centre) == {"Many probe": 3}


def test_swaps_that_concern_other_rules_change_no_alert(active: Active) -> None:
    calm, swapped = LocalCentre(active.build(*PROBES, *LOGINS)), LocalCentre(active.path)
    for minute in range(0, 200, 5):
        if minute % 20 == 0:
            active.put(*PROBES, *LOGINS, detection(3, f"unheard-{minute}"))
        for centre in (calm, swapped):
            centre.take([*events("probe", range(minute, minute + 3)), *events("login", range(minute, minute + 4))])
            centre.tick(NOON + (minute + 4) * MINUTE)
    for centre in (calm, swapped):
        centre.settle()

    def facts(centre: LocalCentre) -> list[object]:
        return [
            alert.model_copy(update={"jointsoc": alert.jointsoc.model_copy(update={"pack": ""})})
            for alert in centre.standing()
        ]

    assert len(facts(calm)) >= 2
    assert facts(calm) == facts(swapped)


def test_a_removed_correlation_loses_its_state(active: Active, centre: LocalCentre) -> None:
    centre.take([*events("probe", range(2)), *events("login", range(2))])
    active.put(*PROBES)
    centre.take(events("probe", range(2, 3)))
    active.put(*PROBES, *LOGINS)
    centre.take(events("login", range(3, 5)))
    assert told(centre) == {"Many probe": 3}, "the two log-ins before the removal no longer count"


def test_a_changed_correlation_starts_empty(active: Active, centre: LocalCentre) -> None:
    centre.take(events("probe", range(3)))
    active.put(*LOGINS, PROBES[0], correlation(1, "probe", least=4))
    centre.take(events("probe", range(3, 6)))
    assert told(centre) == {"Many probe": 3}, "the alert of the old meaning stands"
    centre.take(events("probe", range(6, 7)))
    assert [alert.jointsoc.events for alert in centre.standing()] == [3, 4]


def test_a_new_member_is_heard_and_new_groups_count_at_once(active: Active) -> None:
    rules = (PROBES[0], correlation(1, "probe", groups=2))
    one_group = registry("ash-bank", "birch-bank", group="one").members
    active.put(*rules, members=MemberRegistry(members=(*one_group, Member(id="cedar-bank", name="Cedar"))))
    centre = LocalCentre(active.path)
    pair = ("ash-bank", "birch-bank")
    centre.take(events("probe", range(4), pair))
    assert told(centre) == {}, "one corporate group"
    centre.take(events("probe", range(4, 5), ("dogwood-bank",)))
    assert [letter.reason for letter in centre.dead] == ["unregistered-member"]
    active.put(*rules, members=registry(*pair, "dogwood-bank"))
    centre.take(events("probe", range(5, 6), ("dogwood-bank",)))
    assert told(centre) == {"Many probe": 5}
    assert len(centre.dead) == 1


def test_what_new_groups_make_true_of_the_past_is_told_without_another_hit(active: Active) -> None:
    rules = (PROBES[0], correlation(1, "probe", groups=2))
    pair = registry("ash-bank", "birch-bank", group="one").members
    active.put(*rules, members=MemberRegistry(members=(*pair, Member(id="cedar-bank", name="Cedar"))))
    centre = LocalCentre(active.path)
    centre.take(events("probe", range(4), ("ash-bank", "birch-bank")))
    active.put(*rules)
    centre.tick(NOON + 5 * MINUTE)
    centre.settle()
    assert told(centre) == {"Many probe": 4}


@pytest.mark.parametrize("damage", [b"", b"not a pack", None])
def test_a_broken_pack_is_refused_once_and_the_old_one_stays(
    active: Active, centre: LocalCentre, damage: bytes | None
) -> None:
    version = read_version(active)
    centre.take(events("probe", range(2)))
    whole = active.path.read_bytes()
    active.path.write_bytes(whole[:-1] + b"\0" if damage is None else damage)
    centre.take(events("probe", range(2, 3)))
    assert told(centre) == {"Many probe": 3}
    assert reports(centre)["detect"][0] == version
    assert "rules build" in reports(centre)["detect"][1]
    assert reports(centre)["correlate"] == (version, ""), "it never takes what the detect stage has not"
    centre.health.clear()
    centre.take(events("probe", range(3, 4)))
    assert reports(centre) == {}, "said once"
    newer = active.put(*PROBES)
    centre.take(events("probe", range(4, 5)))
    assert reports(centre) == {"detect": (newer, ""), "correlate": (newer, "")}


def test_a_pack_whose_rules_do_not_compile_is_refused(
    active: Active, centre: LocalCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = read_version(active)
    active.put(*PROBES)

    def fails(plans: object) -> Detector:
        raise ValueError("a fault in the rule")

    with monkeypatch.context() as patched:
        patched.setattr("pipeline.jobs.detect_stage.Detector", fails)
        centre.take(events("probe", range(3)))
    assert told(centre) == {"Many probe": 3}
    assert reports(centre)["detect"] == (version, "ValueError: a fault in the rule")


def test_a_worker_that_starts_while_the_pack_is_broken_goes_on_with_the_last_one(
    active: Active, centre: LocalCentre
) -> None:
    version = read_version(active)
    centre.take(events("probe", range(2)))
    active.path.write_bytes(b"broken")
    centre.restart()
    centre.take(events("probe", range(2, 3)))
    assert told(centre) == {"Many probe": 3}
    assert reports(centre)["detect"][0] == version
    assert reports(centre)["detect"][1] != ""


def test_hits_that_an_older_pack_made_for_another_meaning_are_counted_and_not_used(active: Active) -> None:
    older = active.build(*PROBES)
    newer = active.build(PROBES[0], correlation(1, "probe", least=2))
    state = MemoryState()
    keyed = KeyedStage(FixedPack(newer), LATENESS, state)
    laggard = DetectStage(FixedPack(older), LATENESS)
    values = [line("probe", **{"jointsoc.logsource.product": "portal", "event.id": str(n)}) for n in range(3)]
    messages = laggard.process(record(value, n, "events.ash-bank") for n, value in enumerate(values))
    for message in messages:
        state.current = address(message)
        passings, report = keyed.process(state.current, encode(message))
        assert passings == []
        if isinstance(message, ShardBatch) and message.hits:
            assert report
            (told,) = keyed.report(state.current, 0)
            account = health_from_json(told.value)
            assert isinstance(account, ShardAccount)
            assert account.counters["outdated_hits"] == 3


def test_the_old_rules_are_freed(active: Active, centre: LocalCentre) -> None:
    old = weakref.ref(centre._detect._detector)
    active.put(*PROBES)
    centre.take(events("probe", range(1)))
    gc.collect()
    assert old() is None


def read_version(active: Active) -> str:
    return active.path.read_bytes().split(b"\n")[1].decode()
