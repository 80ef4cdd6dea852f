"""What the alert of one episode tells, counted once and carried on as the episode grows.

A flooded group is told of every few seconds. Without this each time would read its whole window again.
"""

from __future__ import annotations

from bisect import bisect_right

from pipeline.correlate.columns import Columns, Fresh, order
from pipeline.correlate.content import Content
from pipeline.correlate.episode import Episode
from schemas.hit import Hit


class Tally:
    """The evidence of an episode up to a time; only a cache, like the sweeps.

    Args:
        episode: as it is now.
        content: all of its evidence, thinned and evicted hits included; becomes the tally's own.
        earliest: ms; hits before are no evidence.
        unmet: ms; an episode that reaches this has evidence that is not among the hits, and needs another tally.
    """

    __slots__ = ("_content", "_earliest", "_last", "_late", "_start", "_unmet")

    def __init__(self, episode: Episode, content: Content, earliest: int, unmet: int) -> None:
        self._start = episode.start
        self._last = episode.last
        self._content = content
        self._earliest = earliest
        self._unmet = unmet
        self._late: list[Hit] = []

    def fits(self, episode: Episode) -> bool:
        """Whether it can be carried on to what the episode is now."""
        return self._start == episode.start and self._last <= episode.last < self._unmet

    def note(self, fresh: Fresh) -> None:
        """Take note of hits that were inserted before the time that it has reached."""
        if fresh.earliest <= self._last:
            self._late += [hit for hit in fresh.hits if self._earliest <= hit.time <= self._last]

    def misses(self, time: int) -> bool:
        """Whether hits up to `time` (ms) are not in it yet; they must not go before they are."""
        return time > self._last

    def complete(self, columns: Columns, episode: Episode) -> bool:
        """Count all hits there are; False if some are no evidence yet, and would be missed when they are dropped."""
        if not self.fits(episode) or columns.times[-1] > episode.last:
            return False
        self.content(columns, episode.last)
        return True

    def estimate(self) -> None:
        """Hits were dropped that it has counted; repeats of them would be counted again."""
        self._content.exact = False

    def count(self, columns: Columns, last: int) -> int:
        """Number of hits in evidence up to `last` (ms)."""
        times = columns.times
        return self._content.count + len(self._late) + bisect_right(times, last) - bisect_right(times, self._last)

    def content(self, columns: Columns, last: int) -> Content:
        """All evidence up to `last` (ms); it grows with the tally, so it must be read at once."""
        times = columns.times
        self._content.fold(sorted(self._late, key=order))
        self._content.fold(columns.hits[bisect_right(times, self._last) : bisect_right(times, last)])
        self._late, self._last = [], last
        return self._content
