"""Windows as multisets: adding and removing commute, so each hit costs the same however full the window is."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import TypeVar

from pipeline.correlate.correlation import Clause, Comparison
from pipeline.correlate.evaluator import Evaluator, count_test, number_test
from schemas.hit import Hit

Key = TypeVar("Key")


class EventCount(Evaluator):
    """`event_count`: the sum of the hits' weights."""

    def __init__(self, comparisons: Sequence[Comparison]) -> None:
        self._passes = count_test(comparisons)
        self._count = 0

    def add(self, time: int, hit: Hit) -> None:  # noqa: ARG002
        """A hit enters."""
        self._count += hit.weight

    def remove(self, time: int, hit: Hit) -> None:  # noqa: ARG002
        """A hit leaves."""
        self._count -= hit.weight

    def holds(self, time: int) -> bool:  # noqa: ARG002
        """Whether the count passes."""
        return self._passes(self._count)


class ValueCount(Evaluator):
    """`value_count`: the number of distinct values."""

    def __init__(self, comparisons: Sequence[Comparison]) -> None:
        self._passes = count_test(comparisons)
        self._values: dict[object, int] = {}

    def add(self, time: int, hit: Hit) -> None:  # noqa: ARG002
        """A hit enters."""
        if hit.value is not None:
            self._values[hit.value] = self._values.get(hit.value, 0) + 1

    def remove(self, time: int, hit: Hit) -> None:  # noqa: ARG002
        """A hit leaves."""
        if hit.value is not None:
            _take(self._values, hit.value)

    def holds(self, time: int) -> bool:  # noqa: ARG002
        """Whether the number of distinct values passes."""
        return self._passes(len(self._values))


class Presence(Evaluator):
    """`temporal`: which references are present."""

    def __init__(self, references: int, comparisons: Sequence[Comparison], clauses: Sequence[Clause]) -> None:
        self._passes = count_test(comparisons)
        self._clauses = clauses
        self.counts = [0] * references
        self._present = 0

    def add(self, time: int, hit: Hit) -> None:  # noqa: ARG002
        """A hit enters."""
        counts = self.counts
        for position in positions_of(hit.mask):
            if not counts[position]:
                self._present += 1
            counts[position] += 1

    def remove(self, time: int, hit: Hit) -> None:  # noqa: ARG002
        """A hit leaves."""
        counts = self.counts
        for position in positions_of(hit.mask):
            counts[position] -= 1
            if not counts[position]:
                self._present -= 1

    def holds(self, time: int) -> bool:  # noqa: ARG002
        """Whether enough references are present, or those of some clause."""
        if self._clauses:
            counts = self.counts
            return any(
                not clause.absent and all(counts[position] for position in clause.present) for clause in self._clauses
            )
        return self._passes(self._present)

    def holds_at_deadline(self, time: int, mask: int) -> bool:  # noqa: ARG002
        """Whether a clause that these hits began is present, and what it forbids stayed away."""
        return any(all(self.counts[position] for position in clause.present) for clause in self.undisturbed(mask))

    def undisturbed(self, mask: int) -> list[Clause]:
        """Clauses with absence that a hit of `mask` can begin and whose forbidden references are not in the window."""
        return [
            clause
            for clause in self._clauses
            if clause.absent
            and any(mask >> position & 1 for position in clause.present)
            and not any(self.counts[position] for position in clause.absent)
        ]


class ValueSum(Evaluator):
    """`value_sum` and `value_avg`, in whole millionths; without any value neither holds."""

    def __init__(self, comparisons: Sequence[Comparison], *, average: bool) -> None:
        self._passes = number_test(comparisons)
        self._average = average
        self._sum = 0
        self._count = 0

    def add(self, time: int, hit: Hit) -> None:  # noqa: ARG002
        """A hit enters."""
        if isinstance(hit.value, int):
            self._sum += hit.value
            self._count += 1

    def remove(self, time: int, hit: Hit) -> None:  # noqa: ARG002
        """A hit leaves."""
        if isinstance(hit.value, int):
            self._sum -= hit.value
            self._count -= 1

    def holds(self, time: int) -> bool:  # noqa: ARG002
        """Whether the sum or the average passes."""
        return self._count > 0 and self._passes(self._sum, self._count if self._average else 1)


class ValuePercentile(Evaluator):
    """`value_percentile`: rank `(n-1)p/100`, linear between neighbours; without any value it does not hold."""

    def __init__(self, comparisons: Sequence[Comparison], percentile: int | float) -> None:
        self._passes = number_test(comparisons)
        share = Fraction(str(percentile)) / 100
        self._above, self._below = share.numerator, share.denominator
        self._sorted: list[int] = []

    def add(self, time: int, hit: Hit) -> None:  # noqa: ARG002
        """A hit enters."""
        if isinstance(hit.value, int):
            insort(self._sorted, hit.value)

    def remove(self, time: int, hit: Hit) -> None:  # noqa: ARG002
        """A hit leaves."""
        if isinstance(hit.value, int):
            del self._sorted[bisect_left(self._sorted, hit.value)]

    def holds(self, time: int) -> bool:  # noqa: ARG002
        """Whether the percentile passes."""
        values = self._sorted
        if not values:
            return False
        rank, rest = divmod((len(values) - 1) * self._above, self._below)
        metric = values[rank] * self._below
        if rest:
            metric += (values[rank + 1] - values[rank]) * rest
        return self._passes(metric, self._below)


class Spread(Evaluator):
    """Another window's condition, and hits at enough distinct corporate groups in the same window."""

    def __init__(self, inner: Evaluator, least: int, groups: Mapping[str, str]) -> None:
        self._inner = inner
        self._least = least
        self._groups = groups
        self._hit: dict[str, int] = {}

    def add(self, time: int, hit: Hit) -> None:
        """A hit enters."""
        for member in hit.members if hit.also else (hit.member,):
            group = self._groups.get(member, member)
            self._hit[group] = self._hit.get(group, 0) + 1
        self._inner.add(time, hit)

    def remove(self, time: int, hit: Hit) -> None:
        """A hit leaves."""
        for member in hit.members if hit.also else (hit.member,):
            _take(self._hit, self._groups.get(member, member))
        self._inner.remove(time, hit)

    def holds(self, time: int) -> bool:
        """Whether the spread is wide enough and the inner condition holds."""
        return len(self._hit) >= self._least and self._inner.holds(time)

    def holds_at_deadline(self, time: int, mask: int) -> bool:
        """The same at a deadline."""
        return len(self._hit) >= self._least and self._inner.holds_at_deadline(time, mask)


@lru_cache(maxsize=4096)
def positions_of(mask: int) -> tuple[int, ...]:
    """The positions of the bits that are set, ascending."""
    return tuple(position for position in range(mask.bit_length()) if mask >> position & 1)


def _take(counts: dict[Key, int], key: Key) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
