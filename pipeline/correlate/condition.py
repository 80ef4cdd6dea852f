"""A boolean condition over rule names as clauses: `a and (b or not c)` -> [(a, b), (a, not c)].

Grammar: `or` binds weakest, then `and`, then `not`; parentheses; names of letters, digits, `_`, `-`, `.`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from pipeline.correlate.correlation import Clause
from schemas.errors import RuleError

MAX_WORDS: Final = 128
MAX_CLAUSES: Final = 64
_WORD: Final = re.compile(r"\s*(?:([()])|([A-Za-z0-9_][A-Za-z0-9_.-]*)|(\S))")
_KEYWORDS: Final = frozenset({"and", "or", "not"})


class _Term(NamedTuple):
    """A conjunction of names, some of them negated."""

    present: frozenset[str]
    absent: frozenset[str]


def condition_names(text: str, where: str) -> list[str]:
    """The rule names in a condition, in order of appearance.

    Raises:
        RuleError: characters that belong to no name, or too long a condition.
    """
    names = (word for word in _words(text, where) if word not in _KEYWORDS and word not in "()")
    return list(dict.fromkeys(names))


def parse_condition(text: str, names: Sequence[str], where: str) -> tuple[Clause, ...]:
    """Read a condition into clauses over positions in `names`; clauses that another one implies are left out.

    Raises:
        RuleError: not a condition, a clause that contradicts itself, or one that only says what must be absent.
    """
    terms = _Parser(_words(text, where), text, where).parse()
    for term in terms:
        both = term.present & term.absent
        if both:
            raise RuleError(where, f"a clause asks for {min(both)} and for its absence", got=text)
        if not term.present:
            raise RuleError(
                where,
                "a clause only says what must be absent, and would hold at any time",
                got=text,
                expected="each way to satisfy the condition names at least one rule that must be present",
            )
    position = {name: index for index, name in enumerate(names)}
    clauses = {
        Clause(
            tuple(sorted(position[name] for name in term.present)),
            tuple(sorted(position[name] for name in term.absent)),
        )
        for term in _minimal(terms)
    }
    return tuple(sorted(clauses, key=lambda clause: (clause.present, clause.absent)))


def _minimal(terms: Sequence[_Term]) -> list[_Term]:
    """Without conjunctions that another one makes redundant; with absences none is, since it has moments of its own."""
    distinct = list(dict.fromkeys(terms))
    plain = [term.present for term in distinct if not term.absent]
    return [term for term in distinct if term.absent or not any(other < term.present for other in plain)]


def _words(text: str, where: str) -> list[str]:
    words = []
    for match in _WORD.finditer(text):
        bracket, word, other = match.groups()
        if other:
            raise RuleError(
                where, "a character that belongs to no rule name", got=other, expected="names, and, or, not, ( )"
            )
        words.append(bracket or (word.lower() if word.lower() in _KEYWORDS else word))
        if len(words) > MAX_WORDS:
            raise RuleError(where, "the condition is too long", expected=f"at most {MAX_WORDS} words")
    return words


class _Parser:
    """Recursive descent; each method returns the disjunctive normal form of what it read, or of its negation."""

    def __init__(self, words: list[str], text: str, where: str) -> None:
        self._words = words
        self._text = text
        self._where = where
        self._next = 0

    def parse(self) -> list[_Term]:
        terms = self._either(negated=False)
        if self._next < len(self._words):
            raise self._error(self._words[self._next], "and, or, or the end")
        return terms

    def _either(self, *, negated: bool) -> list[_Term]:
        parts = [self._both(negated=negated)]
        while self._accept("or"):
            parts.append(self._both(negated=negated))
        return self._product(parts) if negated else self._sum(parts)

    def _both(self, *, negated: bool) -> list[_Term]:
        parts = [self._single(negated=negated)]
        while self._accept("and"):
            parts.append(self._single(negated=negated))
        return self._sum(parts) if negated else self._product(parts)

    def _single(self, *, negated: bool) -> list[_Term]:
        if self._accept("not"):
            return self._single(negated=not negated)
        if self._accept("("):
            inner = self._either(negated=negated)
            if not self._accept(")"):
                raise self._error(self._peek() or "the end", ")")
            return inner
        word = self._peek()
        if word is None or word in _KEYWORDS or word == ")":
            raise self._error(word or "the end", "a rule name, not, or (")
        self._next += 1
        name = frozenset({word})
        return [_Term(frozenset(), name) if negated else _Term(name, frozenset())]

    def _sum(self, parts: list[list[_Term]]) -> list[_Term]:
        return self._checked([term for part in parts for term in part])

    def _product(self, parts: list[list[_Term]]) -> list[_Term]:
        terms = [_Term(frozenset(), frozenset())]
        for part in parts:
            terms = self._checked(
                [_Term(left.present | right.present, left.absent | right.absent) for left in terms for right in part]
            )
        return terms

    def _checked(self, terms: list[_Term]) -> list[_Term]:
        terms = list(dict.fromkeys(terms))
        if len(terms) > MAX_CLAUSES:
            raise RuleError(self._where, "the condition has too many ways to hold", expected=f"at most {MAX_CLAUSES}")
        return terms

    def _peek(self) -> str | None:
        return self._words[self._next] if self._next < len(self._words) else None

    def _accept(self, word: str) -> bool:
        if self._peek() != word:
            return False
        self._next += 1
        return True

    def _error(self, got: str, expected: str) -> RuleError:
        return RuleError(self._where, f"not a condition: `{self._text}`", got=got, expected=expected)
