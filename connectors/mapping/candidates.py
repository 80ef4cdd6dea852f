"""Which rules of a mapping can match a line: worked out once for each combination of the values most rules ask for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeVar

from connectors.mapping.conditions import Test, shown
from connectors.mapping.document import Like, Rule
from connectors.mapping.find import Find
from connectors.mapping.memo import MAX_CHARS
from connectors.mapping.parse import Parsed

MIN_RULES: Final = 4
"""With fewer it costs more than it saves."""
MAX_COMBINATIONS: Final = 1024

Made = TypeVar("Made")


def leading_fields(rules: Sequence[Rule]) -> tuple[str, ...]:
    """Fields that several rules compare with fixed values, such as a channel and an event id."""
    asked = Counter(key for rule in rules for key, condition in rule.match.items() if not isinstance(condition, Like))
    return tuple(key for key, count in asked.items() if count > 1) if len(rules) >= MIN_RULES else ()


def candidates(
    finds: Mapping[str, Find], rules: Sequence[tuple[Mapping[str, Test], Made]]
) -> Callable[[Parsed], Sequence[Made]]:
    """A function that gives the rules, in order, that a line's leading fields leave possible.

    Args:
        finds: the leading fields, and how each is found.
        rules: the tests of each rule by field, and what the rule was made into.
    """
    all_rules = tuple(made for _, made in rules)
    if not finds:
        return lambda _: all_rules

    @lru_cache(maxsize=MAX_COMBINATIONS)
    def possible(texts: tuple[str | None, ...]) -> tuple[Made, ...]:
        values = dict(zip(finds, texts, strict=True))
        return tuple(
            made
            for tests, made in rules
            if all(tests[key](value) is not None for key, value in values.items() if key in tests)
        )

    def narrow(data: Parsed) -> tuple[Made, ...]:
        texts: list[str | None] = []
        for find in finds.values():
            value = find(data)
            if value is None:
                texts.append(None)
            elif isinstance(value, str | int | float) and len(text := shown(value)) <= MAX_CHARS:
                texts.append(text)
            else:  # a list, or a text nobody will ever see again
                return all_rules
        return possible(tuple(texts))

    return narrow
