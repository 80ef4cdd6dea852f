"""Whether what a rule reads comes in: which data sets feed it, who declares them, and who of those reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from pipeline.detect.plan import LogSource
from pipeline.rulepack import RulePack
from pipeline.workbench.check_all import datasets_of
from schemas.member import Member

_datasets_of = cache(datasets_of)


@dataclass(frozen=True, slots=True)
class Feed:
    """What feeds one rule: corporate groups that send its data now, of those that should, and how many it wants."""

    healthy: int
    declared: int
    wanted: int

    @property
    def too_few(self) -> bool:
        """Whether the rule cannot fire for want of data, although its data is declared or wanted."""
        return self.healthy < self.wanted


def feeds_of(pack: RulePack, members: Iterable[Member], reporting: frozenset[str]) -> dict[str, Feed]:
    """Rule id -> what feeds it, for each rule that alerts; empty where nobody declares a data set.

    Args:
        pack: the rules in force.
        members: the registry; who declares no data set may send anything, and is taken to.
        reporting: ids of the members that report now.
    """
    enabled = [member for member in members if member.enabled]
    if not any(member.datasets for member in enabled):
        return {}
    sources = {plan.id: plan.logsource for plan in pack.detections}
    references = {rule.id: [reference.id for reference in rule.references] for rule in pack.correlations}
    wanted = {plan.id: 1 for plan in pack.detections if plan.alerts}
    wanted |= {rule.id: rule.min_organizations for rule in pack.correlations if rule.alerts}
    found = {}
    for rule, number in wanted.items():
        senders = [m for m in enabled if any(_sends(m, s) for s in _sources(rule, references, sources))]
        groups = {member.group or member.id for member in senders}
        healthy = {member.group or member.id for member in senders if member.id in reporting}
        found[rule] = Feed(len(healthy), len(groups), number)
    return found


def _sources(
    rule: str, references: Mapping[str, list[str]], sources: Mapping[str, LogSource], depth: int = 0
) -> Iterable[LogSource]:
    """Log sources of the detections below a rule; a pack has no endless references, and a forged one is cut."""
    if rule in sources:
        yield sources[rule]
    elif depth < 8:
        for below in references.get(rule, ()):
            yield from _sources(below, references, sources, depth + 1)


def _sends(member: Member, source: LogSource) -> bool:
    return not member.datasets or not _datasets_of(source).isdisjoint(member.datasets)
