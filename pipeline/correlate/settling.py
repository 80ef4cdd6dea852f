"""Conditions that more hits can unsatisfy: looked at once, when nothing can come any more before a time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import Final

from pipeline.correlate.clock import NEVER
from pipeline.correlate.columns import Columns
from pipeline.correlate.correlation import Correlation
from pipeline.correlate.evaluator import Evaluator
from pipeline.correlate.semantics import build_evaluator

_NONE_LEFT: Final = 1 << 62


class SettlingSweep:
    """Reads each time once, in order, behind the settle line; no hit is ever late here."""

    def __init__(self, correlation: Correlation, groups: Mapping[str, str]) -> None:
        self._correlation = correlation
        self._groups = groups
        self._timespan = correlation.timespan
        self._absence = correlation.expects_absence
        self._window: Evaluator | None = None
        self._end = NEVER
        """Newest time that was read; the window is `[end - timespan, end]`."""

    def instants(self, columns: Columns, settled: int, line: int) -> list[int]:
        """Satisfied times in `settled..line-1`, ascending: of hits, and for clauses with absence of deadlines.

        Args:
            columns: the hits; none before `settled - timespan` is needed.
            settled: the settle line so far.
            line: the new settle line.
        """
        if self._window is None:
            self._window, self._end = build_evaluator(self._correlation, self._groups), NEVER
        window, times, hits, timespan = self._window, columns.times, columns.hits, self._timespan
        first, after = bisect_left(times, self._end - timespan), bisect_right(times, self._end)
        begun = bisect_left(times, settled - timespan) if self._absence else len(times)
        found: list[int] = []
        while True:
            next_hit = times[after] if after < len(times) else _NONE_LEFT
            deadline = times[begun] + timespan if begun < len(times) else _NONE_LEFT
            time = min(next_hit, deadline)
            if time >= line:
                break
            while after < len(times) and times[after] == time:
                window.add(time, hits[after])
                after += 1
            while first < after and times[first] < time - timespan:
                window.remove(times[first], hits[first])
                first += 1
            satisfied = False
            if time == next_hit:
                window.commit(time)
                satisfied = time >= settled and window.holds(time)
            while begun < len(times) and times[begun] + timespan == time:
                satisfied = window.holds_at_deadline(time, hits[begun].mask) or satisfied
                begun += 1
            if satisfied:
                found.append(time)
            self._end = time
        return found

    def forget(self) -> None:
        """Hits were thinned out: build the window again next time."""
        self._window = None

    def evict(self, columns: Columns, count: int) -> None:
        """The oldest `count` hits are about to go: take them out of the window, too."""
        if self._window is not None:
            for index in range(bisect_left(columns.times, self._end - self._timespan), count):
                self._window.remove(columns.times[index], columns.hits[index])

    def next_due(self, columns: Columns, settled: int) -> int | None:
        """The first time from `settled` (ms) on that may satisfy the condition: of a hit, or a deadline."""
        times = columns.times
        index = bisect_left(times, settled)
        due = times[index] if index < len(times) else None
        if self._absence:
            index = bisect_left(times, settled - self._timespan)
            if index < len(times) and (due is None or times[index] + self._timespan < due):
                due = times[index] + self._timespan
        return due
