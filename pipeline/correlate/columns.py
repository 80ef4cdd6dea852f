"""The hits of one group, each once, in the order of time: the state that everything else is derived from."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import reduce
from itertools import islice
from operator import attrgetter, lt, or_
from typing import Final, NamedTuple

import msgspec

from pipeline.correlate.clock import NEVER
from schemas.event import Scalar
from schemas.hit import Hit

_time: Final = attrgetter("time")
_mask: Final = attrgetter("mask")
_member: Final = attrgetter("member")
_also: Final = attrgetter("also")
_value: Final = attrgetter("value")


class Fresh(NamedTuple):
    """What an insertion added."""

    hits: list[Hit]
    """In the order of time; repeats are left out."""
    late: list[Hit]
    """Those that are not later than all that was there."""
    newest_before: int
    """The latest time that was there; `NEVER` if nothing was."""
    replaced: bool
    """Whether a late one took the place of what was known of the same satisfied time."""

    @property
    def earliest(self) -> int:
        """Time of the first fresh hit."""
        return self.hits[0].time


class Columns:
    """Parallel sorted lists of times and hits; hits of one millisecond are ordered by their identity."""

    __slots__ = ("dozes_below", "highest", "hits", "mask", "members", "numeric", "positive", "times", "unseen")

    def __init__(self, *, numeric: bool = False) -> None:
        self.times: list[int] = []
        self.hits: list[Hit] = []
        self.mask = 0
        """References ever seen; may name more than are there, never fewer."""
        self.members: set[str] = set()
        """Members ever seen; likewise."""
        self.highest: int | None = None
        """The greatest value ever seen, and the sum of all above zero: in millionths, for types that need numbers."""
        self.positive = 0
        self.numeric = numeric
        self.unseen = False
        """Whether hits dozed, so that references and members are to be noted yet."""
        self.dozes_below = 0
        """Hits that are too few to look at; the group says so."""

    def __len__(self) -> int:
        return len(self.times)

    def doze(self, hit: Hit) -> bool:
        """Add a hit that is later than all others and one of too few, and look no further; False if it is not.

        Most hits are such. Each is of a group that nobody touched for a while: what is not read here is time saved.
        """
        times = self.times
        if not 0 < len(times) < self.dozes_below or hit.time <= times[-1]:
            return False
        times.append(hit.time)
        self.hits.append(hit)
        self.unseen = True
        return True

    def see_dozed(self) -> None:
        """Take note of the references and members of the hits that dozed."""
        if self.unseen:
            self._see(self.hits)
            self.unseen = False

    def push(self, hit: Hit) -> bool:
        """Add a hit that is later than all others; if it is not, leave it to `insert`."""
        times = self.times
        if times and hit.time <= times[-1]:
            return False
        times.append(hit.time)
        self.hits.append(hit)
        self.mask |= hit.mask
        self.members.add(hit.member)
        if hit.also:
            self.members.update(hit.also)
        if self.numeric:
            self.see_number(hit.value)
        return True

    def insert(self, hits: list[Hit]) -> Fresh | None:
        """Add hits in any order; one that is there already changes nothing. Sorts the list. None if all were there."""
        newest_before = self.times[-1] if self.times else NEVER
        times = list(map(_time, hits))
        if not all(map(lt, times, islice(times, 1, None))):
            hits.sort(key=order)
            times = list(map(_time, hits))
        later = bisect_right(times, newest_before)
        late, replaced = self._insert_late(hits[:later]) if later else ([], False)
        fresh = late + self._append(hits[later:], times[later:])
        self._see(fresh)
        return Fresh(fresh, late, newest_before, replaced) if fresh else None

    def _insert_late(self, hits: list[Hit]) -> tuple[list[Hit], bool]:
        """Add hits between others; what was not there, and whether something took the place of what was."""
        times, held = self.times, self.hits
        fresh: list[Hit] = []
        replaced = False
        for one in hits:
            hit, time = one, one.time
            first, end = bisect_left(times, time), bisect_right(times, time)
            place = bisect_left(held, _identity(hit), first, end, key=_identity)
            if place < end and _identity(held[place]) == _identity(hit):
                hit = _united(held[place], one)
                if hit == held[place]:
                    continue
                held[place] = hit
                replaced = True
            else:
                times.insert(place, time)
                held.insert(place, hit)
            fresh.append(hit)
        return fresh, replaced

    def _append(self, hits: list[Hit], times: list[int]) -> list[Hit]:
        """Add hits that are in order and later than all others; those that were added, each once."""
        if not all(map(lt, times, islice(times, 1, None))):
            hits = _distinct(hits)
            times = list(map(_time, hits))
        self.times += times
        self.hits += hits
        return hits

    def _see(self, hits: list[Hit]) -> None:
        self.mask = reduce(or_, map(_mask, hits), self.mask)
        self.members.update(map(_member, hits), *filter(None, map(_also, hits)))
        if self.numeric:
            for hit in hits:
                self.see_number(hit.value)

    def see_number(self, value: Scalar) -> None:
        """Take note of a number (millionths); of anything else, do nothing."""
        if isinstance(value, int):
            if self.highest is None or value > self.highest:
                self.highest = value
            if value > 0:
                self.positive += value

    def drop_first(self, count: int) -> None:
        """Forget the oldest hits."""
        if self.numeric:
            values = map(_value, self.hits[:count])
            self.positive -= sum([value for value in values if isinstance(value, int) and value > 0])
        del self.times[:count]
        del self.hits[:count]

    def replace(self, hits: list[Hit]) -> None:
        """Hold these hits instead; they are in order already."""
        self.times = [hit.time for hit in hits]
        self.hits = hits

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Positions of the hits with `first <= time <= last`, as a half-open range."""
        return bisect_left(self.times, first), bisect_right(self.times, last)


def _distinct(hits: list[Hit]) -> list[Hit]:
    """Hits in order, each once; what several reports tell of one is united."""
    distinct: list[Hit] = []
    for hit in hits:
        if distinct and distinct[-1].time == hit.time and _identity(distinct[-1]) == _identity(hit):
            distinct[-1] = _united(distinct[-1], hit)
        else:
            distinct.append(hit)
    return distinct


def _united(known: Hit, more: Hit) -> Hit:
    """What two reports tell of one hit: the first of two places; a satisfied time may have gained members."""
    if known == more:
        return known
    members = sorted({*known.members, *more.members})
    origin = min(known, more, key=lambda hit: (hit.event_id, hit.topic, hit.partition, hit.offset, hit.line))
    return msgspec.structs.replace(origin, member=members[0], also=tuple(members[1:]), exact=known.exact and more.exact)


def _identity(hit: Hit) -> tuple[int, bool, Scalar]:
    return hit.hid, hit.value is not None, hit.value or 0


def order(hit: Hit) -> tuple[int, tuple[int, bool, Scalar]]:
    """Where a hit stands among those of its group: by time, then by identity."""
    return hit.time, _identity(hit)
