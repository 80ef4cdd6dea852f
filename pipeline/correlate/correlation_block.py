"""The `correlation:` block of a rule: Sigma's own, with ranges and float thresholds, which pySigma cannot read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, get_args

from pipeline.correlate.condition import condition_names, parse_condition
from pipeline.correlate.correlation import NUMERIC, TEMPORAL, Clause, Comparison, Kind, Operator
from pipeline.correlate.timespan import parse_timespan
from schemas.errors import RuleError
from schemas.rule_document import RuleDocument
from schemas.suggest import did_you_mean

KEYS: Final = ("type", "rules", "group-by", "timespan", "condition", "aliases", "generate")
KINDS: Final = (*get_args(Kind), "value_median")
OPERATORS: Final = get_args(Operator)
MAX_REFERENCES: Final = 32
MAX_GROUP_FIELDS: Final = 8


class Block(NamedTuple):
    """What the block says, references not yet resolved."""

    kind: Kind
    rules: tuple[str, ...]
    group_by: tuple[str, ...]
    timespan: int
    comparisons: tuple[Comparison, ...]
    clauses: tuple[Clause, ...]
    values: tuple[str, ...]
    percentile: int | float | None
    aliases: dict[str, dict[str, str]]
    """Alias -> rule as referred to -> field."""
    generate: bool = False


def read_correlation(document: RuleDocument) -> Block:
    """Read the block.

    Raises:
        RuleError: `file:line`: what is wrong in it.
    """
    block = document.data["correlation"]
    if not isinstance(block, dict):
        raise RuleError(document.where("correlation"), "not a block", got=block, expected="keys and values")
    for key in block:
        if key not in KEYS:
            where, hint = document.where("correlation", key), did_you_mean(key, KEYS)
            raise RuleError(where, "unknown key in `correlation`", got=key, expected=", ".join(KEYS), hint=hint)
    return _Reader(document, block).read()._replace(generate=_generate(document, block))


def _generate(document: RuleDocument, block: dict[str, Any]) -> bool:
    """The specification's schema has the key beside the block, its converters read it inside: either will do."""
    places = ((("generate",), document.data), (("correlation", "generate"), block))
    found = [(document.where(*keys), data["generate"]) for keys, data in places if "generate" in data]
    for where, said in found:
        if type(said) is not bool:
            raise RuleError(where, "`generate` is not yes or no", got=said, expected="true or false")
    if len({said for _, said in found}) > 1:
        raise RuleError(found[1][0], "`generate` says yes beside the block and no inside, or the other way round")
    return bool(found and found[0][1])


class _Reader:
    def __init__(self, document: RuleDocument, block: dict[str, Any]) -> None:
        self._document = document
        self._block = block

    def read(self) -> Block:
        named: Any = self._block.get("type")
        if named not in KINDS:
            hint = did_you_mean(str(named), KINDS)
            raise self._error("not a correlation type", "type", got=named, expected=", ".join(KINDS), hint=hint)
        kind: Kind = "value_percentile" if named == "value_median" else named
        condition = self._block.get("condition")
        rules = self._rules(condition)
        comparisons: tuple[Comparison, ...] = ()
        clauses: tuple[Clause, ...] = ()
        values: tuple[str, ...] = ()
        percentile: int | float | None = None
        if isinstance(condition, str):
            if kind not in TEMPORAL:
                raise self._error("a boolean condition needs a temporal type", "condition", got=named)
            clauses = parse_condition(condition, rules, self._where("condition"))
        elif condition is None and kind in TEMPORAL:
            comparisons = (Comparison("gte", len(rules)),)
        elif isinstance(condition, dict):
            comparisons = self._comparisons(condition, kind, len(rules))
            values = self._values(condition, kind)
            percentile = self._percentile(condition, str(named))
        else:
            raise self._error("no condition", "condition", got=condition, expected="for example `gte: 10`")
        group_by = self._names("group-by", MAX_GROUP_FIELDS) if "group-by" in self._block else ()
        span = parse_timespan(self._block.get("timespan"), self._where("timespan"))
        aliases = self._aliases(rules, (*group_by, *values))
        return Block(kind, rules, group_by, span, comparisons, clauses, values, percentile, aliases)

    def _where(self, *keys: str | int) -> str:
        return self._document.where("correlation", *keys)

    def _error(
        self, what: str, *keys: str, got: object = None, expected: str | None = None, hint: str | None = None
    ) -> RuleError:
        return RuleError(self._where(*keys), what, got=got, expected=expected, hint=hint)

    def _names(self, key: str, most: int) -> tuple[str, ...]:
        value = self._block.get(key)
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
            raise self._error(f"`{key}` is not a name or a list of names", key, got=value)
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise self._error(f"`{key}` names something twice", key, got=repeated[0])
        if len(names) > most:
            raise self._error(f"`{key}` is too long", key, got=len(names), expected=f"at most {most}")
        return tuple(names)

    def _rules(self, condition: object) -> tuple[str, ...]:
        stated = isinstance(condition, str)
        named = tuple(condition_names(condition, self._where("condition"))) if isinstance(condition, str) else ()
        if "rules" not in self._block and stated:
            return named
        rules = self._names("rules", MAX_REFERENCES)
        if stated and set(named) != set(rules):
            other = sorted(set(named) ^ set(rules))[0]
            raise self._error("`rules` and the condition do not name the same rules", "condition", got=other)
        return rules

    def _comparisons(self, condition: dict[str, Any], kind: Kind, references: int) -> tuple[Comparison, ...]:
        for key in condition:
            if key not in (*OPERATORS, "field", "percentile"):
                known = (*OPERATORS, "field", "percentile")
                hint = did_you_mean(key, known)
                told = "unknown key in `condition`"
                raise self._error(told, "condition", key, got=key, expected=", ".join(known), hint=hint)
        found = []
        for op in OPERATORS:
            if op in condition:
                number = condition[op]
                if type(number) not in (int, float) or not math.isfinite(number) or abs(number) > 10**12:
                    raise self._error(f"`{op}` needs a number", "condition", op, got=number, expected="at most 10^12")
                found.append(Comparison(op, number))
        if not found:
            raise self._error("the condition compares with nothing", "condition", expected=" ".join(OPERATORS))
        self._check_range(found, kind, references)
        return tuple(found)

    def _check_range(self, comparisons: Sequence[Comparison], kind: Kind, references: int) -> None:
        """Refuse what always or never holds: a metric counts from 1, or from 0 where events may lack the value."""
        if kind in NUMERIC:
            low, high = -math.inf, math.inf
        else:
            low = 0 if kind == "value_count" else 1
            high = references if kind in TEMPORAL else math.inf
        if kind not in NUMERIC and all(_holds_always(comparison, low, high) for comparison in comparisons):
            raise self._error("the condition always holds", "condition", expected="a bound that some windows miss")
        least, most, strict_least, strict_most = low, high, False, False
        for comparison in comparisons:
            op, number = comparison.op, comparison.number
            if op in ("gt", "gte", "eq") and (number, op == "gt") > (least, strict_least):
                least, strict_least = number, op == "gt"
            if op in ("lt", "lte", "eq") and (-number, op == "lt") > (-most, strict_most):
                most, strict_most = number, op == "lt"
        if kind not in NUMERIC and most != math.inf:
            most, strict_most = (math.ceil(most) - 1 if strict_most else math.floor(most)), False
            least, strict_least = (math.floor(least) + 1 if strict_least else math.ceil(least)), False
        if least > most or (least == most and (strict_least or strict_most)):
            raise self._error("the condition never holds", "condition", expected=f"something within {low:g}..{high:g}")

    def _values(self, condition: dict[str, Any], kind: Kind) -> tuple[str, ...]:
        field = condition.get("field")
        if not kind.startswith("value_"):
            if field is not None:
                raise self._error(f"`field` means nothing for {kind}", "condition", "field", got=field)
            return ()
        fields = [field] if isinstance(field, str) else field
        if not isinstance(fields, list) or not fields or not all(isinstance(name, str) and name for name in fields):
            raise self._error(f"{kind} needs a field", "condition", got=field, expected="`field: destination.port`")
        if len(fields) > (most := 1 if kind in NUMERIC else MAX_GROUP_FIELDS):
            raise self._error("too many fields", "condition", "field", got=len(fields), expected=f"at most {most}")
        return tuple(fields)

    def _percentile(self, condition: dict[str, Any], named: str) -> int | float | None:
        percentile: int | float | None = condition.get("percentile")
        if named != "value_percentile":
            if percentile is not None:
                raise self._error(f"`percentile` means nothing for {named}", "condition", "percentile", got=percentile)
            return 50 if named == "value_median" else None
        if type(percentile) not in (int, float) or not 0 <= (percentile or 0) <= 100:
            raise self._error(
                "value_percentile needs a percentile", "condition", "percentile", got=percentile, expected="0 to 100"
            )
        return percentile

    def _aliases(self, rules: Sequence[str], used: Sequence[str]) -> dict[str, dict[str, str]]:
        aliases = self._block.get("aliases", {})
        if not isinstance(aliases, dict):
            raise self._error("not a block of aliases", "aliases", got=aliases)
        for alias, fields in aliases.items():
            if alias not in used:
                raise self._error(
                    "an alias that nothing uses", "aliases", alias, got=alias, expected=", ".join(used) or None
                )
            if not isinstance(fields, dict) or not fields:
                raise self._error("an alias says which field stands for it in which rule", "aliases", alias, got=fields)
            for rule, field in fields.items():
                if rule not in rules:
                    raise self._error("the alias names a rule that is not listed", "aliases", alias, rule, got=rule)
                if not isinstance(field, str) or not field:
                    raise self._error("not a field name", "aliases", alias, rule, got=field)
        return aliases


def _holds_always(comparison: Comparison, low: float, high: float) -> bool:
    """Whether every metric within `low`..`high` (whole numbers) passes; `gte: 1` is how a rule asks for each event."""
    number = comparison.number
    match comparison.op:
        case "gt":
            return math.floor(number) + 1 < 1
        case "gte":
            return math.ceil(number) < 1
        case "lt":
            return math.ceil(number) - 1 >= high
        case "lte":
            return math.floor(number) >= high
        case "neq":
            return not low <= number <= high
        case "eq":
            return low == high == number
