"""Conditions that can only get truer: which times satisfy them, found as the hits arrive (correlation.md 3).

Each sweep keeps a window that ends at the newest time, and is only a cache: it can be forgotten at any moment and is
built again from the columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import Final

from pipeline.correlate.chains import Chain, Chains
from pipeline.correlate.clock import NEVER
from pipeline.correlate.columns import Columns, Fresh
from pipeline.correlate.correlation import Correlation
from pipeline.correlate.evaluator import Evaluator
from pipeline.correlate.semantics import build_evaluator

SNAPSHOT_EVERY: Final = 64
"""Hits between two copies of the chains, to which a late hit goes back."""


class EagerSweep(ABC):
    """Finds the satisfied times that an insertion made: every one of them, and perhaps some that were known."""

    @abstractmethod
    def instants(self, columns: Columns, fresh: Fresh, *, covered: bool) -> list[int]:
        """Satisfied times, ascending, none before the first fresh hit: what is earlier is final, or was found before.

        Args:
            columns: all hits, the fresh ones included.
            fresh: what was inserted.
            covered: whether all times from the first late hit to the newest one before the insertion are within one
                alert already, so that they need not be looked at again.
        """

    def forget(self) -> None:  # noqa: B027 - not every sweep remembers
        """Hits were thinned out: what was remembered does not fit the columns any more."""

    def evict(self, columns: Columns, count: int, line: int) -> None:  # noqa: B027
        """The oldest `count` hits are about to go, since nothing before `line` (ms) can come any more."""


def build_eager(correlation: Correlation, groups: Mapping[str, str], *, referred: bool = False) -> EagerSweep:
    """The quickest sweep that is exact for the correlation.

    Args:
        correlation: the rule.
        groups: member -> corporate group.
        referred: whether other correlations count its satisfied times; then all after a late hit are found again.
    """
    if correlation.kind == "temporal_ordered":
        return ChainSweep(correlation, groups)
    single = correlation.weight is None and correlation.min_organizations <= 1
    if correlation.kind == "event_count" and single and not referred:
        return CountSweep(correlation)
    return WindowSweep(correlation, groups)


class CountSweep(EagerSweep):
    """`event_count` of single events: the k-th hit before says it all, and nothing needs remembering."""

    def __init__(self, correlation: Correlation) -> None:
        self._before = correlation.least - 1
        self._timespan = correlation.timespan

    def instants(self, columns: Columns, fresh: Fresh, *, covered: bool) -> list[int]:  # noqa: ARG002
        """Times from the first fresh hit to as far as the last one can reach."""
        times, before, timespan = columns.times, self._before, self._timespan
        if len(times) <= before:
            return []
        first = max(bisect_left(times, fresh.earliest), before)
        end = bisect_right(times, fresh.hits[-1].time) + before
        pairs = zip(times[first:end], times[first - before : end - before], strict=False)
        return [time for time, earlier in pairs if time - earlier <= timespan]


class WindowSweep(EagerSweep):
    """Any window that hits can leave again."""

    def __init__(self, correlation: Correlation, groups: Mapping[str, str]) -> None:
        self._correlation = correlation
        self._groups = groups
        self._timespan = correlation.timespan
        self._window: Evaluator | None = None
        self._end = NEVER
        """The window is `[end - timespan, end]`."""

    def instants(self, columns: Columns, fresh: Fresh, *, covered: bool) -> list[int]:
        """Times from the first fresh hit on; the covered ones are passed over."""
        if self._window is None:
            self._begin(columns, fresh.earliest)
        elif fresh.late:
            if covered:
                self._absorb(fresh)
            else:
                self._begin(columns, fresh.earliest)
        return self._read(columns)

    def forget(self) -> None:
        """Build the window again next time."""
        self._window = None

    def evict(self, columns: Columns, count: int, line: int) -> None:  # noqa: ARG002
        """Take hits that go out of the window, too."""
        if self._window is not None:
            for index in range(bisect_left(columns.times, self._end - self._timespan), count):
                self._window.remove(columns.times[index], columns.hits[index])

    def _begin(self, columns: Columns, time: int) -> None:
        """A window that ends just before `time`."""
        self._window = build_evaluator(self._correlation, self._groups)
        self._end = time - 1
        for index in range(*columns.span(self._end - self._timespan, self._end)):
            self._window.add(columns.times[index], columns.hits[index])

    def _absorb(self, fresh: Fresh) -> None:
        assert self._window is not None
        for hit in fresh.late:
            if hit.time >= self._end - self._timespan:
                self._window.add(hit.time, hit)

    def _read(self, columns: Columns) -> list[int]:
        assert self._window is not None
        window, times, hits, timespan = self._window, columns.times, columns.hits, self._timespan
        first, after = bisect_left(times, self._end - timespan), bisect_right(times, self._end)
        found: list[int] = []
        while after < len(times):
            time = times[after]
            while after < len(times) and times[after] == time:
                window.add(time, hits[after])
                after += 1
            while times[first] < time - timespan:
                window.remove(times[first], hits[first])
                first += 1
            if window.holds(time):
                found.append(time)
            self._end = time
        return found


class ChainSweep(EagerSweep):
    """Chains: hits cannot leave them, so a late hit goes back to a copy made before it, and reads on from there."""

    def __init__(self, correlation: Correlation, groups: Mapping[str, str]) -> None:
        self._correlation = correlation
        self._groups = groups
        self._window: Chains | None = None
        self._end = NEVER
        self._snapshots: list[tuple[int, list[Chain]]] = []
        self._since_snapshot = 0

    def instants(self, columns: Columns, fresh: Fresh, *, covered: bool) -> list[int]:  # noqa: ARG002
        """Times from the first fresh hit on."""
        if self._window is None:
            self._rewind(NEVER)
        elif fresh.late:
            self._rewind(fresh.earliest)
        return self._read(columns, fresh.earliest)

    def forget(self) -> None:
        """Build the chains again next time."""
        self._window = None

    def evict(self, columns: Columns, count: int, line: int) -> None:  # noqa: ARG002
        """Drop copies that no admissible hit goes back to."""
        while len(self._snapshots) > 1 and self._snapshots[1][0] < line:
            del self._snapshots[0]

    def _rewind(self, time: int) -> None:
        """Back to the newest copy from before `time`.

        Without one, to nothing: copies are only right if they were made of all retained hits.
        """
        while self._snapshots and self._snapshots[-1][0] >= time:
            self._snapshots.pop()
        self._since_snapshot = 0
        if self._window is None or not self._snapshots:
            window = build_evaluator(self._correlation, self._groups)
            assert isinstance(window, Chains)
            self._window, self._end = window, NEVER
        else:
            self._end, chains = self._snapshots[-1]
            self._window.restore(chains)

    def _read(self, columns: Columns, first_wanted: int) -> list[int]:
        assert self._window is not None
        window, times, hits = self._window, columns.times, columns.hits
        after, end = bisect_right(times, self._end), len(times)
        found: list[int] = []
        while after < end:
            # Up to where the next copy is due, and to the end of that millisecond.
            last = times[min(after + SNAPSHOT_EVERY - self._since_snapshot, end) - 1]
            following = bisect_right(times, last, after)
            found += window.follow(times[after:following], hits[after:following])
            self._since_snapshot += following - after
            after, self._end = following, last
            if self._since_snapshot >= SNAPSHOT_EVERY:
                self._since_snapshot = 0
                self._snapshots.append((last, window.chains()))
        return found[bisect_left(found, first_wanted) :]
