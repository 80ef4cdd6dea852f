"""Satisfied times grow together into episodes; an episode is one alert that grows by revisions (correlation.md 4)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec

from pipeline.correlate.content import Content
from pipeline.correlate.correlation import Correlation
from pipeline.correlate.identity import digest

DAY: Final = 86_400_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Published(msgspec.Struct, array_like=True):
    """What was last said about an episode."""

    start: int
    last: int
    count: int
    members: set[str]


class Superseded(msgspec.Struct, array_like=True):
    """An id that was published and is not the episode's any more, with what it said."""

    start: int
    last: int
    content: Content
    successor: int
    """Start of the episode that its tombstone names."""


class Episode(msgspec.Struct, array_like=True):
    """A maximal run of satisfied times with gaps of at most `suppress`; all times in ms."""

    start: int
    last: int
    frozen: Content | None = None
    """Evidence that was evicted while the episode is open."""
    limbo: Content | None = None
    """Evicted hits after `last`: evidence if the episode grows, nothing if it does not."""
    published: Published | None = None
    overtaken: list[Published] = []
    """Published episodes that this one has just absorbed."""
    superseded: list[Superseded] = []

    def reach(self, instant: int) -> None:
        """Grow up to a later instant."""
        self.last = max(self.last, instant)
        if self.limbo is not None:
            if self.frozen is None:
                self.frozen = self.limbo
            else:
                self.frozen.merge(self.limbo)
            self.limbo = None

    def absorb(self, later: Episode) -> None:
        """Take over a later episode that has become one with this one."""
        # Evicted evidence is older than any instant that may still come, so it cannot lie behind a gap that one fills.
        assert later.frozen is None
        assert later.limbo is None
        self.last = max(self.last, later.last)
        self.overtaken += later.overtaken
        if later.published is not None:
            self.overtaken.append(later.published)
        self.superseded += later.superseded


def merge_instants(episodes: list[Episode], instants: Sequence[int], gap: int) -> bool:
    """Add satisfied times to the episodes, which are disjoint and ascending; whether anything changed.

    Args:
        episodes: changed in place.
        instants: in any order, known ones included.
        gap: ms between instants that still belong together.
    """
    changed = False
    if episodes and instants and episodes[-1].start <= min(instants) and max(instants) <= episodes[-1].last + gap:
        instants = (max(instants),)  # a flood: all belong to the episode that is there
    for instant in instants:
        last = episodes[-1] if episodes else None
        if last is None or instant > last.last + gap:
            episodes.append(Episode(instant, instant))
            changed = True
        elif instant > last.last:
            last.reach(instant)
            changed = True
        elif instant < last.start:
            changed = _merge_early(episodes, instant, gap) or changed
    return changed


def _merge_early(episodes: list[Episode], instant: int, gap: int) -> bool:
    """Add an instant before the start of the last episode."""
    near = [index for index, episode in enumerate(episodes) if episode.start - gap <= instant <= episode.last + gap]
    if not near:
        place = sum(1 for episode in episodes if episode.last < instant)
        episodes.insert(place, Episode(instant, instant))
        return True
    first = episodes[near[0]]
    if len(near) == 1 and first.start <= instant <= first.last:
        return False
    if instant < first.start:
        first.start = instant
    if instant > first.last:
        first.reach(instant)
    for index in near[1:]:
        first.absorb(episodes[index])
    del episodes[near[0] + 1 : near[0] + len(near)]
    return True


def alert_id(correlation: Correlation, group: Sequence[str], start: int) -> str:
    """The id of an episode's alert: its month, which names the index, and a hash of what it is about."""
    return f"{month_of(start)}-{digest(correlation.id, correlation.fingerprint, *group, start, size=12).hex()}"


def month_of(time: int) -> str:
    """Year and month of a time in ms, UTC.

    >>> month_of(1_700_000_000_000)
    '202311'
    """
    return _month_of_day(time // DAY)


@lru_cache(maxsize=256)  # neighbouring alerts share their day
def _month_of_day(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).strftime("%Y%m")
