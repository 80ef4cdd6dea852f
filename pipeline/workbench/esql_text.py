r"""Mends ES|QL queries of pySigma's backend where they would say something else than the rule.

not user.name like "*\\svc\\*"  -->  not coalesce(user.name like "*\\\\svc\\\\*", false)

An absent field makes a comparison null and its negation null too, so that the event would be lost, while Sigma's `not`
holds; and a backslash in the pattern of `like` wants to be escaped twice, in the pattern and in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

_ESQL: Final = re.compile(r"from \S+ metadata ")
_TOKEN: Final = re.compile(r'"(?:\\.|[^"\\])*"|`[^`]*`|[()]|[^\s()"`]+|\s+', re.DOTALL)
_TEXT_AFTER_LIKE: Final = re.compile(r'(?<= like )"(?:\\.|[^"\\])*"', re.DOTALL)
_IN_PATTERN: Final = {"\\": r"\\\\", "*": r"\\*", "?": r"\\?"}
"""Sign after a backslash in the backend's text -> what says the sign itself in a pattern in a text."""
_NEXT_BEGINS: Final = frozenset({"and", "or", ")", "|"})


def exact_esql(query: Any) -> Any:
    """A query, mended if it is ES|QL; queries inside dictionaries and lists too, anything else as it is."""
    match query:
        case str() if _ESQL.match(query):
            return _total_negations(_TEXT_AFTER_LIKE.sub(lambda found: _pattern(found[0]), query))
        case dict():
            return {key: exact_esql(value) for key, value in query.items()}
        case list():
            return [exact_esql(value) for value in query]
    return query


def _pattern(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: _IN_PATTERN.get(found[1], found[0]), text)


def _total_negations(query: str) -> str:
    return "".join(_rewritten(_TOKEN.findall(query)))


def _rewritten(signs: list[str]) -> Iterator[str]:
    position = 0
    while position < len(signs):
        sign = signs[position]
        yield sign
        position += 1
        # `is not null` negates nothing that could be null.
        if sign == "not" and signs[position - 3 : position - 2] != ["is"]:
            end = _end_of_operand(signs, position + 1)
            operand = "".join(_rewritten(signs[position + 1 : end]))
            yield f" coalesce({operand}, false)"
            position = end


def _end_of_operand(signs: list[str], begin: int) -> int:
    """Where what a `not` negates ends: before the next `and`, `or`, closing bracket or pipe of its own level."""
    depth = 0
    for position in range(begin, len(signs)):
        sign = signs[position]
        if depth == 0 and sign in _NEXT_BEGINS:
            return position - (signs[position - 1].isspace())
        depth += (sign == "(") - (sign == ")")
    return len(signs)
