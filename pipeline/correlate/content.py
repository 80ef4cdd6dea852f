"""What an alert tells of its hits: a fold that comes out the same whatever the order and the portions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Final

import msgspec

from pipeline.correlate.matrix import Matrix, matrix_of
from schemas.hit import Hit

SAMPLE: Final = 5
"""Earliest hits, and latest hits, that are kept whole."""


_seen = attrgetter("member", "time")
_also, _value, _exact = attrgetter("also"), attrgetter("value"), attrgetter("exact")


class MemberSpread(msgspec.Struct, array_like=True):
    """One member's part."""

    first: int
    last: int
    count: int


class Content(msgspec.Struct, array_like=True):
    """Number of hits, members by time, and a sample of the hits."""

    count: int = 0
    members: dict[str, MemberSpread] = {}
    earliest: list[Hit] = []
    latest: list[Hit] = []
    exact: bool = True
    valueless: int = 0
    """Hits without a value; an event whose field holds no number is one for `value_sum`."""
    matrix: Matrix = msgspec.field(default_factory=Matrix)

    @property
    def size(self) -> int:
        """Pairs of a hit and a member: what can only grow while hits come in."""
        return sum(part.count for part in self.members.values())

    def fold(self, hits: Sequence[Hit]) -> None:
        """Add hits; they are in the order of time and identity."""
        if not hits:
            return
        self.count += len(hits)
        if any(map(_also, hits)):
            seen = [(member, hit.time) for hit in hits for member in hit.members]
        else:
            seen = list(map(_seen, hits))
        # Whole windows are folded whenever an alert is told: the later of equal keys wins, without a loop of our own.
        last, first = dict(seen), dict(reversed(seen))
        matrix = matrix_of(seen)
        self._add({m: MemberSpread(first[m], last[m], sum(row.values())) for m, row in matrix.rows.items()})
        self.matrix.merge(matrix)
        self.valueless += list(map(_value, hits)).count(None)
        self.exact = self.exact and all(map(_exact, hits))
        self._sample(hits[:SAMPLE], hits[-SAMPLE:])

    def merge(self, other: Content) -> None:
        """Add what another content tells."""
        self.count += other.count
        self._add(other.members)
        self.matrix.merge(other.matrix)
        self.exact = self.exact and other.exact
        self.valueless += other.valueless
        self._sample(other.earliest, other.latest)

    def _add(self, members: Mapping[str, MemberSpread]) -> None:
        for member, theirs in members.items():
            ours = self.members.get(member)
            if ours is None:
                self.members[member] = MemberSpread(theirs.first, theirs.last, theirs.count)
            else:
                ours.first, ours.last = min(ours.first, theirs.first), max(ours.last, theirs.last)
                ours.count += theirs.count

    def spread(self) -> list[tuple[str, MemberSpread]]:
        """Members in the order in which they were hit."""
        return sorted(self.members.items(), key=lambda item: (item[1].first, item[0]))

    def evidence(self) -> list[Hit]:
        """The sample, each hit once, in the order of time."""
        return sorted({_key(hit): hit for hit in (*self.earliest, *self.latest)}.values(), key=_key)

    def _sample(self, earliest: Sequence[Hit], latest: Sequence[Hit]) -> None:
        self.earliest = sorted((*self.earliest, *earliest), key=_key)[:SAMPLE]
        self.latest = sorted((*self.latest, *latest), key=_key)[-SAMPLE:]


def _key(hit: Hit) -> tuple[int, int, bool, int | float | str]:
    return hit.time, hit.hid, hit.value is not None, hit.value or 0
