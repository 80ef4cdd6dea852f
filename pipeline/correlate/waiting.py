"""Whether a group can satisfy its condition at all yet; most groups never can, and nobody looks at their windows."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from pipeline.correlate.columns import Columns
from pipeline.correlate.correlation import NUMERIC, TEMPORAL, Correlation
from pipeline.correlate.values import FIXED_POINT


class Waiting:
    """What must have been seen, at whatever time, before any window of a group can satisfy the correlation.

    Args:
        correlation: the rule.
        groups: member -> corporate group.
    """

    def __init__(self, correlation: Correlation, groups: Mapping[str, str]) -> None:
        counts_hits = correlation.kind in ("event_count", "value_count") and correlation.weight is None
        least = correlation.least
        self._hits = least if counts_hits else 1
        self._groups = groups
        self._organizations = correlation.min_organizations
        self._references = least if correlation.kind in TEMPORAL and not correlation.clauses else 0
        self._clauses = [sum(1 << position for position in clause.present) for clause in correlation.clauses]
        self._numeric = correlation.kind in NUMERIC
        self._sums = correlation.kind == "value_sum"
        bounds = [comparison.number for comparison in correlation.comparisons if comparison.op in ("gt", "gte", "eq")]
        self._bound = Fraction(str(max(bounds))) * FIXED_POINT if bounds else None

    def over(self, columns: Columns) -> bool:
        """Whether all that is needed has been seen."""
        if len(columns.times) < self._hits:
            return False
        if self._clauses:
            if not any(columns.mask & clause == clause for clause in self._clauses):
                return False
        elif self._references and columns.mask.bit_count() < self._references:
            return False
        elif self._numeric and self._bound is not None:
            reached = columns.positive if self._sums else columns.highest
            if reached is None or reached < self._bound:
                return False
        if self._organizations <= 1:
            return True
        members = columns.members
        return len(members) >= self._organizations and (
            len({self._groups.get(member, member) for member in members}) >= self._organizations
        )
