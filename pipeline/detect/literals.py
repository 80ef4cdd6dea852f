r"""Literals that a text must hold for a regular expression to be found in it: without them it need not be searched.

\s(?:net|net1)\.exe\s+user   ->  `.exe`: of the parts that must be there, the one whose shortest literal is longest
https?://|ftp://[0-9]        ->  `http` or `ftp://`
"""

from __future__ import annotations

import re
from typing import Final

_QUANTIFIER: Final = re.compile(r"(?:([*?])|(\+)|\{([0-9]+)(?:,[0-9]*)?\})\??")
_GROUP: Final = re.compile(r"\((?:\?(?::|P?<\w+>|[imsU-]+:))?(?!\?)")
_FLAGS: Final = re.compile(r"\(\?[imsU-]+\)")
_CLASS: Final = re.compile(r"\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]", re.DOTALL)
_NO_LITERALS: Final = frozenset("dDsSwWbBAztnrfva")
"""Behind a backslash: classes, places and control characters."""

Alternatives = tuple[str, ...]
"""Literals one of which must be there; none: nothing is known."""


class _UnknownSyntax(Exception):
    """Something that is not worth being understood here."""


def required_literals(pattern: str) -> Alternatives:
    """Literals in lower case, one of which is in the case-folded text wherever the pattern is found; none if unknown.

    They are ASCII: every character that matches an ASCII letter without regard to case is folded to it.
    """
    try:
        found, end = _alternatives(pattern, 0)
    except _UnknownSyntax:
        return ()
    return found if end == len(pattern) else ()


def _alternatives(pattern: str, place: int) -> tuple[Alternatives, int]:
    found: list[Alternatives] = []
    while True:
        part, place = _sequence(pattern, place)
        found.append(part)
        if pattern[place : place + 1] != "|":
            break
        place += 1
    return tuple(literal for part in found for literal in part) if all(found) else (), place


def _sequence(pattern: str, place: int) -> tuple[Alternatives, int]:
    """What must be there of things that follow each other: the part that is rarest, by its shortest literal."""
    best: Alternatives = ()
    run = ""
    while place < len(pattern) and pattern[place] not in "|)":
        literal, part, place = _atom(pattern, place)
        least, place = _times(pattern, place)
        if literal and least != 0:
            run += literal
        if not literal or least is not None:
            best, run = _rarer(best, (run,) if run else ()), ""
        if part and least != 0:
            best = _rarer(best, part)
    return _rarer(best, (run,) if run else ()), place


def _rarer(one: Alternatives, other: Alternatives) -> Alternatives:
    return max(one, other, key=lambda literals: min(map(len, literals), default=0))


def _times(pattern: str, place: int) -> tuple[int | None, int]:
    """How often what stands before must be there at least; None: exactly once."""
    quantifier = _QUANTIFIER.match(pattern, place)
    if quantifier is None:
        return None, place
    least = 0 if quantifier[1] else 1 if quantifier[2] else int(quantifier[3])
    return least, quantifier.end()


def _atom(pattern: str, place: int) -> tuple[str, Alternatives, int]:
    """One thing: a literal character, or what a group needs, or neither; and where it ends."""
    char = pattern[place]
    if char == "\\":
        char = pattern[place + 1 : place + 2]
        if char in _NO_LITERALS:
            return "", (), place + 2
        if char.isalnum() or not char:
            raise _UnknownSyntax
        return _literal(char), (), place + 2
    if char == "[":
        return "", (), _end(_CLASS, pattern, place)
    if flags := _FLAGS.match(pattern, place):
        return "", (), flags.end()
    if char == "(":
        found, end = _alternatives(pattern, _end(_GROUP, pattern, place))
        if pattern[end : end + 1] != ")":
            raise _UnknownSyntax
        return "", found, end + 1
    if char in ".^$":
        return "", (), place + 1
    if char in "*+?" or _QUANTIFIER.match(pattern, place):
        raise _UnknownSyntax
    return _literal(char), (), place + 1


def _end(form: re.Pattern[str], pattern: str, place: int) -> int:
    found = form.match(pattern, place)
    if found is None:
        raise _UnknownSyntax
    return found.end()


def _literal(char: str) -> str:
    return char.lower() if char.isascii() and char.isprintable() else ""
