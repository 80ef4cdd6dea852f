"""The checks that need all rules together: names, references, filters, the members, sharing, and what nothing uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from pipeline.correlate.rule import Correlation, compile_correlations
from pipeline.detect.filters import apply_filters, compile_filter
from pipeline.detect.placeholders import Placeholders
from pipeline.detect.plan import DetectionPlan, LogSource
from pipeline.rulepack import check_correlations, detection_ids
from pipeline.workbench.findings import Finding, Summary, error, warning
from schemas.errors import RuleError
from schemas.logsource import load_table
from schemas.member import MemberRegistry
from schemas.rule_document import RuleDocument

OPEN_LABELS: Final = ("green", "clear")
"""TLP labels under which others than the members may read a finding."""
OPEN_K: Final = 3
"""Of two groups each knows who the other is."""


def check_all(
    detections: Sequence[Summary], others: Sequence[RuleDocument], registry: MemberRegistry, placeholders: Placeholders
) -> Iterator[Finding]:
    """Check rules against each other and against the members.

    Args:
        detections: every detection that compiles.
        others: every correlation and filter.
        registry: the members; without any, nothing is said about them.
        placeholders: values for `expand` in filters.
    """
    yield from _shared_names(detections, others)
    plans = {summary.id: summary.stub() for summary in detections}
    stubs = [plans[identity] for identity in sorted(plans)]
    for document in others:
        if document.kind == "filter":
            try:
                apply_filters(stubs, [compile_filter(document, placeholders, "sigma")])
            except RuleError as problem:
                yield error(problem)
    try:
        ids = detection_ids(stubs)
    except RuleError as problem:
        yield error(problem)
        return
    problems = check_correlations(others, stubs, registry)
    yield from map(error, problems)
    correlations = [document for document in others if document.kind == "correlation"]
    if problems or not correlations:
        return
    compiled = {one.id: one for one in compile_correlations(correlations, ids, registry)}
    yield from _unused(detections, compiled.values())
    for document in correlations:
        rule = compiled[document.id]
        yield from _sharing(document, rule)
        yield from _baseline(document, rule, plans, registry)


def _shared_names(detections: Sequence[Summary], others: Sequence[RuleDocument]) -> Iterator[Finding]:
    named = [(one.where, one.id, one.title) for one in detections]
    named += [(one.where("id"), one.id, str(one.data.get("title", ""))) for one in others]
    ids: dict[str, str] = {}
    titles: dict[str, str] = {}
    for where, identity, title in named:
        if ids.setdefault(identity, where) != where:
            yield error(RuleError(where, f"this id belongs to another rule ({ids[identity]})", got=identity))
        if titles.setdefault(title, where) != where:
            yield warning("duplicate_title", where, f"the title is that of {titles[title]}: {title}")


def _unused(detections: Sequence[Summary], correlations: Iterable[Correlation]) -> Iterator[Finding]:
    used = {reference.id for rule in correlations for reference in rule.references}
    for one in detections:
        if one.id not in used and not one.alerts:
            what = "nothing uses this detection: no correlation refers to it, and it does not alert by itself"
            yield warning("unused", one.where, what)


def _sharing(document: RuleDocument, rule: Correlation) -> Iterator[Finding]:
    share = rule.share
    if share is None:
        return
    where = document.where("federation", "share")
    if share.tlp in OPEN_LABELS and share.k < OPEN_K:
        what = f"k {share.k} is too low for TLP:{share.tlp}: of two groups each knows the other; at least {OPEN_K}"
        yield warning("share_policy", where, what)


def _baseline(
    document: RuleDocument, rule: Correlation, plans: dict[str, DetectionPlan], registry: MemberRegistry
) -> Iterator[Finding]:
    declaring = [member for member in registry.members if member.enabled and member.datasets]
    if not declaring:
        return
    groups = registry.groups()
    able: set[str] = set()
    for reference in rule.references:
        plan = plans.get(reference.id)
        if plan is None:
            return  # a correlation below, which says it for itself
        names = datasets_of(plan.logsource)
        able |= {groups[member.id] for member in declaring if names.intersection(member.datasets)}
    if len(able) < rule.min_organizations:
        what = (
            f"{len(able)} of the {rule.min_organizations} institutions (corporate groups) that the rule wants declare "
            "a data set that it reads"
        )
        yield warning("missing_dataset", document.where("correlation", "rules"), what)


def datasets_of(logsource: LogSource) -> frozenset[str]:
    """The data sets whose events a rule of this log source may see."""
    found = set()
    for name, entry in load_table().datasets.items():
        refined = [more for choices in entry.refine.values() for more in choices.values()]
        offers = [
            {known for one in (entry, *refined) for known in one.names[position]}
            for position in range(len(entry.names))
        ]
        wanted = zip(logsource.attributes(), offers, strict=True)
        if all(attribute is None or attribute in offered for attribute, offered in wanted):
            found.add(name)
    return frozenset(found)
