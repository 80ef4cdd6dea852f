"""What the operations board draws: latency and volume over a day, and how fast people and institutions act.

Drawings have their own units: 760 wide, 160 high; only what is known is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Final
from zoneinfo import ZoneInfo

from dashboard.boards import GOALS, latencies, percentile, times_to, times_to_answer
from dashboard.language import say
from dashboard.member_view import DEADLINE_HOURS
from dashboard.vocabulary import label
from dashboard.wording import DAY, HOUR, MINUTE, clock, day, duration, tenths
from schemas.alert import Alert, Level
from schemas.finding import FindingDocument
from schemas.times import from_rfc3339
from schemas.workflow import Workflow

WIDTH: Final = 760
HEIGHT: Final = 160
PARTS: Final = 24
"""Of the span that the latency is drawn over."""
VOLUME_MINUTES: Final = 6 * 60
VOLUME_STEP: Final = 10
_PACED: Final[tuple[Level, ...]] = ("critical", "high")
_NOTIFY_GOALS: Final[Mapping[Level, int]] = {"critical": 30 * MINUTE, "high": 2 * HOUR}
_ANSWER_GOALS: Final[Mapping[Level, int]] = {level: hours * HOUR for level, hours in DEADLINE_HOURS.items()}
_LONGEST: Final = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines or columns over time, with the labels of both axes."""

    p50: str = ""
    """Points of a polyline."""
    p95: str = ""
    dots: tuple[tuple[float, float], ...] = ()
    columns: tuple[tuple[float, float], ...] = ()
    """x and height."""
    width: float = 0.0
    """Of one column."""
    unknown: float = 0.0
    """Up to which x nothing is known: drawn hatched, since unknown is not zero."""
    rows: tuple[tuple[float, str], ...] = ()
    """y and label."""
    ticks: tuple[tuple[float, str], ...] = ()
    """x and label."""
    goal: float | None = None
    last: str = ""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long something takes: the median, the middle 90 per cent, the goal; positions in per cent."""

    name: str
    number: int
    median: str
    at: float
    low: float
    high: float
    goal: float | None


def latency_chart(alerts: Sequence[Alert], now: int, zone: ZoneInfo, goal: int = 5_000, span: int = DAY) -> Chart:
    """From the last hit to the alert, for each part of the span (ms) that had alerts made on arrival."""
    points: list[tuple[float, int, int]] = []
    size = span // PARTS
    for part in range(PARTS):
        start = now - (PARTS - part) * size
        own = latencies(a for a in alerts if start <= from_rfc3339(a.event.created) < start + size)
        half, most = percentile(own, 50), percentile(own, 95)
        if half is not None and most is not None:
            points.append(((part + 0.5) * WIDTH / PARTS, half, most))
    top = max([goal * 6 // 5, *(most for _, _, most in points)])

    def y(value: int) -> float:
        return round(HEIGHT - HEIGHT * value / top, 1)

    rows = tuple((y(value), tenths(value)) for value in (0, top // 3, top * 2 // 3))
    told = clock if span <= DAY else day
    ticks = tuple((part * WIDTH / PARTS, told(now - (PARTS - part) * size, zone)) for part in range(0, PARTS + 1, 6))
    return Chart(
        p50=" ".join(f"{x:.1f},{y(half)}" for x, half, _ in points),
        p95=" ".join(f"{x:.1f},{y(most)}" for x, _, most in points),
        dots=tuple((round(x, 1), y(half)) for x, half, _ in points),
        rows=rows,
        ticks=ticks,
        goal=y(goal),
        last=tenths(points[-1][1]) if points else "",
    )


def volume_chart(lines_between: Callable[[int, int], int], known_since: int | None, now: int, zone: ZoneInfo) -> Chart:
    """Lines per second of all institutions, over the last hours, as far as they are remembered."""
    steps = VOLUME_MINUTES // VOLUME_STEP
    size = VOLUME_STEP * MINUTE
    rates = [lines_between(now - (steps - n) * size, now - (steps - n - 1) * size) * 1000 / size for n in range(steps)]
    top = max(rates) or 1.0
    digits = 0 if top >= 10 else 1
    width = WIDTH / steps
    return Chart(
        columns=tuple((round(n * width, 1), round(HEIGHT * rate / top, 1)) for n, rate in enumerate(rates)),
        width=round(width - 2, 1),
        unknown=round(WIDTH * min(1.0, max(0.0, 1 - (now - (known_since or now)) / (VOLUME_MINUTES * MINUTE))), 1),
        rows=tuple((round(HEIGHT - HEIGHT * part / 2, 1), f"{top * part / 2:,.{digits}f}") for part in (1, 2)),
        ticks=tuple((n * width, clock(now - (steps - n) * size, zone)) for n in range(0, steps + 1, 6)),
        last=f"{rates[-1]:,.{digits}f}",
    )


def paces(
    alerts: Sequence[Alert], workflows: Mapping[str, Workflow], findings: Sequence[FindingDocument]
) -> list[Pace]:
    """How long analysts take to acknowledge and to notify, and institutions to answer, by level."""
    own = {level: [alert for alert in alerts if alert.jointsoc.alert.level == level] for level in _PACED}
    told = {level: [one for one in findings if one.finding.level == level] for level in _PACED}
    kinds: tuple[tuple[str, Callable[[Level], list[int]], Mapping[Level, int]], ...] = (
        (say("Acknowledge"), lambda level: times_to("acknowledged", own[level], workflows), GOALS),
        (say("Notify"), lambda level: times_to("notified", own[level], workflows), _NOTIFY_GOALS),
        (say("Answer"), lambda level: times_to_answer(told[level]), _ANSWER_GOALS),
    )
    return [
        _pace(f"{name}{say(', ')}{label(level)}", times(level), goals[level])
        for name, times, goals in kinds
        for level in _PACED
    ]


def pace_ticks() -> list[tuple[float, str]]:
    """Labels of the scale that paces share: position in per cent, and the time there."""
    return [(_at(moment), duration(moment)) for moment in (5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR, _LONGEST)]


def _pace(name: str, times: Sequence[int], goal: int) -> Pace:
    median, low, high = (percentile(times, part) for part in (50, 5, 95))
    if median is None or low is None or high is None:
        return Pace(name, 0, "\N{EN DASH}", 0, 0, 0, _at(goal))
    return Pace(name, len(times), tenths(median), _at(median), _at(low), _at(high), _at(goal))


def _at(value: int) -> float:
    """Position on a scale that gives minutes as much room as hours."""
    return round(100 * log(1 + max(0, value) / MINUTE) / log(1 + _LONGEST / MINUTE), 1)
