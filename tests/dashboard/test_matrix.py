"""The matrix on the alert page and in the queue, and why an alert fired."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from dashboard.matrix import DECIDED, grid, mini, widened, widths_of
from dashboard.why import reasons
from pipeline.correlate.correlation import Comparison, Correlation, Reference
from schemas.times import from_rfc3339
from tests.alert_samples import MINUTE, NOON, make_alert

UTC = ZoneInfo("UTC")
TWO = (("aurora-bank", 0, 20, 30), ("kestrel-bank", 12, 40, 9))


def never(_member: str, _start: int, _end: int) -> bool:
    return False


def test_every_hit_stands_in_a_cell_and_first_and_deciding_cells_are_marked() -> None:
    alert = make_alert(spread=TWO, detections=("Log-in failed", "Transfer ordered"))
    drawn = grid(alert, {"aurora-bank": "Bank Aurora"}, UTC, NOON, never)
    assert drawn
    assert [sum(int(cell.text or 0) for cell in row) for row in drawn.rows] == [30, 9]
    assert [["first" in cell.css for cell in row].count(True) for row in drawn.rows] == [1, 1]
    assert [cell.css for row in drawn.rows for cell in row].count("mt") == 1
    assert drawn.rows[0][0].label.startswith("Bank Aurora, 12:00: ")
    assert drawn.start <= from_rfc3339(alert.event.start)
    assert drawn.end > from_rfc3339(alert.event.end)
    assert any(shade == DECIDED for *_, shade in mini(alert))


def test_no_data_is_hatched_and_not_drawn_as_none() -> None:
    drawn = grid(make_alert(spread=TWO), {}, UTC, NOON, lambda member, _start, _end: member == "kestrel-bank")
    assert drawn
    assert {cell.css for cell in drawn.rows[0] if not cell.text} == {"z"}
    assert {cell.css for cell in drawn.rows[1] if not cell.text} == {"hatch"}


def test_an_alert_without_counts_by_time_has_bars_instead() -> None:
    alert = make_alert(spread=TWO)
    alert.jointsoc.column_ms = 0
    assert grid(alert, {}, UTC, NOON, never) is None
    assert len(mini(alert)) == 2


def test_columns_are_joined_to_wider_ones_and_no_hit_is_lost() -> None:
    alert = make_alert(spread=(("aurora-bank", 0, 50, 300), ("kestrel-bank", 22, 71, 99)), start=NOON + 4 * MINUTE)
    assert widths_of(alert) == [5 * MINUTE, 15 * MINUTE, 60 * MINUTE]
    for width, columns in zip(widths_of(alert), (16, 6, 2), strict=True):
        drawn = grid(widened(alert, width), {}, UTC, NOON, never)
        assert drawn
        assert (drawn.start % width, len(drawn.columns)) == (0, columns)
        assert [sum(int(cell.text or 0) for cell in row) for row in drawn.rows] == [300, 99]
        for member, row in zip(alert.jointsoc.members, drawn.rows, strict=True):
            assert next(cell for cell in row if cell.text).start == from_rfc3339(member.first_seen) // width * width
    assert widths_of(make_alert(spread=(("aurora-bank", 0, 0, 1),))) == [1000]


def test_a_forged_document_with_endless_columns_is_not_drawn() -> None:
    alert = make_alert(spread=TWO)
    alert.jointsoc.members[0].counts = [1] * 100_000
    assert grid(alert, {}, UTC, NOON, never) is None


def test_each_condition_is_told_with_the_value_that_met_it() -> None:
    rule = Correlation(
        id="a", fingerprint="f", title="A", kind="event_count", references=(Reference("d", "Log-in failed"),),
        timespan=60 * MINUTE, suppress=MINUTE, comparisons=(Comparison("gte", 20),), min_organizations=2,
    )  # fmt: skip
    told = {r.condition: r.value for r in reasons(rule, make_alert(spread=TWO), {"kestrel-bank": "Kestrel Bank"}, UTC)}
    assert told["The same source.ip in every hit"] == "203.0.113.77"
    assert told["Counted within 1 h"] == "Log-in failed"
    assert told["Hits ≥ 20"] == "39"
    assert told["At 2 corporate groups or more"] == "2 reached; this many at 12:12:00 with Kestrel Bank"
