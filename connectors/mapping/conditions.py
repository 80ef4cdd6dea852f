"""Whether a rule matches a parsed line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from connectors.mapping.document import Condition, Like
from connectors.mapping.find import Find
from connectors.mapping.memo import remembering
from connectors.mapping.parse import Parsed
from connectors.mapping.patterns import Groups, Pattern

Test = Callable[[Any], Groups | None]
"""A value -> the groups it brings; None where it does not satisfy the condition."""
MatchFields = Callable[[Parsed], Parsed | None]
"""A parsed line -> its fields and those of all groups; None where a condition does not hold."""


def condition_test(condition: Condition) -> Test:
    """The test of one condition.

    Raises:
        ValueError: its pattern is not a regular expression.
    """
    if isinstance(condition, Like):
        pattern = Pattern(condition.regex)
        search: Callable[[str], Groups | None] = pattern.search
        if not pattern.names:  # what has no groups to give is asked about the same few values again and again
            search = remembering(search)
        return _any_item(lambda value: search(shown(value)) if isinstance(value, str | int | float) else None)
    wanted = frozenset(shown(one) for one in (condition if isinstance(condition, list) else [condition]))

    def equals(value: Any) -> Groups | None:
        return {} if isinstance(value, str | int | float) and shown(value) in wanted else None

    return _any_item(equals)


def _any_item(test: Test) -> Test:
    """Of a list one item is enough."""

    def test_items(value: Any) -> Groups | None:
        if type(value) is not list:
            return test(value)
        return next((groups for item in value if (groups := test(item)) is not None), None)

    return test_items


def all_of(tests: tuple[tuple[Find, Test], ...]) -> MatchFields:
    """All conditions of a rule."""

    def match(data: Parsed) -> Parsed | None:
        found: Parsed = data
        for find, test in tests:
            groups = test(find(data))
            if groups is None:
                return None
            if groups:
                found = {**found, **groups}
        return found

    return match


def shown(value: str | float) -> str:
    """A scalar as the text that conditions compare."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
