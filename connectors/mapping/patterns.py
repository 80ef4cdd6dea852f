r"""Regular expressions on RE2: time linear in the line, so no mapping and no log line can stall the forwarder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import re2  # type: ignore[import-untyped]

MAX_PROGRAM_BYTES: Final = 8 * 1024 * 1024

Groups = dict[str, str]
"""Named groups that took part in a match."""

Spans = Callable[[bytes], list[tuple[int, int]]]
"""Where the whole match and each group begin and end; (-1, -1) for what took no part, the whole match included."""


class Pattern:
    """One compiled pattern.

    Args:
        expression: RE2 syntax, which has neither look-around nor back-references.

    Raises:
        ValueError: not such an expression.
    """

    def __init__(self, expression: str) -> None:
        options = re2.Options()
        options.log_errors = False
        options.max_mem = MAX_PROGRAM_BYTES
        try:
            # Bytes: re2 is twice as quick on them as on str, whose offsets it must translate.
            compiled = re2.compile(expression.encode(), options)
        except re2.error as error:
            reason = error.args[0] if error.args else error
            shown = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
            raise ValueError(
                f"not a regular expression: {shown}; look-around and back-references are not supported"
            ) from error
        indexes = {_name(name): index for name, index in compiled.groupindex.items()}
        self._places = tuple(indexes.items())
        self.names: frozenset[str] = frozenset(indexes)
        self._anywhere, self._at_beginning = quick_spans(compiled) or public_spans(compiled)

    def search(self, text: str) -> Groups | None:
        """The named groups of the first match anywhere in the text."""
        raw = text.encode("utf-8", "replace")
        return self._groups(raw, self._anywhere(raw))

    def match(self, raw: bytes) -> Groups | None:
        """The named groups of a match at the beginning of a line of UTF-8."""
        return self._groups(raw, self._at_beginning(raw))

    def _groups(self, raw: bytes, spans: list[tuple[int, int]]) -> Groups | None:
        if spans[0][0] < 0:
            return None
        groups: Groups = {}
        text = raw.decode() if raw.isascii() else None  # then places in bytes are places in the text
        for name, index in self._places:
            start, end = spans[index]
            if start >= 0:
                groups[name] = raw[start:end].decode() if text is None else text[start:end]
        return groups


def public_spans(compiled: Any) -> tuple[Spans, Spans]:
    """Search and match through re2's own match object."""
    numbers = range(compiled.groups + 1)

    def spans_of(match: Any) -> list[tuple[int, int]]:
        return [(-1, -1)] if match is None else [match.span(number) for number in numbers]

    return lambda raw: spans_of(compiled.search(raw)), lambda raw: spans_of(compiled.match(raw))


def quick_spans(compiled: Any) -> tuple[Spans, Spans] | None:
    """The same as C++ gives them, at half the cost; None where this release of re2 has them elsewhere.

    They are not public: docs/decisions/0052-re2-spans.md.
    """
    try:
        find, anchors = compiled._regexp.Match, re2._re2.RE2.Anchor
        anywhere, at_beginning = anchors.UNANCHORED, anchors.ANCHOR_START
        find(anywhere, b"", 0, 0)
    except (AttributeError, TypeError):
        return None
    return lambda raw: find(anywhere, raw, 0, len(raw)), lambda raw: find(at_beginning, raw, 0, len(raw))


def _name(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
