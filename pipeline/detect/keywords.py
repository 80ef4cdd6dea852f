"""Fourth fast layer: most events hold none of a rule's keywords, which one search of all their text tells at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ahocorasick_rs import BytesAhoCorasick, MatchKind

from pipeline.detect.plan import Leaf, Text
from pipeline.detect.scan import literals_of
from pipeline.detect.view import text_of
from schemas.event import Value

_OF_NUMBERS: Final = frozenset("0123456789+-.einftrualsy")
"""What the texts of numbers and booleans are made of."""


class KeywordGate:
    """Whether an event may hold one of some keywords.

    Args:
        keywords: their tests.
    """

    def __init__(self, keywords: Iterable[Leaf]) -> None:
        literals = list({_literal_of(leaf) for leaf in keywords})
        self._always = "" in literals
        self._numbers = any(set(literal) <= _OF_NUMBERS for literal in literals)
        if not literals or self._always:
            self._find = None
            return
        # Not overlapping: for few patterns the search then skips through the text many bytes at a time. Bytes, since
        # only whether a literal is there matters: the search of a text counts its characters first.
        patterns = [literal.encode() for literal in literals]
        self._find = BytesAhoCorasick(patterns, matchkind=MatchKind.LeftmostFirst).find_matches_as_indexes

    def may_be_in(self, values: Sequence[Value]) -> bool:
        """False only if none of the keywords is in any of the values."""
        if self._find is None:
            return self._always
        if len(values) == 1 and type(values[0]) is str and values[0].isascii():
            return bool(self._find(values[0].lower().encode()))
        texts = [value for value in values if type(value) is str]
        if len(texts) < len(values):
            for value in values:
                if type(value) is tuple:
                    texts += [text_of(element) for element in value if element is not None]
                elif self._numbers and isinstance(value, int | float):
                    texts.append(text_of(value))
        # Literals are ASCII: how lone surrogates are written does not matter.
        return bool(self._find("\n".join(texts).casefold().encode(errors="surrogatepass")))


def _literal_of(leaf: Leaf) -> str:
    """A text that is in every value the keyword is found in, or nothing."""
    if not isinstance(leaf, Text):
        return ""
    found = max(literals_of(leaf.text), key=len) if leaf.how == "like" else leaf.text
    return found.casefold() if found.isascii() and found.isprintable() else ""
