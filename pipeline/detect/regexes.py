r"""Regular expressions and wildcard patterns on RE2: a search is linear in the text, so no rule and no event can stall.

Sigma allows a PCRE subset without look-around and back-references, which is what RE2 has. Where they differ from Python
and PCRE: `$` is the very end of the text (not before a last newline), `\s` has no vertical tab, classes are ASCII.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Final

import re2  # type: ignore[import-untyped]

from schemas.errors import RuleError

_SURROGATE: Final = re.compile("[\ud800-\udfff]")

Search = Callable[[str], bool]

MAX_PATTERN: Final = 8_192
MAX_PROGRAM_BYTES: Final = 1 << 20
"""What one compiled pattern may take; `(a{1000}){1000}` is refused instead of built."""
MAX_SET_BYTES: Final = 1 << 26
"""What the expressions of one field may take together while they search."""
MAX_PASS: Final = 8_192
"""Characters that are searched for all expressions of a field in one pass."""
CREDIT: Final = 50e-6
"""Seconds of such passes that every text adds to what they may take."""
SLOWEST: Final = 50e-6
"""Seconds that a character may take in such a pass; what took longer was the wait for a busy processor."""
MAX_CREDIT: Final = 0.2
"""Seconds; enough to build the automaton for ordinary texts."""


def compile_regex(pattern: str, flags: str, where: str) -> Search:
    """A search for the pattern anywhere in a text.

    Raises:
        RuleError: at `where`: not a regular expression, or one outside Sigma's subset.
    """
    if len(pattern) > MAX_PATTERN:
        raise RuleError(
            where, "regular expression too long", got=f"{len(pattern)} characters", expected=f"{MAX_PATTERN}"
        )
    prefix = f"(?{flags})" if flags else ""
    try:
        compiled = re2.compile(prefix + pattern, _options())
    except (re2.error, UnicodeEncodeError) as error:
        raise RuleError(
            where,
            f"not a regular expression Sigma allows: {_reason(error)}",
            got=pattern,
            expected="PCRE without look-around and back-references",
        ) from error
    return _search(compiled)


class RegexSet:
    """Many expressions searched in one pass over a text, as long as that pays.

    The pass is an automaton that is built while it runs, and a text made for it costs a new state for every character:
    36 us each with SigmaHQ's 76 expressions for `CommandLine`, where one expression after the other takes 1.5 us. So
    the pass has a credit of time; texts that use it up, and long ones, are searched by one expression after the other.

    Args:
        patterns: (pattern, flags) as `compile_regex` takes them.
        clock: seconds; for tests.

    Raises:
        RuleError: one does not compile (a damaged pack).
    """

    def __init__(self, patterns: Sequence[tuple[str, str]], clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._credit = MAX_CREDIT
        self._singles = [compile_regex(pattern, flags, "rule pack") for pattern, flags in patterns]
        options = _options()
        options.max_mem = MAX_SET_BYTES
        self._all = re2.Set.SearchSet(options)
        for pattern, flags in patterns:
            self._all.Add((f"(?{flags})" if flags else "") + pattern)
        # Matches always: where it is missing, the search ran out of memory, which RE2 does not tell.
        self._witness = self._all.Add("")
        self._nothing = [self._witness]
        self._all.Compile()

    def found_in(self, text: str) -> Sequence[int]:
        """The numbers of the expressions found anywhere in the text."""
        if len(text) > MAX_PASS or self._credit <= 0:
            self._credit = min(self._credit + CREDIT, MAX_CREDIT)
            return self._one_by_one(text)
        begun = self._clock()
        found: list[int] | None = self._all.Match(_encoded(text))
        took = self._clock() - begun
        if took > CREDIT or self._credit < MAX_CREDIT:
            self._credit = min(self._credit + CREDIT - min(took, SLOWEST * len(text)), MAX_CREDIT)
        if found == self._nothing:
            return ()
        if not found or self._witness not in found:
            return self._one_by_one(text)
        return [number for number in found if number != self._witness]

    def _one_by_one(self, text: str) -> list[int]:
        return [number for number, search in enumerate(self._singles) if search(text)]


def compile_like(pattern: str, where: str = "rule pack") -> Search:
    r"""A match of a whole text with a pattern of `*` and `?`, where `\` takes the next character literally.

    `*` and `?` span newlines: a script block is one value. `?` is one character of the case-folded text.

    Raises:
        RuleError: at `where`: a pattern too long to compile.
    """
    pieces = [""]
    expression = []
    characters = iter(pattern)
    for char in characters:
        if char == "*":
            pieces.append("")
            expression.append(".*")
        elif char == "?":
            expression.append(".")
        else:
            literal = next(characters, "") if char == "\\" else char
            pieces[-1] += literal
            expression.append(re2.escape(literal))
    if "." not in expression and len(pieces) > 1:
        return _pieces_in_order(pieces)
    try:
        return _search(re2.compile(r"(?s)\A" + "".join(expression) + r"\z", _options()))
    except (re2.error, UnicodeEncodeError) as error:
        told = f"not a pattern that can be searched for: {_reason(error)}"
        raise RuleError(where, told, got=pattern, expected="a shorter text with * and ?") from error


def _pieces_in_order(pieces: Sequence[str]) -> Search:
    """Pieces with anything between them; the first place of each is as good as any. A tenth of a search's time."""
    begin, *between, end = pieces
    between = list(filter(None, between))

    def found(text: str) -> bool:
        if not text.startswith(begin):
            return False
        place = len(begin)
        for piece in between:
            place = text.find(piece, place)
            if place < 0:
                return False
            place += len(piece)
        return text.endswith(end, place)

    return found


def _options() -> re2.Options:
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    options.max_mem = MAX_PROGRAM_BYTES * 8
    return options


def _search(compiled: re2._Regexp) -> Search:
    search = compiled.search

    return lambda text: search(_encoded(text)) is not None


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Lone surrogates are legal in JSON but not in UTF-8, and to RE2 their bytes are no character at all.
        return _SURROGATE.sub("\ufffd", text).encode()


def _reason(error: Exception) -> str:
    told = error.args[0] if error.args else error
    return told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
