"""Satisfied times of one correlation as hits of those that refer to it (correlation.md 6).

What travels is the satisfied time and not the alert: alerts merge when a late hit joins them, so that a count of alerts
would fall, while satisfied times only ever grow in number. So what may alert on arrival still may.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from pipeline.correlate.clock import NEVER
from pipeline.correlate.columns import Columns
from pipeline.correlate.correlation import Correlation
from pipeline.correlate.identity import stable_number
from schemas.hit import GroupHit, Hit

ORGANIZATION: Final = "organization.id"
"""The one field besides its group-by fields that a satisfied time carries: the members in its window."""


class Instant(NamedTuple):
    """A satisfied time, with what its window tells."""

    time: int
    members: tuple[str, ...]
    """All in the window, ascending."""
    witness: Hit
    """A hit of the window's last millisecond, the same whatever the order of arrival."""
    exact: bool


class Referral:
    """One place where a correlation refers to another.

    Args:
        child: the one that is referred to.
        parent: the one that refers.
        position: of the reference.
    """

    def __init__(self, child: Correlation, parent: Correlation, position: int) -> None:
        self.parent = parent.id
        self._child = child
        self._mask = 1 << position
        fields = parent.references[position].fields
        self._group = carried(child, [fields.get(name, name) for name in parent.group_by])
        self._values = carried(child, [fields.get(name, name) for name in parent.values])
        self._by_member = None in (*self._group, *self._values)

    def hits(self, group: tuple[str, ...], instants: Iterable[Instant]) -> list[GroupHit]:
        """Hits of the referring correlation, one for each time, or for each time and member if it asks for them."""
        found = []
        for instant in instants:
            hid = stable_number(self._child.id, self._child.fingerprint, *group, instant.time)
            for members in [(member,) for member in instant.members] if self._by_member else [instant.members]:
                where = tuple(members[0] if place is None else group[place] for place in self._group)
                what = [members[0] if place is None else group[place] for place in self._values]
                value = stable_number(*what, bits=63) if what else None
                found.append(GroupHit(self.parent, where, self._hit(instant, hid, members, value)))
        return found

    def _hit(self, instant: Instant, hid: int, members: tuple[str, ...], value: int | None) -> Hit:
        witness = instant.witness
        return Hit(
            instant.time,
            hid,
            self._mask,
            members[0],
            value,
            1,
            witness.topic,
            witness.partition,
            witness.offset,
            witness.line,
            witness.event_id,
            members[1:],
            instant.exact,
        )


def referrals_among(correlations: Mapping[str, Correlation]) -> dict[str, list[Referral]]:
    """Id of each correlation that others refer to -> where they do."""
    found: dict[str, list[Referral]] = {}
    for parent in correlations.values():
        for position, reference in enumerate(parent.references):
            child = correlations.get(reference.id)
            if child is not None:
                found.setdefault(child.id, []).append(Referral(child, parent, position))
    return found


def carried(child: Correlation, names: Sequence[str]) -> list[int | None]:
    """Where a satisfied time has these fields: the position in its group, None for the members.

    Raises:
        KeyError: the first name that it does not carry.
    """
    places: list[int | None] = []
    for name in names:
        if name in child.group_by:
            places.append(child.group_by.index(name))
        elif name == ORGANIZATION:
            places.append(None)
        else:
            raise KeyError(name)
    return places


class Census:
    """Who is in a window that moves from one satisfied time to the next; a cache, built again when in doubt.

    Args:
        timespan: ms.
    """

    __slots__ = ("_end", "_estimates", "_members", "_timespan")

    def __init__(self, timespan: int) -> None:
        self._timespan = timespan
        self._end = NEVER
        self._members: dict[str, int] = {}
        self._estimates = 0

    def forget(self) -> None:
        """Something changed within the window."""
        self._end = NEVER
        self._members = {}
        self._estimates = 0

    def at(self, columns: Columns, instants: Sequence[int], *, exact: bool) -> list[Instant]:
        """What the windows that end at these times tell.

        Args:
            columns: the hits.
            instants: ascending; each window has a hit in it.
            exact: whether the columns hold all hits.
        """
        if not instants:
            return []
        times, hits, timespan = columns.times, columns.hits, self._timespan
        if instants[0] <= self._end:
            self.forget()
        if self._end == NEVER:
            first = after = bisect_left(times, instants[0] - timespan)
        else:
            first, after = bisect_left(times, self._end - timespan), bisect_right(times, self._end)
        found = []
        for instant in instants:
            while after < len(times) and times[after] <= instant:
                self._count(hits[after], 1)
                after += 1
            while times[first] < instant - timespan:
                self._count(hits[first], -1)
                first += 1
            last = bisect_left(times, times[after - 1], first, after)
            witness = min(hits[last:after], key=_place)
            found.append(Instant(instant, tuple(sorted(self._members)), witness, exact and not self._estimates))
        self._end = instants[-1]
        return found

    def _count(self, hit: Hit, change: int) -> None:
        self._estimates += 0 if hit.exact else change
        for member in hit.members:
            count = self._members.get(member, 0) + change
            if count:
                self._members[member] = count
            else:
                del self._members[member]


def _place(hit: Hit) -> tuple[str, str, int, int, int]:
    return hit.event_id, hit.topic, hit.partition, hit.offset, hit.line
