"""Ordered correlations: chains of references at strictly increasing milliseconds, latest start first.

A chain is worth keeping by its start alone: at time t it counts if it began at or after `t - timespan`, so of all
chains that end alike only the one with the latest start matters. That makes each hit cost the number of references,
however many hits the window holds (correlation.md 3).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import groupby, islice
from operator import attrgetter, itemgetter, lt
from typing import Final

from pipeline.correlate.clock import NEVER
from pipeline.correlate.correlation import Clause, Comparison
from pipeline.correlate.evaluator import Evaluator, count_test
from pipeline.correlate.windows import Presence, positions_of
from schemas.hit import Hit

_mask: Final = attrgetter("mask")

Spread = frozenset[str]
"""Distinct corporate groups of a chain, while there are fewer than wanted."""
Cell = dict[Spread | None, int]
"""Spread of a chain (None: wide enough) -> its latest start."""

PRUNE_ABOVE: Final = 4


class Chain(ABC):
    """The latest start of a chain that is long and wide enough."""

    @abstractmethod
    def commit(self, time: int, hits: Sequence[Hit]) -> None:
        """All hits of one millisecond; they never follow each other within a chain."""

    def follow(self, times: Sequence[int], hits: Sequence[Hit], timespan: int) -> list[int]:
        """Hits of several milliseconds, in order, none of them divided; the times that end a chain in their window."""
        found: list[int] = []
        first, end = 0, len(times)
        while first < end:
            time, after = times[first], first + 1
            while after < end and times[after] == time:
                after += 1
            self.commit(time, hits[first:after])
            if self.latest() >= time - timespan:
                found.append(time)
            first = after
        return found

    @abstractmethod
    def latest(self) -> int:
        """The start of the newest satisfying chain; `NEVER` without one."""

    @abstractmethod
    def copy(self) -> Chain:
        """The chain as it stands."""


class FullChain(Chain):
    """Every one of the given references in order, whoever was hit.

    Args:
        positions: of the references, in the rule's order.
    """

    def __init__(self, positions: Sequence[int], starts: Sequence[int] | None = None) -> None:
        self._bits = [1 << position for position in positions]
        # starts[i]: latest start of a chain over references 0..i
        self._starts = list(starts) if starts is not None else [NEVER] * len(positions)

    def commit(self, time: int, hits: Sequence[Hit]) -> None:
        """Lengthen the chains by the hits of one millisecond."""
        mask = 0
        for hit in hits:
            mask |= hit.mask
        self._lengthen(time, mask)

    def _lengthen(self, time: int, mask: int) -> None:
        """Last reference first, so that no hit follows one of its own millisecond."""
        starts, bits = self._starts, self._bits
        for index in range(len(bits) - 1, 0, -1):
            if mask & bits[index] and starts[index - 1] > starts[index]:
                starts[index] = starts[index - 1]
        if mask & bits[0]:
            starts[0] = time

    def follow(self, times: Sequence[int], hits: Sequence[Hit], timespan: int) -> list[int]:
        """The same in one loop: most hits stand alone in their millisecond, and most are of the first reference."""
        if not all(map(lt, times, islice(times, 1, None))):
            return super().follow(times, hits, timespan)
        starts, only_first = self._starts, self._bits[0]
        found: list[int] = []
        for time, mask in zip(times, map(_mask, hits), strict=True):
            if mask == only_first:
                starts[0] = time
            else:
                self._lengthen(time, mask)
            if starts[-1] >= time - timespan:
                found.append(time)
        return found

    def latest(self) -> int:
        """The start of the newest whole chain."""
        return self._starts[-1]

    def copy(self) -> FullChain:
        """The chain as it stands."""
        copied = FullChain((), self._starts)
        copied._bits = self._bits
        return copied


class PartialChain(Chain):
    """`length` of the given references in order, at `least` or more corporate groups.

    For each reference i and length r, `cells[i][r]` maps the groups of a chain of r that ends in i to its latest start.
    The sets are kept to a representative family: one that no later chain needs is dropped, which stays exact and
    bounds their number by a constant.
    """

    def __init__(
        self, positions: Sequence[int], length: int, least: int, timespan: int, groups: Mapping[str, str]
    ) -> None:
        self._positions = tuple(positions)
        self._length = length
        self._least = least
        self._timespan = timespan
        self._groups = groups
        self._cells: list[list[Cell]] = [[{} for _ in range(length + 1)] for _ in positions]
        # For each reference the lengths of chains that end in it and can still become long enough.
        last = len(self._positions) - 1
        self._lengths = [
            [size for size in range(1, length + 1) if size <= index + 1 and size + last - index >= length]
            for index in range(last + 1)
        ]

    def commit(self, time: int, hits: Sequence[Hit]) -> None:
        """Lengthen the chains by the hits of one millisecond; all see the chains as they were before it."""
        if len(hits) == 1:
            fresh = self._lengthened(time, hits[0])
        else:
            fresh = [found for hit in hits for found in self._lengthened(time, hit)]
        for index, length, spread, start in fresh:
            cell = self._cells[index][length]
            if start > cell.get(spread, NEVER) and start > cell.get(None, NEVER):
                cell[spread] = start
                if len(cell) > PRUNE_ABOVE:
                    self._prune(cell, time)

    def _lengthened(self, time: int, hit: Hit) -> list[tuple[int, int, Spread | None, int]]:
        """Every chain that ends in this hit: its last reference, length, groups and start."""
        groups = self._groups_of(hit)
        found: list[tuple[int, int, Spread | None, int]] = []
        for index, position in enumerate(self._positions):
            if not hit.mask >> position & 1:
                continue
            for length in self._lengths[index]:
                if length == 1:
                    found.append((index, 1, None if len(groups) >= self._least else groups, time))
                for earlier in range(index) if length > 1 else ():
                    for spread, start in self._cells[earlier][length - 1].items():
                        found.append((index, length, spread and self._widened(spread, groups), start))
        return found

    def _groups_of(self, hit: Hit) -> Spread:
        if hit.also:
            return frozenset(self._groups.get(member, member) for member in hit.members)
        return _one_group(self._groups.get(hit.member, hit.member))

    def _widened(self, spread: Spread, groups: Spread) -> Spread | None:
        if groups <= spread:
            return spread
        wider = spread | groups
        return None if len(wider) >= self._least else wider

    def _prune(self, cell: Cell, time: int) -> None:
        wide_enough = cell.get(None, NEVER)
        for spread, start in list(cell.items()):
            if start < time - self._timespan or (spread is not None and start <= wide_enough):
                del cell[spread]
        kept: dict[int, list[Spread]] = {}
        narrow = [(spread, start) for spread, start in cell.items() if spread is not None]
        if self._least == 2:  # each is one group, and of whatever group comes next, one of two is another
            for spread, _ in sorted(narrow, key=itemgetter(1))[:-2]:
                del cell[spread]
            return
        for spread, _ in sorted(narrow, key=lambda item: (-item[1], sorted(item[0]))):
            later = kept.setdefault(len(spread), [])
            if _can_meet([other - spread for other in later], self._least - len(spread)):
                later.append(spread)
            else:
                del cell[spread]

    def latest(self) -> int:
        """The start of the newest chain that is long and wide enough."""
        return max([row[self._length].get(None, NEVER) for row in self._cells], default=NEVER)

    def copy(self) -> PartialChain:
        """The chain as it stands."""
        copied = PartialChain(self._positions, self._length, self._least, self._timespan, self._groups)
        copied._cells = [[dict(cell) for cell in row] for row in self._cells]
        return copied


@lru_cache(maxsize=4096)
def _one_group(group: str) -> Spread:
    return frozenset((group,))


def _can_meet(sets: Sequence[Spread], size: int) -> bool:
    """Whether some set of at most `size` groups meets every one of `sets`.

    If not, whatever groups would complete the chain in question would complete a later one as well.
    """
    if not sets:
        return True
    if size == 0:
        return False
    first = sets[0]
    return any(_can_meet([other for other in sets if group not in other], size - 1) for group in first)


class Chains(Evaluator):
    """`temporal_ordered` as one chain, or with a boolean condition as one chain for each clause."""

    def __init__(
        self, chains: Sequence[Chain], timespan: int, clauses: Sequence[Clause] = (), references: int = 0
    ) -> None:
        self._chains = list(chains)
        self._timespan = timespan
        self._clauses = clauses
        self._present = Presence(references, (), clauses) if any(clause.absent for clause in clauses) else None
        self._entering: list[Hit] = []

    def add(self, time: int, hit: Hit) -> None:
        """A hit enters."""
        self._entering.append(hit)
        if self._present is not None:
            self._present.add(time, hit)

    def remove(self, time: int, hit: Hit) -> None:
        """A hit leaves; chains forget by their start."""
        if self._present is not None:
            self._present.remove(time, hit)

    def commit(self, time: int) -> None:
        """All hits of this millisecond have entered."""
        for chain in self._chains:
            chain.commit(time, self._entering)
        self._entering = []

    def holds(self, time: int) -> bool:
        """Whether some chain without an absence began within the window."""
        earliest = time - self._timespan
        if not self._clauses:
            return self._chains[0].latest() >= earliest
        return any(
            not clause.absent and chain.latest() >= earliest
            for clause, chain in zip(self._clauses, self._chains, strict=True)
        )

    def holds_at_deadline(self, time: int, mask: int) -> bool:
        """Whether a clause that these hits can begin has its chain, and what it forbids stayed away."""
        assert self._present is not None
        undisturbed = self._present.undisturbed(mask)
        earliest = time - self._timespan
        return any(
            clause in undisturbed and chain.latest() >= earliest
            for clause, chain in zip(self._clauses, self._chains, strict=True)
        )

    def follow(self, times: Sequence[int], hits: Sequence[Hit]) -> list[int]:
        """Hits of several milliseconds enter, in order; the times at which the condition holds."""
        if len(self._chains) == 1 and self._present is None:
            return self._chains[0].follow(times, hits, self._timespan)
        found: list[int] = []
        for time, together in groupby(zip(times, hits, strict=True), key=itemgetter(0)):
            for _, hit in together:
                self.add(time, hit)
            self.commit(time)
            if self.holds(time):
                found.append(time)
        return found

    def chains(self) -> list[Chain]:
        """Copies of the chains, to come back to."""
        return [chain.copy() for chain in self._chains]

    def restore(self, chains: Sequence[Chain]) -> None:
        """Come back to earlier copies."""
        self._chains = [chain.copy() for chain in chains]
        self._entering = []


class GreedyOrder(Evaluator):
    """`temporal_ordered` with an upper bound: what is present must be in order, and their number must pass."""

    def __init__(self, references: int, comparisons: Sequence[Comparison]) -> None:
        self._passes = count_test(comparisons)
        self._times: list[deque[int]] = [deque() for _ in range(references)]

    def add(self, time: int, hit: Hit) -> None:
        """A hit enters."""
        for position in positions_of(hit.mask):
            self._times[position].append(time)

    def remove(self, time: int, hit: Hit) -> None:  # noqa: ARG002
        """A hit leaves, the oldest of its references."""
        for position in positions_of(hit.mask):
            self._times[position].popleft()

    def holds(self, time: int) -> bool:  # noqa: ARG002
        """Whether each present reference is reached by the earliest chain, and their number passes."""
        previous, present = NEVER, 0
        for times in self._times:
            if not times:
                continue
            following = bisect_right(times, previous)
            if following == len(times):
                return False
            previous = times[following]
            present += 1
        return self._passes(present)
