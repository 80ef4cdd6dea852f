"""Sigma's condition language: `selection and not 1 of filter_*` to a tree of names.

pySigma 1.5 reads a name that begins with an operator (`notepad`) as that operator, refuses dots and dashes in names,
and leaves a hole where `1 of` finds nothing; so conditions have their own small parser here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import translate
from typing import Final

from pipeline.detect.plan import Expression, Not, Selection, all_of, any_of
from schemas.errors import RuleError, printable

MAX_NESTING: Final = 50
MAX_NAMED: Final = 20_000
"""Selections that the `x of` of one condition may name together."""

_TOKEN: Final = re.compile(r"[()|]|[^\s()|]+")
_OPERATORS: Final = frozenset({"and", "or", "not"})
_QUANTIFIERS: Final = frozenset({"1", "any", "all"})
_WORDS: Final = _OPERATORS | _QUANTIFIERS | {"of", "them"}


def parse_condition(text: str, selections: Mapping[str, Expression], where: str) -> Expression:
    """The condition as an expression over the selections. Precedence from loose to tight: `or`, `and`, `not`, `x of`.

    >>> from pipeline.detect.plan import Null
    >>> parse_condition("a and not b", {"a": Null("x"), "b": Null("y")}, "rule.yml:7")
    AllOf(parts=(Selection(name='a', part=Null(field='x')), Not(part=Selection(name='b', part=Null(field='y')))))

    Raises:
        RuleError: at `where`: a name that is not defined, a selector that selects nothing, syntax.
    """
    return _Parser(text, selections, where).parse()


class _Parser:
    def __init__(self, text: str, selections: Mapping[str, Expression], where: str) -> None:
        self._text, self._selections, self._where = text, selections, where
        # As older tools read them: `AND` is an operator, unless a selection is called so.
        self._tokens = [
            token.lower() if token.lower() in _WORDS and token not in selections else token
            for token in _TOKEN.findall(text)
        ]
        self._next = 0
        self._depth = 0
        self._named = 0

    def parse(self) -> Expression:
        if not self._tokens:
            raise self._wrong("the condition is empty", "a selection's name")
        expression = self._or()
        if self._peek() == "|":
            raise RuleError(
                self._where,
                "aggregations after `|` are no longer part of Sigma",
                got=self._text,
                hint="write a correlation rule",
            )
        if self._peek() is not None:
            raise self._wrong(f"unexpected `{self._peek()}`", "and, or, or the end")
        return expression

    def _or(self) -> Expression:
        parts = [self._and()]
        while self._take("or"):
            parts.append(self._and())
        return any_of(tuple(parts))

    def _and(self) -> Expression:
        parts = [self._not()]
        while self._take("and"):
            parts.append(self._not())
        return all_of(tuple(parts))

    def _not(self) -> Expression:
        negations = 0
        while self._take("not"):
            negations += 1
        operand = self._operand()
        return Not(operand) if negations % 2 else operand

    def _operand(self) -> Expression:
        token = self._peek()
        if token is None or token in _OPERATORS or token in {")", "|"}:
            raise self._wrong(f"nothing to test before {f'`{token}`' if token else 'the end'}", "a selection's name")
        self._next += 1
        if token == "(":  # noqa: S105 - a bracket
            return self._bracket()
        if self._peek() == "of":
            return self._selector(token)
        if token not in self._selections:
            raise self._undefined(token)
        return Selection(token, self._selections[token])

    def _bracket(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self._wrong("brackets nested too deeply", f"at most {MAX_NESTING}")
        inner = self._or()
        if not self._take(")"):
            raise self._wrong("a bracket is not closed", "`)`")
        self._depth -= 1
        return inner

    def _selector(self, quantifier: str) -> Expression:
        if quantifier not in _QUANTIFIERS:
            raise self._wrong(f"unknown quantifier `{quantifier} of`", "1 of, any of, all of")
        self._next += 1
        pattern = self._peek()
        if pattern is None or pattern in {"(", ")", "|"}:
            raise self._wrong(f"`{quantifier} of` what?", "them, or a pattern such as selection_*")
        self._next += 1
        if pattern == "them":
            names = [name for name in self._selections if not name.startswith("_")]
        else:
            # Only `*` is special here; `?` and `[` are ordinary characters of a name.
            matches = re.compile(translate(re.sub(r"([?[])", r"[\1]", pattern))).match
            names = [name for name in self._selections if matches(name)]
        if not names:
            raise self._wrong(f"`{quantifier} of {pattern}` selects nothing", ", ".join(self._selections))
        self._named += len(names)
        if self._named > MAX_NAMED:
            raise self._wrong("the condition names too many selections", f"at most {MAX_NAMED}")
        parts = tuple(Selection(name, self._selections[name]) for name in names)
        return all_of(parts) if quantifier == "all" else any_of(parts)

    def _peek(self) -> str | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self, token: str) -> bool:
        taken = self._peek() == token
        self._next += taken
        return taken

    def _undefined(self, name: str) -> RuleError:
        return self._wrong(f"`{name}` is not defined", f"one of {', '.join(self._selections)}")

    def _wrong(self, what: str, expected: str) -> RuleError:
        return RuleError(self._where, printable(what), got=self._text, expected=printable(expected))
