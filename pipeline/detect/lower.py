r"""pySigma's rules to plans: every typed value becomes a leaf, every map, list and condition a combination of leaves.

sel: {a|endswith: [x, y], b: 1}, condition: not sel
    ->  Not(Selection("sel", AllOf((AnyOf((Text(a, endswith, x), Text(a, endswith, y))), Number(b, ==, 1)))))
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final, Literal

from sigma.conditions import ConditionAND
from sigma.exceptions import SigmaRuleLocation
from sigma.modifiers import (
    SigmaCaseSensitiveModifier,
    SigmaEndswithModifier,
    SigmaModifier,
    SigmaStartswithModifier,
)
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaRule
from sigma.types import (
    CompareOperators,
    SigmaBool,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaRegularExpressionFlag,
    SigmaString,
    SigmaTimestampPart,
    SigmaType,
    SpecialChars,
)

from pipeline.detect.condition import parse_condition
from pipeline.detect.plan import (
    AllOf,
    AnyOf,
    Boolean,
    Cidr,
    Comparison,
    Exists,
    Expression,
    Not,
    Null,
    Number,
    Regex,
    SameAs,
    Selection,
    Text,
    TimePart,
    TimeUnit,
    all_of,
    any_of,
)
from pipeline.detect.regexes import compile_like, compile_regex
from schemas.errors import RuleError

_OPERATORS: Final[dict[CompareOperators, Comparison]] = {
    CompareOperators.LT: "<",
    CompareOperators.LTE: "<=",
    CompareOperators.GT: ">",
    CompareOperators.GTE: ">=",
}
_FLAGS: Final = {
    SigmaRegularExpressionFlag.IGNORECASE: "i",
    SigmaRegularExpressionFlag.MULTILINE: "m",
    SigmaRegularExpressionFlag.DOTALL: "s",
}
_UNITS: Final[dict[str, TimeUnit]] = {
    "MINUTE": "minute",
    "HOUR": "hour",
    "DAY": "day",
    "WEEK": "week",
    "MONTH": "month",
    "YEAR": "year",
}


MAX_LEAVES: Final = 200_000
"""Tests of one rule; the largest known one has under 5,000."""


def lower_rule(rule: SigmaRule) -> Expression:
    """The rule's conditions (several are OR-linked) over its selections.

    Raises:
        RuleError: a value, a regular expression or a condition that cannot be honoured.
    """
    selections = {name: lower_detection(detection) for name, detection in rule.detection.detections.items()}
    where = place_of(rule.detection.source)
    lowered = any_of(tuple(parse_condition(text, selections, where) for text in rule.detection.condition))
    if (size := _size(lowered, {})) > MAX_LEAVES:
        raise RuleError(where, "the conditions repeat too many values", got=size, expected=f"at most {MAX_LEAVES}")
    return lowered


def _size(expression: Expression, known: dict[int, int]) -> int:
    """Leaves as a pack would hold them, where a selection that is named twice stands twice."""
    found = known.get(id(expression))
    if found is None:
        match expression:
            case AllOf(parts) | AnyOf(parts):
                found = sum(_size(part, known) for part in parts)
            case Not(part) | Selection(_, part):
                found = _size(part, known)
            case _:
                found = 1
        known[id(expression)] = found
    return found


def place_of(source: SigmaRuleLocation | None) -> str:
    """`file:line` of a part that `parse_rule` made; a processing pipeline's parts have none."""
    return f"{source.path}:{source.line}" if source else "processing pipeline"


def lower_detection(detection: SigmaDetection) -> Expression:
    """One selection: all its fields, or any of its maps."""
    items = [item for item in detection.detection_items if isinstance(item, SigmaDetectionItem)]
    if detection.item_linking is not ConditionAND and items == detection.detection_items and _is_one_test(items):
        return _lower_alternatives(items)
    parts = tuple(
        lower_item(item) if isinstance(item, SigmaDetectionItem) else lower_detection(item)
        for item in detection.detection_items
    )
    return all_of(parts) if detection.item_linking is ConditionAND else any_of(parts)


def _is_one_test(items: list[SigmaDetectionItem]) -> bool:
    return len(items) > 1 and all(item.value == items[0].value for item in items)


def _lower_alternatives(items: list[SigmaDetectionItem]) -> Expression:
    """One test whose field a processing pipeline gave several names: any of them, as with the elements of an array.

    Absence must hold for all: `Details: null` is not true because one of the names is absent.
    """
    first = items[0]
    columns = zip(*(item.value for item in items), strict=True)
    parts = tuple(
        (all_of if _is_absence(first.value[number]) else any_of)(tuple(map(_lower_value, column, items)))
        for number, column in enumerate(columns)
    )
    combined = all_of(parts) if first.value_linking is ConditionAND else any_of(parts)
    return Not(combined) if first.negated else combined


def _is_absence(value: SigmaType) -> bool:
    return isinstance(value, SigmaNull) or (isinstance(value, SigmaExists) and not value.exists)


def lower_item(item: SigmaDetectionItem) -> Expression:
    """One field with its values: any of them, all with `all`, none with `neq`."""
    parts = tuple(_lower_value(value, item) for value in item.value)
    combined = all_of(parts) if item.value_linking is ConditionAND else any_of(parts)
    return Not(combined) if item.negated else combined


def _lower_value(value: SigmaType, item: SigmaDetectionItem) -> Expression:
    field, where = item.field, place_of(item.source)
    match value:
        case SigmaExpansion():
            return any_of(tuple(_lower_value(part, item) for part in value.values))
        case SigmaString():
            return _lower_text(value, item)
        case SigmaRegularExpression():
            flags = "".join(sorted(_FLAGS[flag] for flag in value.flags))
            compile_regex(str(value.regexp), flags, where)
            return Regex(field, str(value.regexp), flags)
        case SigmaCIDRExpression():
            return Cidr(field, str(_plain_network(value.network)))
    if field is None:
        told = f"{type(value).__name__.removeprefix('Sigma')} needs a field; keywords are texts or numbers"
        raise RuleError(where, told)
    return _lower_field_value(value, field, item, where)


def _plain_network(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """`::ffff:10.0.0.0/104` is 10.0.0.0/8, however an event writes the address."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    return network if mapped is None or network.prefixlen < 96 else IPv4Network((mapped, network.prefixlen - 96))


def _lower_field_value(value: SigmaType, field: str, item: SigmaDetectionItem, where: str) -> Expression:
    match value:
        case SigmaTimestampPart():
            return TimePart(field, _UNITS[value.timestamp_part.name], "==", int(value.number))
        case SigmaNumber():
            return Number(field, "==", value.number)
        case SigmaBool():
            return Boolean(field, value.boolean)
        case SigmaNull():
            return Null(field)
        case SigmaExists():
            return Exists(field) if value.exists else Not(Exists(field))
        case SigmaCompareExpression():
            return _lower_comparison(value, field, where)
        case SigmaFieldReference():
            how: Literal["equals", "contains", "startswith", "endswith"] = "equals"
            if value.starts_with or value.ends_with:
                how = "endswith" if not value.starts_with else "contains" if value.ends_with else "startswith"
            return SameAs(field, how, value.field, _is_cased(item))
    raise RuleError(where, f"values of type {type(value).__name__} are not supported")


def _lower_comparison(value: SigmaCompareExpression, field: str, where: str) -> Expression:
    op = _OPERATORS.get(value.op)
    if op is None:
        raise RuleError(where, f"comparison {value.op.name} is not supported")
    if isinstance(value.number, SigmaTimestampPart):
        return TimePart(field, _UNITS[value.number.timestamp_part.name], op, int(value.number.number))
    return Number(field, op, value.number.number)


def _lower_text(value: SigmaString, item: SigmaDetectionItem) -> Text:
    """Plain text and wildcards at the ends become string operations; other wildcards a pattern."""
    parts = _merged(value)
    if item.field is None and not _has(item, SigmaStartswithModifier, SigmaEndswithModifier):
        # A keyword is found anywhere in a value.
        parts = _merged_parts([SpecialChars.WILDCARD_MULTI, *parts, SpecialChars.WILDCARD_MULTI])
    cased = _is_cased(item)
    many = SpecialChars.WILDCARD_MULTI
    match parts:
        case []:
            return Text(item.field, "equals", "", cased)
        case [str(text)]:
            return Text(item.field, "equals", text, cased)
        case [first] if first is many:
            return Text(item.field, "contains", "", cased)
        case [first, str(text)] if first is many:
            return Text(item.field, "endswith", text, cased)
        case [str(text), last] if last is many:
            return Text(item.field, "startswith", text, cased)
        case [first, str(text), last] if first is many and last is many:
            return Text(item.field, "contains", text, cased)
    pattern = "".join(_pattern(part) for part in parts)
    compile_like(pattern if cased else pattern.casefold(), place_of(item.source))
    return Text(item.field, "like", pattern, cased)


def _merged(value: SigmaString) -> list[str | SpecialChars]:
    return _merged_parts([part for part in value.s if isinstance(part, str | SpecialChars)])


def _merged_parts(parts: list[str | SpecialChars]) -> list[str | SpecialChars]:
    """Neighbouring texts joined, repeated `*` reduced to one."""
    merged: list[str | SpecialChars] = []
    for part in parts:
        last = merged[-1] if merged else None
        if isinstance(part, str) and isinstance(last, str):
            merged[-1] = last + part
        elif part == "" or (part is SpecialChars.WILDCARD_MULTI and last is part):
            continue
        else:
            merged.append(part)
    return merged


def _pattern(part: str | SpecialChars) -> str:
    if isinstance(part, SpecialChars):
        return "*" if part is SpecialChars.WILDCARD_MULTI else "?"
    return "".join("\\" + char if char in "\\*?" else char for char in part)


def _is_cased(item: SigmaDetectionItem) -> bool:
    # From the chain, not from the value's type: pySigma loses the type in `cased|windash` and the Base64 modifiers.
    return _has(item, SigmaCaseSensitiveModifier)


def _has(item: SigmaDetectionItem, *modifiers: type[SigmaModifier[Any, Any]]) -> bool:
    return any(issubclass(modifier, modifiers) for modifier in item.modifiers)
