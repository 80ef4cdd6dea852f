"""Documents to plans: parse, fill placeholders, map fields, lower; then filters. One problem never hides another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from pipeline.detect.filters import Filter, apply_filters, compile_filter, logsource_of
from pipeline.detect.placeholders import Placeholders
from pipeline.detect.plan import DetectionPlan
from pipeline.detect.taxonomy import Taxonomy, lower_document
from schemas.errors import RuleError
from schemas.rule_document import RuleDocument

Progress = Callable[[int, int], None]
"""Called with how many documents are done, and of how many."""
Place = tuple[Path, int]
"""File and first line of a document."""


class Compiled(NamedTuple):
    """The plans in the order of their ids, and the rules that cannot be honoured."""

    plans: list[DetectionPlan]
    problems: list[RuleError]


def compile_detections(
    documents: Sequence[RuleDocument],
    *,
    placeholders: Placeholders | None = None,
    taxonomy: Taxonomy = "sigma",
    on_progress: Progress | None = None,
    known: dict[Place, DetectionPlan] | None = None,
) -> Compiled:
    """Compile every detection among the documents, with the filters among them; correlations are left to others.

    A rule that cannot be honoured is a problem with file, line and reason, never a plan that does not match.

    Args:
        documents: what `load_documents` gave.
        placeholders: values for `expand`.
        taxonomy: the field names that events have; rules of Sigma's are mapped for others.
        on_progress: told after every document.
        known: plans that were compiled before, each without filters; what is compiled now is added.
    """
    known = {} if known is None else known
    wanted = [document for document in documents if document.kind != "correlation"]
    plans: dict[str, DetectionPlan] = {}
    filters: list[Filter] = []
    problems: list[RuleError] = []
    for done, document in enumerate(wanted, 1):
        try:
            if document.kind == "filter":
                filters.append(compile_filter(document, placeholders or {}, taxonomy))
            else:
                place = document.path, document.line
                if place not in known:
                    known[place] = compile_detection(document, placeholders or {}, taxonomy)
                _add(known[place], plans, document)
        except RuleError as problem:
            problems.append(problem)
        if on_progress:
            on_progress(done, len(wanted))
    ordered = [plans[identity] for identity in sorted(plans)]
    for one in sorted(filters, key=lambda found: found.id):
        try:
            ordered = apply_filters(ordered, [one])
        except RuleError as problem:
            problems.append(problem)
    return Compiled(ordered, problems)


def _add(plan: DetectionPlan, plans: dict[str, DetectionPlan], document: RuleDocument) -> None:
    known = plans.get(plan.id)
    if known is not None:
        where = document.where("id")
        raise RuleError(where, f"this id belongs to another rule ({known.source})", got=plan.id, hint="a new UUID")
    plans[plan.id] = plan


def first_of(problems: Sequence[RuleError]) -> RuleError:
    """The first problem, which tells how many more there are."""
    first, more = problems[0], len(problems) - 1
    if not more:
        return first
    rest = f"jsoc rules check, which names the {more} other rules with problems too"
    hint = f"{first.hint}; or {rest}" if first.hint else rest
    return RuleError(first.where, first.what, got=first.got, expected=first.expected, hint=hint)


def compile_detection(
    document: RuleDocument, placeholders: Placeholders, taxonomy: Taxonomy = "sigma"
) -> DetectionPlan:
    """Compile one detection.

    Raises:
        RuleError: `file:line`: what cannot be honoured.
    """
    rule, expression = lower_document(document, placeholders, taxonomy)
    return DetectionPlan(
        id=_identity(document),
        title=rule.title,
        logsource=logsource_of(rule.logsource),
        expression=expression,
        name=rule.name or "",
        level=rule.level.name.lower() if rule.level else "medium",
        status=rule.status.name.lower() if rule.status else "",
        description=rule.description or "",
        author=rule.author or "",
        license=rule.license or "",
        references=_texts(rule.references),
        tags=tuple(str(tag) for tag in rule.tags),
        falsepositives=_texts(rule.falsepositives),
        alerts=_alerts(document),
        source=f"{document.path.name}:{document.line}",
    )


def _identity(document: RuleDocument) -> str:
    """The rule's id; a UUID in its usual spelling."""
    try:
        return str(UUID(document.id))
    except ValueError:
        return document.id


def _alerts(document: RuleDocument) -> bool:
    """`federation: {alert: true}`: whether a match is an alert by itself."""
    block: Any = document.data.get("federation", {})
    if not isinstance(block, dict) or not block.keys() <= {"alert"} or not isinstance(block.get("alert", False), bool):
        where = document.where("federation")
        raise RuleError(where, "not a detection's federation block", got=block, expected="alert: true or false")
    return bool(block.get("alert", False))


def _texts(values: Sequence[object] | None) -> tuple[str, ...]:
    return tuple(str(value) for value in values or ())
