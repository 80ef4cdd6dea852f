"""What the operations board draws: latency and volume over a day, and how fast people and institutions act.

Drawings have their own units: 760 wide, 160 high; only what is known is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Final
from zoneinfo import ZoneInfo

from dashboard.boards import GOALS, latencies, percentile, times_to
from dashboard.language import say
from dashboard.vocabulary import label
from dashboard.wording import HOUR, MINUTE, clock, tenths
from schemas.alert import Alert
from schemas.times import from_rfc3339
from schemas.workflow import Deed, Workflow

WIDTH: Final = 760
HEIGHT: Final = 160
HOURS: Final = 24
VOLUME_MINUTES: Final = 6 * 60
VOLUME_STEP: Final = 10
_NOTIFY_GOALS: Final = {"critical": 30 * MINUTE, "high": 2 * HOUR}
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


def latency_chart(alerts: Sequence[Alert], now: int, zone: ZoneInfo, goal: int = 5_000) -> Chart:
    """From the last hit to the alert, for each hour of the last day that had alerts made on arrival."""
    points: list[tuple[float, int, int]] = []
    for hour in range(HOURS):
        start = now - (HOURS - hour) * HOUR
        own = latencies(a for a in alerts if start <= from_rfc3339(a.event.created) < start + HOUR)
        half, most = percentile(own, 50), percentile(own, 95)
        if half is not None and most is not None:
            points.append(((hour + 0.5) * WIDTH / HOURS, half, most))
    top = max([goal * 6 // 5, *(most for _, _, most in points)])

    def y(value: int) -> float:
        return round(HEIGHT - HEIGHT * value / top, 1)

    rows = tuple((y(value), tenths(value)) for value in (0, top // 3, top * 2 // 3))
    ticks = tuple((hour * WIDTH / HOURS, clock(now - (HOURS - hour) * HOUR, zone)) for hour in range(0, HOURS + 1, 6))
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
    rates = [lines_between(now - (steps - n) * size, now - (steps - n - 1) * size) * 1000 // size for n in range(steps)]
    top = max(rates) or 1
    width = WIDTH / steps
    return Chart(
        columns=tuple((round(n * width, 1), round(HEIGHT * rate / top, 1)) for n, rate in enumerate(rates)),
        width=round(width - 2, 1),
        unknown=round(WIDTH * min(1.0, max(0.0, 1 - (now - (known_since or now)) / (VOLUME_MINUTES * MINUTE))), 1),
        rows=tuple((round(HEIGHT - HEIGHT * part / 2, 1), f"{top * part // 2:,}") for part in (1, 2)),
        ticks=tuple((n * width, clock(now - (steps - n) * size, zone)) for n in range(0, steps + 1, 6)),
        last=f"{rates[-1]:,}",
    )


def paces(alerts: Sequence[Alert], workflows: Mapping[str, Workflow]) -> list[Pace]:
    """How long analysts take to acknowledge and to notify, by level."""
    kinds: tuple[tuple[Deed, Mapping[str, int]], ...] = (("acknowledged", GOALS), ("notified", _NOTIFY_GOALS))
    found = []
    for deed, goals in kinds:
        for level in ("critical", "high"):
            own = [alert for alert in alerts if alert.jointsoc.alert.level == level]
            word = label(level)
            name = (
                say("Acknowledge, {level}", level=word)
                if deed == "acknowledged"
                else say("Notify, {level}", level=word)
            )
            found.append(_pace(name, times_to(deed, own, workflows), goals[level]))
    return found


def _pace(name: str, times: Sequence[int], goal: int) -> Pace:
    median, low, high = (percentile(times, part) for part in (50, 5, 95))
    if median is None or low is None or high is None:
        return Pace(name, 0, "\N{EN DASH}", 0, 0, 0, _at(goal))
    return Pace(name, len(times), tenths(median), _at(median), _at(low), _at(high), _at(goal))


def _at(value: int) -> float:
    """Position on a scale that gives minutes as much room as hours."""
    return round(100 * log(1 + max(0, value) / MINUTE) / log(1 + _LONGEST / MINUTE), 1)
