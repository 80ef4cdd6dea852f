"""Which correlations can fire, given which detections can fire at which member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pipeline.correlate.correlation import Correlation

ORGANIZATION: Final = "organization.id"


class CorrelationCoverage(NamedTuple):
    """What one correlation can do in a federation."""

    rule: Correlation
    groups: tuple[str, ...]
    """Corporate groups that can contribute."""
    silent: tuple[str, ...]
    """Titles of rules it refers to that can fire nowhere."""
    fires: bool

    @property
    def note(self) -> str:
        """Why it cannot fire, or how many can contribute."""
        if self.silent and not self.fires:
            return f"can fire nowhere: {', '.join(self.silent)}"
        return f"{len(self.groups)} institutions (corporate groups) can contribute, {self.rule.min_organizations} must"


def cover_correlations(
    rules: Sequence[Correlation], detections: Mapping[str, frozenset[str]], groups: Mapping[str, str]
) -> list[CorrelationCoverage]:
    """What each correlation can do.

    Args:
        rules: all of them; those that others refer to as well.
        detections: id of each detection -> members at which it can fire.
        groups: member -> corporate group.
    """
    known = {rule.id: rule for rule in rules}
    covered: dict[str, tuple[CorrelationCoverage, frozenset[str]]] = {}

    def places_of(identity: str) -> frozenset[str]:
        if identity in detections:
            return detections[identity]
        if identity not in covered:
            rule = known[identity]
            covered[identity] = _cover(rule, [places_of(one.id) for one in rule.references], groups)
        return covered[identity][1]

    for rule in rules:
        places_of(rule.id)
    return [covered[rule.id][0] for rule in rules]


def _cover(
    rule: Correlation, places: Sequence[frozenset[str]], groups: Mapping[str, str]
) -> tuple[CorrelationCoverage, frozenset[str]]:
    """What it can do, and the members at which it can, from where each of its references can."""
    members = frozenset[str]().union(*places)
    silent = tuple(one.title for one, where in zip(rule.references, places, strict=True) if not where)
    wants_all = rule.kind in ("temporal", "temporal_ordered") and not rule.clauses
    if wants_all and ORGANIZATION in rule.group_by:
        members = members.intersection(*places)
    contributing = tuple(sorted({groups.get(member, member) for member in members}))
    fires = len(contributing) >= max(rule.min_organizations, 1) and not (wants_all and silent)
    return CorrelationCoverage(rule, contributing, silent, fires), members if fires else frozenset()
