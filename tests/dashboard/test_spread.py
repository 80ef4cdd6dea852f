from __future__ import annotations

import doctest
from types import ModuleType
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import alert_pages, rows, spread, wording
from dashboard.rows import facts_of, order_of, row_of
from dashboard.spread import STRIP_WIDTH, strip, timeline
from dashboard.triage import fresh
from dashboard.wording import DAY, MINUTE
from tests.alert_samples import NOON, make_alert

UTC = ZoneInfo("UTC")
TAIPEI = ZoneInfo("Asia/Taipei")
SIX = [("aurora-bank", 0, 18, 237), ("meridian-bank", 7, 25, 267), ("aurora-securities", 12, 26, 94),
       ("cobalt-bank", 19, 42, 318), ("harbor-securities", 32, 44, 48), ("kestrel-bank", 46, 70, 322)]  # fmt: skip


@pytest.mark.parametrize("module", [wording, spread, alert_pages, rows])
def test_the_examples_in_the_docstrings_hold(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


def test_the_strip_draws_at_most_six_members_and_keeps_the_order_of_spread() -> None:
    alert = make_alert(spread=[*SIX, ("orchid-mutual", 60, 61, 1)])
    bars = strip(alert.jointsoc.members)
    assert len(bars) == 6
    assert [bar[0] for bar in bars] == sorted(bar[0] for bar in bars)
    assert [bar[1] for bar in bars] == [0, 4, 8, 12, 16, 20]


@given(st.lists(st.tuples(st.floats(0, 5000), st.floats(0, 5000), st.integers(1, 10**6)), min_size=1, max_size=9))
def test_no_drawing_leaves_its_frame(raw: list[tuple[float, float, int]]) -> None:
    members = [(f"m{n}", a, a + b, count) for n, (a, b, count) in enumerate(sorted(raw))]
    alert = make_alert(spread=members)
    for x, _, width, shade in strip(alert.jointsoc.members):
        assert x >= 0
        assert x + width <= STRIP_WIDTH + 0.2
        assert 1 <= shade <= 5
    drawing = timeline(alert.jointsoc.members, alert.jointsoc.evidence, TAIPEI)
    places = [tick.at for tick in drawing.ticks] + [place for lane in drawing.lanes for place in (lane.start, lane.end)]
    assert all(0 <= place <= 100 for place in places)
    assert len(drawing.ticks) <= 8
    assert drawing.steps[-1].level == 1.0


def test_a_member_of_a_group_already_hit_makes_no_step() -> None:
    alert = make_alert(spread=SIX)
    drawing = timeline(alert.jointsoc.members, alert.jointsoc.evidence, UTC)
    assert [step.member.id for step in drawing.steps] == [
        "aurora-bank", "meridian-bank", "cobalt-bank", "harbor-securities", "kestrel-bank"]  # fmt: skip
    assert [lane.counted_above for lane in drawing.lanes] == [False, False, True, False, False, False]
    assert drawing.steps[-1].count == alert.jointsoc.groups
    order = order_of(alert.jointsoc.members, {"aurora-bank": "Bank Aurora"}, UTC)
    assert [item.counted_with for item in order] == ["", "", "Bank Aurora", "", "", ""]


def test_ticks_lie_on_round_times_of_the_chosen_zone() -> None:
    alert = make_alert(spread=SIX)
    labels = [tick.label for tick in timeline(alert.jointsoc.members, [], TAIPEI).ticks]
    assert labels == ["20:00", "20:15", "20:30", "20:45", "21:00"]
    long = make_alert(spread=[("aurora-bank", 0, 1, 1), ("meridian-bank", 3 * DAY / MINUTE, 3 * DAY / MINUTE, 1)])
    assert [tick.label for tick in timeline(long.jointsoc.members, [], TAIPEI).ticks] == [
        "24 Nov 00:00", "24 Nov 12:00", "25 Nov 00:00", "25 Nov 12:00", "26 Nov 00:00", "26 Nov 12:00"]  # fmt: skip


def test_marks_stand_where_their_events_were_and_tell_detections_apart() -> None:
    alert = make_alert(spread=SIX, detections=("Customer login failed", "Transfer ordered"))
    drawing = timeline(alert.jointsoc.members, alert.jointsoc.evidence, UTC)
    assert drawing.kinds == ["Customer login failed", "Transfer ordered"]
    last = drawing.lanes[-1].marks[-1]
    assert (last.kind, last.at) == (1, drawing.lanes[-1].end)
    assert sum(len(lane.marks) for lane in drawing.lanes) == len(alert.jointsoc.evidence)


def test_everything_in_one_instant_is_drawn_in_the_middle() -> None:
    alert = make_alert(spread=[("aurora-bank", 0, 0, 1)])
    drawing = timeline(alert.jointsoc.members, alert.jointsoc.evidence, UTC)
    assert drawing.lanes[0].start == drawing.lanes[0].end == 50.0


def test_a_row_tells_names_counts_and_times_as_an_analyst_reads_them() -> None:
    alert = make_alert(spread=SIX)
    row = row_of(alert, fresh(alert, alert.timestamp), {"aurora-bank": "Bank Aurora"}, TAIPEI, NOON + 2 * 60 * MINUTE)
    assert row.names == "Bank Aurora", "a second name would be cut"
    assert (row.more, row.members, row.hits, row.age) == ("+5", 6, "1,286", "1 h 10 m")
    assert row.when == "20:00\N{EN DASH}21:10"
    assert [item.lag for item in row.order[:3]] == ["", "+7 m", "+12 m"]
    assert row.groups == "5 corporate groups"


def test_another_day_is_told_with_its_date_and_an_estimate_as_one() -> None:
    alert = make_alert(spread=SIX, exact=False)
    row = row_of(alert, fresh(alert, alert.timestamp), {}, UTC, NOON + 3 * DAY)
    assert row.when.startswith("23 Nov 12:00")
    assert row.hits == "1,286+"
    assert ("Hits", "1,286+", "a cap was reached") in facts_of(alert, UTC, NOON)


def test_one_institution_has_no_spread_to_tell() -> None:
    labels = [label for label, *_ in facts_of(make_alert(spread=[("aurora-bank", 0, 0, 1)]), UTC, NOON)]
    assert labels == ["Institutions", "Hits", "First to last hit", "Last hit to alert"]
