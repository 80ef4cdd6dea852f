"""Sigma filters: an organisation's own exceptions, added to the rules they name without touching those.

    rule: sel      filter: {rules: [rule], known: {user: backup}, condition: not known}     ->  sel and not known

The filter's condition is AND-ed as written (pySigma and the v2.2 draft); an exclusion therefore says `not`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from pipeline.detect.placeholders import Placeholders
from pipeline.detect.plan import AllOf, DetectionPlan, Expression, LogSource, Selection
from pipeline.detect.taxonomy import Taxonomy, lower_document
from schemas.errors import RuleError, printable
from schemas.rule_document import RuleDocument
from schemas.suggest import did_you_mean


class Filter(msgspec.Struct, frozen=True):
    """One filter: what it demands, and of which rules (none named: all within its log source)."""

    id: str
    logsource: LogSource
    expression: Expression
    rules: tuple[str, ...]
    where: str


def compile_filter(document: RuleDocument, placeholders: Placeholders, taxonomy: Taxonomy = "sigma") -> Filter:
    """Read a filter document; its fields get the names of a taxonomy by the filter's own log source.

    Raises:
        RuleError: `file:line`: what is wrong.
    """
    data = document.data["filter"]
    rules = data.get("rules") if isinstance(data, dict) else None
    where = document.where("filter", "rules")
    if isinstance(rules, str):
        rules = () if rules.lower() == "any" else (rules,)
    elif not isinstance(rules, list) or not rules or not all(isinstance(rule, str) for rule in rules):
        raise RuleError(where, "a filter must say which rules it is for", got=rules, expected="ids, names or `any`")
    rule, expression = lower_document(document, placeholders, taxonomy, "filter")
    return Filter(document.id, logsource_of(rule.logsource), expression, tuple(rules), where)


def logsource_of(source: object) -> LogSource:
    """The log source of a pySigma rule, in lower case."""
    named = {name: getattr(source, name) for name in ("product", "category", "service")}
    return LogSource(**{name: value.lower() for name, value in named.items() if value is not None})


def apply_filters(plans: Sequence[DetectionPlan], filters: Iterable[Filter]) -> list[DetectionPlan]:
    """The plans with their filters AND-ed on, in the filters' order.

    Raises:
        RuleError: a filter that names a rule that is not there, or is about another log source.
    """
    filtered = list(plans)
    index = {key: number for number, plan in enumerate(plans) for key in (plan.id, plan.name) if key}
    for one in filters:
        if one.rules:
            numbers = [_target(one, rule, index, plans) for rule in one.rules]
        else:
            numbers = [number for number, plan in enumerate(plans) if one.logsource.covers(plan.logsource)]
        for number in dict.fromkeys(numbers):
            filtered[number] = _filtered(filtered[number], one)
    return filtered


def _target(one: Filter, rule: str, index: dict[str, int], plans: Sequence[DetectionPlan]) -> int:
    number = index.get(rule, index.get(rule.lower()))
    if number is None:
        raise RuleError(
            one.where,
            "the filter names a rule that is not here",
            got=rule,
            expected="a detection",
            hint=did_you_mean(rule, index) or "for a correlation, name the detections that it refers to",
        )
    if not one.logsource.covers(plans[number].logsource):
        theirs = plans[number].logsource
        raise RuleError(
            one.where,
            f"the filter is for {one.logsource}, the rule {printable(rule)} for {theirs}",
            expected="the same log source",
        )
    return number


def _filtered(plan: DetectionPlan, one: Filter) -> DetectionPlan:
    demanded = Selection(f"filter {one.id}", one.expression)
    return msgspec.structs.replace(plan, expression=AllOf((plan.expression, demanded)), filters=(*plan.filters, one.id))
