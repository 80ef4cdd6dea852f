"""Whether a group can satisfy its condition at all yet; most groups never can, and nobody looks at their windows."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from typing import Final

from pipeline.correlate.columns import Columns
from pipeline.correlate.correlation import NUMERIC, TEMPORAL, Correlation
from pipeline.correlate.values import FIXED_POINT
from schemas.event import Scalar

_NO_COUNT: Final = 1 << 62


class Waiting:
    """What must have been seen, at whatever time, before any window of a group can satisfy the correlation.

    Args:
        correlation: the rule.
        groups: member -> corporate group.
    """

    def __init__(self, correlation: Correlation, groups: Mapping[str, str]) -> None:
        self.counts_hits = correlation.kind in ("event_count", "value_count") and correlation.weight is None
        """Whether their number alone can tell that it is not over."""
        least = correlation.least
        self._hits = least if self.counts_hits else 1
        self.too_few = least - 1 if self.counts_hits else _NO_COUNT
        """Hits that are too few however they are; where their number says nothing, as many as there can be."""
        self._groups = groups
        self._organizations = correlation.min_organizations
        self._references = least if correlation.kind in TEMPORAL and not correlation.clauses else 0
        self._clauses = [sum(1 << position for position in clause.present) for clause in correlation.clauses]
        self._numeric = correlation.kind in NUMERIC
        self._sums = correlation.kind == "value_sum"
        bounds = [comparison.number for comparison in correlation.comparisons if comparison.op in ("gt", "gte", "eq")]
        self._bound = ceil(Fraction(str(max(bounds))) * FIXED_POINT) if bounds else None

    def over(self, columns: Columns) -> bool:
        """Whether all that is needed has been seen."""
        if len(columns.times) < self._hits:
            return False
        columns.see_dozed()
        if self._clauses:
            if not any(columns.mask & clause == clause for clause in self._clauses):
                return False
        elif self._references and columns.mask.bit_count() < self._references:
            return False
        elif self._numeric and self._bound is not None:
            reached = columns.positive if self._sums else columns.highest
            if reached is None or reached < self._bound:
                return False
        return self._spread(columns)

    def over_by(self, columns: Columns, value: Scalar) -> bool:
        """Whether one more number (millionths) would be enough, or none can tell."""
        if self._bound is None:
            return True
        if not isinstance(value, int):
            return False
        return (columns.positive + value if self._sums else value) >= self._bound

    def _spread(self, columns: Columns) -> bool:
        if self._organizations <= 1:
            return True
        members = columns.members
        return len(members) >= self._organizations and (
            len({self._groups.get(member, member) for member in members}) >= self._organizations
        )
