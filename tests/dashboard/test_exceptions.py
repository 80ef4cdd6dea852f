from __future__ import annotations

from pathlib import Path

import pytest

from dashboard.exceptions import FILE, Exceptions, Unfit, filters_of
from pipeline.detect.explain import explain
from pipeline.rulepack import RulePack, build_pack
from schemas.alert import Alert
from schemas.member import Member, MemberRegistry
from schemas.times import to_rfc3339
from tests.alert_samples import NOON, make_alert
from tests.dashboard.documents_double import DocumentsDouble

DETECTION = """\
title: Log-in failed
id: 11111111-1111-4111-8111-111111111111
name: login_failed
logsource: {product: portal}
detection:
  failed: {event.outcome: failure}
  condition: failed
---
title: Spray
id: 5b1c9d1e-0f6e-4a55-9b2e-2c1d6f6e0a01
correlation:
  type: event_count
  rules: [login_failed]
  group-by: [user.name]
  timespan: 1h
  condition: {gte: 2}
federation: {min_organizations: 2}
"""
DAY = 86_400_000


class Clock:
    now = NOON

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "a.yml").write_text(DETECTION)
    return folder


REGISTRY = MemberRegistry(members=(Member(id="a-bank", name="A"), Member(id="b-bank", name="B")))


def packed(*folders: Path) -> RulePack:
    return build_pack(folders, REGISTRY)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def exceptions(rules: Path, tmp_path: Path, clock: Clock) -> Exceptions:
    pack = packed(rules)
    return Exceptions(DocumentsDouble(), lambda: pack, tmp_path / "exceptions", clock)


def an_alert(user: str = "svc*scan\\er?") -> Alert:
    return make_alert(group_by={"user.name": user})


def hit(pack: RulePack, user: str, member: str = "a-bank") -> bool:
    event = {
        "event.outcome": "failure",
        "user.name": user,
        "organization.id": member,
        "jointsoc.logsource.product": "portal",
    }
    return explain(pack.detections[0], event).matched


def test_an_exception_in_force_becomes_a_filter_of_the_next_pack_until_it_expires(
    exceptions: Exceptions, rules: Path, tmp_path: Path, clock: Clock
) -> None:
    made = exceptions.propose(an_alert(), [], "mei", "our own scanner", 30)
    exceptions.write()
    assert (tmp_path / "exceptions" / FILE).read_text() == ""
    exceptions.decide(made.id, "in_force", "lead")
    exceptions.write()
    text = (tmp_path / "exceptions" / FILE).read_text()
    assert "our own scanner" in text
    assert "Owner: mei" in text
    assert made.expires in text
    pack = packed(rules, tmp_path / "exceptions")
    assert not hit(pack, "svc*scan\\er?")
    assert hit(pack, "svc-any-scan\\erX"), "wildcards of the value are not wildcards of the filter"
    clock.now += 30 * DAY
    exceptions.write()
    assert hit(packed(rules, tmp_path / "exceptions"), "svc*scan\\er?")


def test_an_exception_can_be_for_one_member_only(exceptions: Exceptions, rules: Path, tmp_path: Path) -> None:
    made = exceptions.propose(an_alert("kim"), ["a-bank"], "mei", "leave", 1)
    exceptions.decide(made.id, "in_force", "lead")
    exceptions.write()
    pack = packed(rules, tmp_path / "exceptions")
    assert not hit(pack, "kim", "a-bank")
    assert hit(pack, "kim", "b-bank")


def test_what_ended_leaves_the_next_pack_and_does_not_come_back(exceptions: Exceptions, tmp_path: Path) -> None:
    made = exceptions.propose(an_alert(), [], "mei", "x", 1)
    exceptions.decide(made.id, "in_force", "lead")
    exceptions.write()
    ended = exceptions.decide(made.id, "ended", "lead")
    assert (ended.state, ended.decided_by) == ("ended", "lead")
    exceptions.write()
    assert (tmp_path / "exceptions" / FILE).read_text() == ""
    with pytest.raises(Unfit, match="it is Ended"):
        exceptions.decide(made.id, "in_force", "lead")
    with pytest.raises(Unfit, match="no such"):
        exceptions.decide("x", "ended", "lead")


def test_what_no_filter_can_say_is_refused(exceptions: Exceptions) -> None:
    with pytest.raises(Unfit, match="no shared key"):
        exceptions.propose(make_alert(group_by={}), [], "mei", "x", 1)
    with pytest.raises(Unfit, match="1 to 366"):
        exceptions.propose(an_alert(), [], "mei", "x", 1000)
    gone = an_alert()
    gone.rule.uuid = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(Unfit, match="not in the rule pack"):
        exceptions.propose(gone, [], "mei", "x", 1)


def test_without_a_pack_nothing_is_proposed_or_written(tmp_path: Path) -> None:
    exceptions = Exceptions(DocumentsDouble(), lambda: None, tmp_path / "exceptions")
    exceptions.write()
    assert not (tmp_path / "exceptions").exists()
    with pytest.raises(Unfit, match="cannot be read"):
        exceptions.propose(an_alert(), [], "mei", "x", 1)


def test_filters_are_the_same_each_time_so_that_the_pack_is(exceptions: Exceptions, rules: Path) -> None:
    made = exceptions.propose(an_alert(), [], "mei", "x", 1)
    assert filters_of(made, packed(rules)) == filters_of(made, packed(rules))
    assert made.expires == to_rfc3339(NOON + DAY)
