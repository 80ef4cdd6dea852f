from __future__ import annotations

from typing import Any

from deploy.demo.story import ExpectedAlert
from deploy.demo.verdict import differences, growth
from schemas.alert import Alert
from tests.alert_samples import make_alert

SPREAD = (("aurora-bank", 0, 20, 12), ("aurora-securities", 3, 9, 4), ("kestrel-bank", 7, 27, 5))
RULE = make_alert().rule.uuid
NAMES = {RULE: "stuffing"}
EXPECTED = ExpectedAlert(
    rule="stuffing",
    level="high",
    group_by={"source.ip": "203.0.113.77"},
    members={"aurora-bank": 12, "aurora-securities": 4, "kestrel-bank": 5},
    groups=2,
)


def found(**changes: Any) -> Alert:
    return make_alert(**({"spread": SPREAD} | changes))


def wrong(alerts: list[Alert], expected: list[ExpectedAlert] | None = None) -> list[str]:
    expecting = [EXPECTED] if expected is None else expected
    return [difference.what for difference in differences(expecting, growth(alerts, {}), NAMES)]


def test_exactly_the_expected_alert_is_no_difference() -> None:
    assert wrong([found()]) == []


def test_an_alert_that_did_not_come_is_missing() -> None:
    (missing,) = differences([EXPECTED], [], NAMES)
    assert (missing.alert, missing.found) == ("stuffing source.ip=203.0.113.77", "none")


def test_an_alert_that_nobody_expects_is_a_difference() -> None:
    (unexpected,) = differences([], growth([found()], {}), NAMES)
    assert (unexpected.expected, unexpected.found) == ("none", found().message)


def test_another_key_is_another_alert() -> None:
    assert wrong([found(group_by={"source.ip": "203.0.113.78"})]) == ["alert", "alert"]


def test_the_same_alert_twice_is_one_too_many() -> None:
    assert wrong([found(), found(name="again")]) == ["alert"]


def test_the_order_of_spread_counts() -> None:
    assert wrong([found(spread=(SPREAD[1], SPREAD[0], SPREAD[2]))]) == ["members in order"]


def test_the_number_of_events_counts() -> None:
    assert wrong([found(spread=(*SPREAD[:2], ("kestrel-bank", 7, 27, 6)))]) == ["events by member"]


def test_the_level_counts() -> None:
    assert wrong([found(level="low")]) == ["level"]


def test_corporate_groups_are_counted_once() -> None:
    assert wrong([found()], [EXPECTED.model_copy(update={"groups": 3})]) == ["corporate groups"]


def test_an_alert_that_reached_a_cap_is_not_as_expected() -> None:
    assert wrong([found(exact=False)]) == ["exact"]


def test_a_superseded_alert_is_none() -> None:
    assert wrong([found(), found(name="old", state="superseded", superseded_by="x")]) == []


def test_only_what_the_run_added_counts() -> None:
    before = found(spread=(("aurora-bank", 0, 2, 100), ("kestrel-bank", 1, 3, 7)))
    now = found(spread=(("aurora-bank", 0, 20, 112), ("kestrel-bank", 1, 27, 12), ("aurora-securities", 3, 9, 4)))
    (grown,) = growth([now], {before.id: before})
    assert grown.members == {"aurora-bank": 12, "kestrel-bank": 5, "aurora-securities": 4}
    assert (grown.events, grown.groups) == (21, 2)


def test_an_alert_that_did_not_grow_is_no_news() -> None:
    assert growth([found()], {found().id: found()}) == []
