"""Why a rule does or does not match an event: every part of it with pass or fail, the value found and the reason.

Made of the plain evaluator's own tests, so that it cannot disagree with a match.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pipeline.detect.plain import compile_test
from pipeline.detect.plan import (
    AllOf,
    AnyOf,
    Boolean,
    Cidr,
    DetectionPlan,
    Exists,
    Expression,
    Leaf,
    Not,
    Null,
    Number,
    Regex,
    SameAs,
    Selection,
    Text,
    TimePart,
)
from pipeline.detect.routing import names_of, stated_names
from pipeline.detect.view import EventView
from schemas.event import Fields, Value
from schemas.logsource import FIELDS

MAX_SHOWN: Final = 12
"""Failed alternatives shown of one list; a rule may have thousands."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One part of a rule and what came of it."""

    matched: bool
    what: str
    """The test in words, such as `process.name endswith "cmd.exe"`."""
    reason: str = ""
    field: str | None = None
    actual: Value = None
    """The field's value; None too where it is absent, which the reason tells."""
    parts: tuple[Explanation, ...] = ()


def explain(plan: DetectionPlan, fields: Fields, *, routed: bool = True) -> Explanation:
    """The rule's log source and conditions against one event.

    `explain(plan, fields).matched` equals `Detector([plan]).match(fields) == (0,)`.
    """
    view = EventView(fields)
    condition = _explain(plan.expression, view)
    parts = (_logsource(plan, fields), condition) if routed else (condition,)
    return Explanation(all(part.matched for part in parts), f"{plan.title} ({plan.id})", parts=parts)


def _logsource(plan: DetectionPlan, fields: Fields) -> Explanation:
    wanted = zip(("product", "category", "service"), plan.logsource.attributes(), names_of(fields), FIELDS, strict=True)
    parts = []
    for attribute, name, stated, field in wanted:
        if name is not None:
            shown = ", ".join(stated_names(fields.get(field))) or "none"
            reason = f"the event's {attribute}: {shown}"
            parts.append(Explanation(name in stated, f"{attribute} is {name}", reason, field, fields.get(field)))
    return Explanation(all(part.matched for part in parts), "log source", parts=tuple(parts))


def _explain(expression: Expression, view: EventView) -> Explanation:
    match expression:
        case AllOf(parts):
            explained = tuple(_explain(part, view) for part in parts)
            return Explanation(all(part.matched for part in explained), "all of", parts=explained)
        case AnyOf(parts):
            explained = tuple(_explain(part, view) for part in parts)
            return Explanation(any(part.matched for part in explained), "any of", parts=explained)
        case Not(part):
            inner = _explain(part, view)
            return Explanation(not inner.matched, "not", parts=(inner,))
        case Selection(name, part):
            inner = _explain(part, view)
            return Explanation(inner.matched, name, parts=(inner,))
    return _leaf(expression, view)


def _leaf(leaf: Leaf, view: EventView) -> Explanation:
    matched = compile_test(leaf)(view)
    actual = view.fields.get(leaf.field) if leaf.field is not None else None
    return Explanation(matched, describe(leaf), _reason(leaf, view, matched=matched), leaf.field, actual)


def _reason(leaf: Leaf, view: EventView, *, matched: bool) -> str:
    if leaf.field is None:
        return "found in a value" if matched else "in no value of the event"
    if leaf.field not in view.fields:
        return "the field is absent"
    value = view.fields[leaf.field]
    if isinstance(leaf, SameAs) and leaf.other not in view.fields:
        return f"{leaf.other} is absent"
    if not matched and isinstance(leaf, Text) and leaf.cased and _but_for_case(leaf, view):
        return "only the case differs"
    if not matched and isinstance(leaf, Number | TimePart) and not view.numbers(leaf.field) and value is not None:
        return "not a number" if isinstance(leaf, Number) else "not this time"
    return "null" if value is None else "an empty array" if value == () else ""


def _but_for_case(leaf: Text, view: EventView) -> bool:
    return compile_test(Text(leaf.field, leaf.how, leaf.text))(view)


def describe(leaf: Leaf) -> str:
    """A leaf in words."""
    name = "any value" if leaf.field is None else leaf.field
    match leaf:
        case Text(_, how, text, cased):
            return f'{name} {how} "{text}"{", case-sensitive" if cased else ""}'
        case Number(_, op, number):
            return f"{name} {op} {number}"
        case Boolean(_, truth):
            return f"{name} is {str(truth).lower()}"
        case Null():
            return f"{name} is null or absent"
        case Exists():
            return f"{name} exists"
        case Regex(_, pattern, flags):
            return f"{name} matches /{pattern}/{flags}"
        case Cidr(_, network):
            return f"{name} in {network}"
        case SameAs(_, how, other, cased):
            return f"{name} {how} the field {other}{', case-sensitive' if cased else ''}"
        case TimePart(_, unit, op, number):
            return f"{unit} of {name} {op} {number}"


def lines_of(explanation: Explanation, depth: int = 0) -> Iterator[str]:
    """The explanation as text, one line for each part, indented; foreign text is not made safe here."""
    verdict = "PASS" if explanation.matched else "FAIL"
    actual = "" if explanation.field is None or explanation.actual is None else f"  [{explanation.actual!r}]"
    reason = f"  ({explanation.reason})" if explanation.reason else ""
    yield f"{verdict} {'  ' * depth}{explanation.what}{actual}{reason}"
    shown = explanation.parts
    if len(shown) > MAX_SHOWN:
        passed = [part for part in shown if part.matched]
        failed = [part for part in shown if not part.matched]
        shown = (*passed, *failed[: max(0, MAX_SHOWN - len(passed))])
    for part in shown:
        yield from lines_of(part, depth + 1)
    if len(shown) < len(explanation.parts):
        yield f"FAIL {'  ' * (depth + 1)}... and {len(explanation.parts) - len(shown)} more"
