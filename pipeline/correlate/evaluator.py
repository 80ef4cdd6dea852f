"""What every evaluator of a sliding window can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from operator import eq, ge, gt, le, lt, ne
from typing import Final

from pipeline.correlate.correlation import Comparison, Operator
from pipeline.correlate.values import FIXED_POINT
from schemas.hit import Hit

COMPARE: Final[Mapping[Operator, Callable[[int, int | float], bool]]] = {
    "gt": gt,
    "gte": ge,
    "lt": lt,
    "lte": le,
    "eq": eq,
    "neq": ne,
}


class Evaluator(ABC):
    """A window that hits enter and leave in the order of time, and that says whether the condition holds.

    Hits of one millisecond enter together: `add` each, then `commit`, then perhaps `holds`.
    """

    @abstractmethod
    def add(self, time: int, hit: Hit) -> None:
        """A hit enters."""

    @abstractmethod
    def remove(self, time: int, hit: Hit) -> None:
        """A hit leaves; it entered before, and leaves as those of its millisecond do."""

    def commit(self, time: int) -> None:  # noqa: B027 - most windows have nothing to do
        """All hits of this millisecond have entered."""

    @abstractmethod
    def holds(self, time: int) -> bool:
        """Whether the window that ends now satisfies the condition."""

    def holds_at_deadline(self, time: int, mask: int) -> bool:  # noqa: ARG002
        """Whether a clause with absence holds in the window that began with hits of `mask` and ends now."""
        return False


def count_test(comparisons: Sequence[Comparison]) -> Callable[[int], bool]:
    """Whether a whole number passes all comparisons."""
    if len(comparisons) == 1:
        compare, bound = COMPARE[comparisons[0].op], comparisons[0].number
        return lambda metric: compare(metric, bound)
    tests = [(COMPARE[comparison.op], comparison.number) for comparison in comparisons]
    return lambda metric: all(compare(metric, bound) for compare, bound in tests)


def number_test(comparisons: Sequence[Comparison]) -> Callable[[int, int], bool]:
    """Whether a metric, given in millionths as numerator and denominator, passes all comparisons; exact."""
    tests = []
    for comparison in comparisons:
        bound = Fraction(str(comparison.number)) * FIXED_POINT
        tests.append((COMPARE[comparison.op], bound.numerator, bound.denominator))

    def passes(numerator: int, denominator: int) -> bool:
        return all(compare(numerator * below, above * denominator) for compare, above, below in tests)

    return passes
