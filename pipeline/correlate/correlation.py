"""What a Sigma correlation becomes: plain data that says what to count, in which window, over which events."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, Literal, get_args

import msgspec

from schemas.alert import Level, Tlp

Kind = Literal[
    "event_count", "value_count", "temporal", "temporal_ordered", "value_sum", "value_avg", "value_percentile"
]
"""The types of Sigma; `value_median` is `value_percentile` at 50."""
Operator = Literal["gt", "gte", "lt", "lte", "eq", "neq"]

NUMERIC: Final = frozenset({"value_sum", "value_avg", "value_percentile"})
"""Types whose field must hold numbers."""
TEMPORAL: Final = frozenset({"temporal", "temporal_ordered"})
"""Types that ask which references are present."""


class Comparison(msgspec.Struct, frozen=True, array_like=True):
    """One side of a condition: the window's metric against a number."""

    op: Operator
    number: int | float


class Clause(msgspec.Struct, frozen=True, array_like=True):
    """One way to satisfy a boolean condition; positions in `Correlation.references`, ascending."""

    present: tuple[int, ...]
    absent: tuple[int, ...] = ()


class Reference(msgspec.Struct, frozen=True):
    """A detection, or another correlation, that the correlation refers to."""

    id: str
    title: str
    """What the evidence calls it: the rule's title, or the name by which the author referred to it."""
    fields: dict[str, str] = {}
    """Alias -> the field that holds it in this detection's events, or the group-by field of this correlation."""
    fingerprint: str = ""
    """The fingerprint of the correlation, if it is one; its state and that of the referring rule go together."""


class Share(msgspec.Struct, frozen=True):
    """Under which conditions the finding may be shared."""

    k: int
    """Least number of corporate groups hit."""
    tlp: Tlp


class Correlation(msgspec.Struct, frozen=True, kw_only=True):
    """One correlation rule, ready to be evaluated; its author's name and licence travel with it."""

    id: str
    fingerprint: str
    """Hash of what decides when the rule fires, and of nothing else."""
    title: str
    kind: Kind
    references: tuple[Reference, ...]
    group_by: tuple[str, ...] = ()
    timespan: int
    """Milliseconds; a window is `[t - timespan, t]`, both ends included."""
    comparisons: tuple[Comparison, ...] = ()
    """All must hold: one, or a range."""
    clauses: tuple[Clause, ...] = ()
    """A boolean condition over references; some clause must hold. Then there are no comparisons."""
    values: tuple[str, ...] = ()
    """Fields of `value_*`; several only for `value_count`, which counts distinct tuples."""
    percentile: int | float | None = None
    min_organizations: int = 1
    """Least number of distinct corporate groups, at the same instant."""
    suppress: int
    """Milliseconds; instants no further apart than this belong to one alert."""
    settle_after: int | None = None
    """Milliseconds that its settle line stays behind the clock, if fewer than for all others."""
    weight: str | None = None
    """Field with the number of events in a rolled-up event."""
    nonnegative: bool = False
    share: Share | None = None
    alerts: bool = True
    """Whether it alerts by itself; if not, it only serves the correlations that refer to it."""
    generate: bool = False
    """Whether the rules it refers to alert by themselves as well."""
    family: str = ""
    """Correlations that refer to each other share this name and live together; empty for one on its own."""
    family_key: tuple[int, ...] = ()
    """Which values of the group, by position, choose the shard of a family."""
    level: Level = "medium"
    name: str = ""
    status: str = ""
    description: str = ""
    author: str = ""
    license: str = ""
    links: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()
    tlp: Tlp = "amber"
    source: str = ""
    """`file:line` without the folder."""

    @property
    def rising(self) -> bool:
        """Whether the comparisons only ask for much: more never unsatisfies them."""
        return all(comparison.op in ("gt", "gte") for comparison in self.comparisons)

    @property
    def eager(self) -> bool:
        """Whether more hits can never unsatisfy the condition, so that it may fire on arrival (correlation.md 1)."""
        if self.clauses:
            return not any(clause.absent for clause in self.clauses)
        if self.kind in ("value_avg", "value_percentile"):
            return False
        return self.rising and (self.kind != "value_sum" or self.nonnegative)

    @property
    def least(self) -> int:
        """The smallest whole number that is not too small for any comparison."""
        bounds = (
            math.floor(comparison.number) + 1 if comparison.op == "gt" else math.ceil(comparison.number)
            for comparison in self.comparisons
            if comparison.op in ("gt", "gte", "eq")
        )
        return max(bounds, default=1)

    @property
    def expects_absence(self) -> bool:
        """Whether some clause holds only if a reference stays away."""
        return any(clause.absent for clause in self.clauses)


def tlp_of(tags: Iterable[str]) -> Tlp:
    """The sharing label among a rule's tags (`tlp.green`); amber without one."""
    named = {tag.lower() for tag in tags}
    return next((label for label in get_args(Tlp) if f"tlp.{label}" in named), "amber")


def fingerprint_of(correlation: Correlation) -> dict[str, object]:
    """The parts of a correlation that decide when it fires, as plain data."""
    return {
        "kind": correlation.kind,
        "references": [
            (reference.id, sorted(reference.fields.items()), *filter(None, [reference.fingerprint]))
            for reference in correlation.references
        ],
        "group_by": correlation.group_by,
        "timespan": correlation.timespan,
        "comparisons": sorted((comparison.op, comparison.number) for comparison in correlation.comparisons),
        "clauses": sorted((clause.present, clause.absent) for clause in correlation.clauses),
        "values": correlation.values,
        "percentile": correlation.percentile,
        "min_organizations": correlation.min_organizations,
        "suppress": correlation.suppress,
        "weight": correlation.weight,
        "nonnegative": correlation.nonnegative,
        **({"settle_after": correlation.settle_after} if correlation.settle_after is not None else {}),
        **({"family": [correlation.family, correlation.family_key]} if correlation.family else {}),
    }
