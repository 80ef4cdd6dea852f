r"""Fifth fast layer: most events hold none of a rule's keywords, which one search of all their text tells at once.

The text is the JSON the event came in, many events in one search: 0.3 us for a line of 700 bytes. What a writer of JSON
may do to a keyword is searched for as well, `\u004d` for `M`; a line with any of it counts as one that holds keywords,
and then its values are looked at. The same search tells booleans, which Python takes for the numbers 1 and 0.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

import orjson
from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind

from pipeline.detect.plan import Leaf, Text
from pipeline.detect.scan import literals_of
from pipeline.detect.view import text_of
from schemas.event import Value

_OF_NUMBERS: Final = frozenset("0123456789+-.einftrualsy")
"""What the texts of numbers and booleans are made of."""
_OF_IDS: Final = frozenset("0123456789abcdef")
"""What ids are made of that an event gets here if it has none."""
_SHORTEST_SEARCHED: Final = 4
"""Characters; a shorter keyword is in too many lines."""
MAX_SEARCHED: Final = 64
"""Keywords; up to about as many, the search skips through the text many bytes at a time."""
FOLDED_TO_ASCII: Final = "ßİŉſǰẖẗẘẙẚẞ\u212aﬀﬁﬂﬃﬄﬅﬆ"
"""Every other character with an ASCII letter in its folded case."""
_FOLDED: Final = sorted({char.encode()[:2] for char in FOLDED_TO_ASCII})
_ESCAPES: Final = [rb"\u%x" % digit for digit in range(16)]
_BEFORE_VALUE: Final = (b'":', b'": ', b"  ", b" :", b" : ")
"""What stands before a value in JSON with spaces about the colon, however many; a value of an object."""
_HIDDEN: Final = " :[{"
"""What a keyword may begin with that hides in a hit of something else."""
_TRUTHS: Final = [before + truth for truth in (b"true", b"false") for before in _BEFORE_VALUE]
_NESTED: Final = [before + bracket for bracket in (b"{", b"[") for before in _BEFORE_VALUE]
_NOT_NEAR: Final = len(_NESTED) + len(_TRUTHS)

Search = Callable[[bytes], list[tuple[int, int, int]]]


class Apart(NamedTuple):
    """Positions of lines that are not like most."""

    near: frozenset[int]
    """Maybe with a keyword."""
    typed: frozenset[int]
    """Maybe with a boolean."""
    nested: frozenset[int]
    """Maybe with an object or an array."""


class KeywordGate:
    """Whether an event may hold one of some keywords.

    Args:
        keywords: their tests.

    Attributes:
        searched: whether the last search of JSON text was for these keywords too; true if there are none.
    """

    def __init__(self, keywords: Iterable[Leaf]) -> None:
        self.literals = {_literal_of(leaf) for leaf in keywords}
        self.searched = not self.literals
        self._always = "" in self.literals
        self._numbers = any(set(literal) <= _OF_NUMBERS for literal in self.literals)
        self._find = None if self._always or not self.literals else _search_for(map(str.encode, self.literals))
        self._find_in_line: Search | None = None

    def may_be_in(self, values: Iterable[Value]) -> bool:
        """False only if none of the keywords is in any of the values."""
        if self._find is None:
            return self._always
        texts: list[str] = []
        for value in values:
            if type(value) is str:
                texts.append(value)
            elif type(value) is tuple:
                texts += [text_of(element) for element in value if element is not None]
            elif self._numbers and isinstance(value, int | float):
                texts.append(text_of(value))
        # Literals are ASCII: how lone surrogates are written does not matter.
        return bool(self._find("\n".join(texts).casefold().encode(errors="surrogatepass")))

    def may_be_in_line(self, line: bytes, values: Callable[[], Iterable[Value]]) -> bool:
        """The same of a line of JSON that `lines_apart` found to be like most; `values`: of its event, dear to get."""
        if self._find is None or self._numbers:  # numbers are read in more than one spelling
            return self.may_be_in(values())
        if self._find_in_line is None:
            self._find_in_line = _search_for(_in_json(self.literals))
        return bool(self._find_in_line(line.lower()))

    @property
    def searchable(self) -> bool:
        """Whether the keywords can be searched for in JSON text, and are seldom there."""
        rare = (len(literal.lstrip(_HIDDEN)) >= _SHORTEST_SEARCHED for literal in self.literals)
        return not self._numbers and all(rare) and not any(set(literal) <= _OF_IDS for literal in self.literals)


class TextGate:
    """Whether JSON texts may hold booleans, or keywords of the log sources that events have had so far."""

    def __init__(self) -> None:
        self._literals: set[str] = set()
        self._waiting: list[KeywordGate] = []
        self._find_near = _search_for(_ESCAPES)
        self._find = _search_for([*_NESTED, *_TRUTHS, *_ESCAPES])
        self._find_folded = _search_for(_FOLDED)

    def cover(self, gate: KeywordGate) -> None:
        """Search for these keywords too, from the next search on."""
        if not gate.searched and gate.searchable and len(self._literals | gate.literals) <= MAX_SEARCHED:
            self._waiting.append(gate)
            self._literals |= gate.literals

    def near(self, text: bytes) -> bool:
        """Whether a boolean or a keyword may be in a text."""
        apart = self.lines_apart((text,))
        return bool(apart.near or apart.typed)

    def lines_apart(self, lines: Sequence[bytes]) -> Apart:
        """The lines that may hold something of the kind."""
        if self._waiting:
            self._search_for_more()
        text = b"\n".join(lines)
        hits = self._find(text.lower())
        near: set[int] = set()
        typed: set[int] = set()
        nested: set[int] = set()
        if hits or not text.isascii():
            ends = list(accumulate(len(line) + 1 for line in lines))
            for pattern, begin, _ in hits:
                kind = nested if pattern < len(_NESTED) else typed if pattern < _NOT_NEAR else near
                kind.add(bisect_right(ends, begin))
            # Where a boolean seems to stand, a keyword may begin too: the search told but one of them.
            near.update(number for number in typed if self._find_near(lines[number].lower()))
            near.update(bisect_right(ends, begin) for _, begin, _ in self._find_folded(text))
        if b"\t" in text or b"\r" in text:  # such space beside a value would hide it
            near.update(number for number, line in enumerate(lines) if b"\t" in line or b"\r" in line[:-1])
        return Apart(frozenset(near), frozenset(typed), frozenset(nested))

    def _search_for_more(self) -> None:
        wanted = [*_ESCAPES, *_in_json(literal.lstrip(_HIDDEN) for literal in self._literals)]
        self._find_near, self._find = _search_for(wanted), _search_for([*_NESTED, *_TRUTHS, *wanted])
        for gate in self._waiting:
            gate.searched = True
        self._waiting.clear()


def _in_json(literals: Iterable[str]) -> list[bytes]:
    found = [orjson.dumps(literal)[1:-1] for literal in literals]
    return [*found, rb"\/"] if any(b"/" in literal for literal in found) else found


def _search_for(literals: Iterable[bytes]) -> Search:
    # Not overlapping: for few literals the search then skips through the text. Bytes, since only whether and where a
    # literal is there matters: the search of a text counts its characters first.
    automaton = BytesAhoCorasick(list(literals), matchkind=MatchKind.LeftmostFirst, implementation=Implementation.DFA)
    find: Search = automaton.find_matches_as_indexes
    return find


def _literal_of(leaf: Leaf) -> str:
    """A text that is in every value the keyword is found in, or nothing."""
    if not isinstance(leaf, Text):
        return ""
    found = max(literals_of(leaf.text), key=len) if leaf.how == "like" else leaf.text
    return found.casefold() if found.isascii() and found.isprintable() else ""
