"""The spread drawing: rows are institutions in order first seen, across is time. Mini in the queue, full on the page.

Only what an alert holds is drawn: each member's first and last hit, its number of hits, and the sampled evidence.
Between first and last hit the drawing claims nothing more, since the alert holds no counts per minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Final
from zoneinfo import ZoneInfo

from dashboard.wording import DAY, HOUR, MINUTE, SECOND, clock, day, safe, zone_offset
from schemas.alert import Evidence, MemberHit
from schemas.times import from_rfc3339

STRIP_ROWS: Final = 6
STRIP_WIDTH: Final = 156
SHADES: Final = 5
_LEAST_BAR: Final = 4.0
_STEPS: Final = tuple(
    number * unit
    for unit, numbers in ((SECOND, (1, 2, 5, 10, 15, 30)), (MINUTE, (1, 2, 5, 10, 15, 30)), (HOUR, (1, 2, 3, 6, 12)))
    for number in numbers
) + tuple(number * DAY for number in (1, 2, 7, 14, 30, 90, 365))
_MOST_TICKS: Final = 7

Bar = tuple[float, int, float, int]
"""x, y, width in the strip's own units; shade from 1 to 5."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A stretch of time, drawn from 0 to 100 per cent."""

    start: int
    end: int

    def at(self, moment: int) -> float:
        """Where a moment lies, in per cent."""
        return round(100.0 * (moment - self.start) / (self.end - self.start), 2)


@dataclass(frozen=True, slots=True)
class Tick:
    """One label of the time axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """One sampled hit on a member's lane; `kind` is the number of its detection, from 0."""

    at: float
    kind: int
    label: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One member's row."""

    member: MemberHit
    first: int
    start: float
    end: float
    shade: int
    marks: list[Mark]
    counted_above: bool
    """Another member of its corporate group came earlier, so this one does not count."""


@dataclass(frozen=True, slots=True)
class Step:
    """The number of corporate groups reached, from one moment to the next."""

    start: float
    end: float
    level: float
    """Height, from 0 (no group) to 1 (all that were reached)."""
    count: int
    member: MemberHit


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everything the alert page draws."""

    axis: Axis
    ticks: list[Tick]
    lanes: list[Lane]
    steps: list[Step]
    kinds: list[str]
    """Titles of the detections in evidence; a mark's kind is an index into it."""


def shade(count: int, most: int) -> int:
    """How strong a count is drawn: square-root steps from 1 to 5.

    >>> shade(1, 100), shade(30, 100), shade(100, 100), shade(1, 1)
    (1, 3, 5, 5)
    """
    scaled = isqrt(100 * 100 * max(count, 1) // max(most, 1))
    return max(1, min(SHADES, -(-scaled * SHADES // 100)))


def strip(members: Sequence[MemberHit]) -> list[Bar]:
    """The mini drawing for the queue: a bar from first to last hit for each of the first six members."""
    if not members:
        return []
    start = min(from_rfc3339(member.first_seen) for member in members)
    length = max(from_rfc3339(member.last_seen) for member in members) - start
    most = max(member.count for member in members)
    room = STRIP_WIDTH - _LEAST_BAR
    bars: list[Bar] = []
    for row, member in enumerate(members[:STRIP_ROWS]):
        first = (from_rfc3339(member.first_seen) - start) / length if length else 0.0
        last = (from_rfc3339(member.last_seen) - start) / length if length else 0.0
        width = round((last - first) * room + _LEAST_BAR, 1)
        bars.append((round(first * room, 1), row * 4, width, shade(member.count, most)))
    return bars


def timeline(
    members: Sequence[MemberHit], evidence: Sequence[Evidence], zone: ZoneInfo, window: tuple[int, int] | None = None
) -> Timeline:
    """The full drawing for the alert page.

    Args:
        members: in order of spread; at least one.
        evidence: the sampled hits.
        zone: for the labels of the axis.
        window: from when to when (ms) to draw; None: from the first to the last hit, with a margin.
    """
    firsts = [from_rfc3339(member.first_seen) for member in members]
    lasts = [from_rfc3339(member.last_seen) for member in members]
    start, end = min(firsts), max(lasts)
    pad = max((end - start) // 33, SECOND)
    axis = Axis(*window) if window else Axis(start - pad, end + pad)
    kinds = list(dict.fromkeys(title for item in evidence for title in item.rule))
    most = max(member.count for member in members)
    groups: set[str] = set()
    lanes: list[Lane] = []
    for member, first, last in zip(members, firsts, lasts, strict=True):
        marks = [_mark(item, axis, kinds, zone) for item in evidence if item.member == member.id]
        lanes.append(
            Lane(member, first, axis.at(first), axis.at(last), shade(member.count, most), marks, member.group in groups)
        )
        groups.add(member.group)
    return Timeline(axis, _ticks(axis, zone), lanes, _steps(lanes), [safe(title, 120) for title in kinds])


def _mark(item: Evidence, axis: Axis, kinds: list[str], zone: ZoneInfo) -> Mark:
    moment = from_rfc3339(item.time)
    kind = kinds.index(item.rule[-1]) if item.rule else 0
    return Mark(axis.at(moment), min(kind, 2), clock(moment, zone, seconds=True))


def _ticks(axis: Axis, zone: ZoneInfo) -> list[Tick]:
    length = axis.end - axis.start
    step = next((step for step in _STEPS if length // step < _MOST_TICKS), _STEPS[-1])
    offset = zone_offset(axis.start, zone)
    first = -(-(axis.start + offset) // step) * step - offset
    marks = range(first, axis.end + 1, step)
    return [Tick(axis.at(moment), _tick_label(moment, step, zone)) for moment in marks]


def _tick_label(moment: int, step: int, zone: ZoneInfo) -> str:
    if step >= DAY:
        return day(moment, zone)
    text = clock(moment, zone, seconds=step < MINUTE)
    return f"{day(moment, zone)} {text}" if step >= 12 * HOUR else text


def _steps(lanes: Sequence[Lane]) -> list[Step]:
    counting = [lane for lane in lanes if not lane.counted_above]
    ends = [lane.start for lane in counting[1:]] + [100.0]
    return [
        Step(lane.start, end, number / len(counting), number, lane.member)
        for number, (lane, end) in enumerate(zip(counting, ends, strict=True), start=1)
    ]
