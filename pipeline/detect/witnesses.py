r"""Second fast layer: one look-up per field and value says which rules are worth testing.

A rule's *witness* is a test of one field without which the rule cannot hold, chosen from its top-level demands (of
alternatives, one witness each). Which witnesses a value satisfies is worked out once and remembered:

    rule 7: Image endswith \cmd.exe and ...      memo["Image"]["C:\Windows\cmd.exe"] = (7, ...)

An event's candidates are the rules remembered for its values, and those without a witness. Only they are evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from pipeline.detect.plain import Test
from pipeline.detect.plan import AllOf, AnyOf, Exists, How, Not, Null, Number, SameAs, Selection, Text
from pipeline.detect.siblings import Fused, NumberAmong, TextAmong, compile_fused, fuse
from pipeline.detect.view import EventView
from schemas.event import Fields, Scalar

MEMO_BYTES: Final = 64 * 1024 * 1024
"""What all memos of a detector may hold; then they start afresh. High-cardinality values cannot grow them."""
MAX_VALUE: Final = 2_048
"""Longer values hardly repeat: they are tested, not remembered."""
_ENTRY_BYTES: Final = 200
_TEXT_WEIGHTS: Final[dict[How, int]] = {"equals": 2, "endswith": 3, "startswith": 5, "contains": 6, "like": 6}


class Witness(NamedTuple):
    """A test of one field, and how often it is likely to be true: lower is better."""

    field: str
    test: Test
    weight: int


class Budget:
    """Bytes that memos have taken, and the memos to clear once it is used up."""

    def __init__(self, limit: int = MEMO_BYTES) -> None:
        self._limit = limit
        self._spent = 0
        self._memos: list[dict[Scalar, tuple[int, ...]]] = []

    def new_memo(self) -> dict[Scalar, tuple[int, ...]]:
        """A memo that this budget will clear."""
        memo: dict[Scalar, tuple[int, ...]] = {}
        self._memos.append(memo)
        return memo

    def spend(self, size: int) -> None:
        """Note what the next entry takes; clears every memo first if it would be too much."""
        self._spent += size
        if self._spent > self._limit:
            self._spent = size
            for memo in self._memos:
                memo.clear()


class Candidates:
    """The rules of one log source, by their witnesses."""

    def __init__(self, rules: Iterable[int], witnesses: Sequence[tuple[Witness, ...] | None], budget: Budget) -> None:
        numbers = tuple(rules)
        self.size = len(numbers)
        always: list[int] = []
        by_field: dict[str, list[tuple[int, Test]]] = {}
        for rule in numbers:
            found = witnesses[rule]
            if found is None:
                always.append(rule)
            for witness in found or ():
                by_field.setdefault(witness.field, []).append((rule, witness.test))
        self._always = tuple(always)
        self._memos = [_FieldMemo(field, tests, budget) for field, tests in by_field.items()]

    def of(self, fields: Fields) -> list[int]:
        """The rules that this event could fulfil, ascending."""
        found = set(self._always)
        for memo in self._memos:
            value = fields.get(memo.field)
            if value is None:
                continue
            for element in value if isinstance(value, tuple) else (value,):
                found.update(memo.rules(element))
        return sorted(found)


class _FieldMemo:
    """Which rules' witnesses a value of one field satisfies."""

    def __init__(self, field: str, tests: list[tuple[int, Test]], budget: Budget) -> None:
        self.field = field
        self._tests = tests
        self._budget = budget
        self._texts = budget.new_memo()
        # Apart from the texts, and only for real integers: in a dictionary 1, 1.0 and True are one key.
        self._integers = budget.new_memo()

    def rules(self, value: Scalar) -> tuple[int, ...]:
        kind = type(value)
        if kind is str:
            memo, size = self._texts, len(value)  # type: ignore[arg-type]
        elif kind is int:
            memo, size = self._integers, 0
        else:
            return self._satisfied(value)
        known = memo.get(value)
        if known is None:
            known = self._satisfied(value)
            if size <= MAX_VALUE:
                self._budget.spend(4 * size + 8 * len(known) + _ENTRY_BYTES)
                memo[value] = known
        return known

    def _satisfied(self, value: Scalar) -> tuple[int, ...]:
        view = EventView({self.field: value})
        return tuple(rule for rule, test in self._tests if test(view))


def witnesses_of(expression: Fused) -> tuple[Witness, ...] | None:
    """Tests of which at least one is true whenever the expression is; none if there is no such set."""
    match expression:
        case AllOf(parts):
            found = [witnesses for witnesses in map(witnesses_of, parts) if witnesses is not None]
            return min(found, key=lambda witnesses: sum(one.weight for one in witnesses), default=None)
        case AnyOf(parts):
            return _alternatives(fuse(parts))
        case Selection(_, part):
            return witnesses_of(part)
        case Not() | Null() | Exists() | SameAs():
            return None
    if expression.field is None:
        return None
    return (Witness(expression.field, compile_fused(expression), _weight(expression)),)


def _alternatives(parts: list[Fused]) -> tuple[Witness, ...] | None:
    found: list[Witness] = []
    for part in parts:
        witnesses = witnesses_of(part)
        if witnesses is None:
            return None
        found.extend(witnesses)
    return tuple(found)


def _weight(leaf: Fused) -> int:
    """A guess: few values satisfy an equality, more a suffix, most a number such as an event id."""
    if isinstance(leaf, Text):
        return _TEXT_WEIGHTS[leaf.how]
    if isinstance(leaf, TextAmong):
        return _TEXT_WEIGHTS[leaf.how] + len(leaf.texts).bit_length()
    return 20 if isinstance(leaf, Number | NumberAmong) else 8
