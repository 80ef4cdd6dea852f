"""The member x time matrix: a row for each institution in order of spread, a cell for each stretch of time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

from dashboard.language import say
from dashboard.spread import STRIP_ROWS, STRIP_WIDTH, Bar, shade, strip
from dashboard.wording import MINUTE, clock, day_and_clock, duration, safe
from pipeline.correlate.matrix import STEPS
from schemas.alert import Alert, Evidence, MemberHit
from schemas.times import from_rfc3339

MOST_COLUMNS: Final = 40
"""A document with more is not drawn as a matrix; the pipeline writes at most 25."""
MOST_WIDTHS: Final = 3
"""Widths of columns to choose from."""
MOST_LABELS: Final = 8
"""Labels of the axis, at most."""

Silent = Callable[[str, int, int], bool]
"""Member, start, end (ms): whether nothing is known of it in between."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One institution in one stretch of time."""

    text: str
    css: str
    """`z`: looked, found none; `hatch`: no data; `m1` to `m5`: so many; `mt`: the hit that decided."""
    label: str
    """What a screen reader says."""
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Column:
    """One stretch of time."""

    label: str
    shown: bool


@dataclass(frozen=True, slots=True)
class Grid:
    """Everything the matrix draws; rows in the order of the alert's members."""

    start: int
    end: int
    step: str
    """Width of a column, as people say it."""
    columns: list[Column]
    rows: list[list[Cell]]
    most: int
    hatched: bool


def grid(alert: Alert, names: Mapping[str, str], zone: ZoneInfo, now: int, silent: Silent) -> Grid | None:
    """The matrix; None if the alert tells no counts by time.

    Args:
        alert: as it stands in the index.
        names: member id -> institution's name.
        zone: for the labels of the axis.
        now: ms since 1970.
        silent: whether an institution could not be heard.
    """
    body = alert.jointsoc
    step, width = body.column_ms, max((len(member.counts) for member in body.members), default=0)
    if step <= 0 or not 1 < width <= MOST_COLUMNS:
        return None
    start = from_rfc3339(alert.event.start) // step * step
    most = max((count for member in body.members for count in member.counts), default=1)
    every = next(n for n in (1, 2, 3, 5, 6, 10, MOST_COLUMNS) if width / n <= MOST_LABELS)
    columns = [
        Column(_label(start + n * step, step, zone, now), n % every == 0 and (n == 0 or width - n > 1))
        for n in range(width)
    ]
    rows = [
        [_cell(member, n, start + n * step, step, most, alert, names, zone, silent) for n in range(width)]
        for member in body.members
    ]
    hatched = any(cell.css == "hatch" for row in rows for cell in row)
    return Grid(start, start + width * step, duration(step), columns, rows, most, hatched)


def widths_of(alert: Alert) -> list[int]:
    """How wide columns may be, ms: as the alert tells them, and wider as long as two or more are left."""
    own, start = alert.jointsoc.column_ms, from_rfc3339(alert.event.start)
    end = start + own * (max((len(member.counts) for member in alert.jointsoc.members), default=0) - 1)
    wider = (step for step in STEPS if own and step > own and step % own == 0 and end // step > start // step)
    return [own, *islice(wider, MOST_WIDTHS - 1)]


def widened(alert: Alert, step: int) -> Alert:
    """The same alert with wider columns, still aligned to the epoch.

    Args:
        alert: as it stands in the index.
        step: one of `widths_of(alert)`.
    """
    own = alert.jointsoc.column_ms
    if step == own:
        return alert
    joined = step // own
    lead = from_rfc3339(alert.event.start) // own % joined
    wide = alert.model_copy(deep=True)
    wide.jointsoc.column_ms = step
    for member in wide.jointsoc.members:
        counts = [0] * lead + member.counts
        member.counts = [sum(counts[at : at + joined]) for at in range(0, len(counts), joined)]
    return wide


DECIDED: Final = 6
"""The shade of the hit that decided, in the mini drawing."""


def mini(alert: Alert) -> list[Bar]:
    """The matrix in the queue: a bar for each cell with hits of the first six institutions."""
    body = alert.jointsoc
    members, step = body.members[:STRIP_ROWS], body.column_ms
    width = max((len(member.counts) for member in members), default=0)
    if step <= 0 or not 1 < width <= MOST_COLUMNS:
        return strip(body.members)
    start = from_rfc3339(alert.event.start) // step * step
    most = max(count for member in members for count in member.counts) or 1
    cell = STRIP_WIDTH / width
    bars: list[Bar] = []
    for row, member in enumerate(members):
        own = [item for item in body.evidence if item.member == member.id]
        for column, count in enumerate(member.counts):
            if count:
                within = [item for item in own if _is_in(item, start + column * step, step)]
                how = DECIDED if _decided(alert, within) else shade(count, most)
                bars.append((round(column * cell, 1), row * 4, round(cell - 0.8, 1), how))
    return bars


def _cell(
    member: MemberHit,
    column: int,
    start: int,
    step: int,
    most: int,
    alert: Alert,
    names: Mapping[str, str],
    zone: ZoneInfo,
    silent: Silent,
) -> Cell:
    count = member.counts[column] if column < len(member.counts) else 0
    within = [item for item in alert.jointsoc.evidence if item.member == member.id and _is_in(item, start, step)]
    name, at = names.get(member.id, safe(member.id, 60)), clock(start, zone, seconds=step < MINUTE)
    if count == 0:
        if silent(member.id, start, start + step):
            return Cell("", "hatch", say("{name}, {time}: no data", name=name, time=at), start, start + step)
        return Cell("", "z", say("{name}, {time}: none", name=name, time=at), start, start + step)
    css = f"m{shade(count, most)}"
    if start <= from_rfc3339(member.first_seen) < start + step:
        css += " first"
    label = say("{name}, {time}: {hits} hits", name=name, time=at, hits=f"{count:,}")
    if _decided(alert, within):
        css, label = "mt", f"{label}, {safe(within[-1].rule[-1], 80)}"
    return Cell(f"{count:,}", css, label, start, start + step)


def _decided(alert: Alert, within: Sequence[Evidence]) -> bool:
    """Whether the last satisfied instant lies here, and is of another kind than what came first."""
    first = next((item.rule[-1] for item in alert.jointsoc.evidence if item.rule), "")
    return any(item.time == alert.timestamp and item.rule and item.rule[-1] != first for item in within)


def _is_in(item: Evidence, start: int, step: int) -> bool:
    return start <= from_rfc3339(item.time) < start + step


def _label(moment: int, step: int, zone: ZoneInfo, now: int) -> str:
    if step >= 3_600_000:
        return day_and_clock(moment, zone, now)
    return clock(moment, zone, seconds=step < MINUTE)
