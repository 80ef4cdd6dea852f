r"""Regular expressions on RE2: time linear in the line, so no mapping and no log line can stall the forwarder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import re2  # type: ignore[import-untyped]

MAX_PROGRAM_BYTES: Final = 8 * 1024 * 1024
_ANYWHERE: Final = re2._re2.RE2.Anchor.UNANCHORED
_AT_BEGINNING: Final = re2._re2.RE2.Anchor.ANCHOR_START

Groups = dict[str, str]
"""Named groups that took part in a match."""


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
        # The spans as C++ gives them: the wrapper's match object costs twice as much as the match.
        self._spans: Callable[[Any, bytes, int, int], list[tuple[int, int]]] = compiled._regexp.Match
        self._places = tuple(indexes.items())
        self.names: frozenset[str] = frozenset(indexes)

    def search(self, text: str) -> Groups | None:
        """The named groups of the first match anywhere in the text."""
        raw = text.encode("utf-8", "replace")
        return self._groups(_ANYWHERE, raw)

    def match(self, raw: bytes) -> Groups | None:
        """The named groups of a match at the beginning of a line of UTF-8."""
        return self._groups(_AT_BEGINNING, raw)

    def _groups(self, anchor: Any, raw: bytes) -> Groups | None:
        spans = self._spans(anchor, raw, 0, len(raw))
        if spans[0][0] < 0:
            return None
        groups: Groups = {}
        text = raw.decode() if raw.isascii() else None  # then places in bytes are places in the text
        for name, index in self._places:
            start, end = spans[index]
            if start >= 0:
                groups[name] = raw[start:end].decode() if text is None else text[start:end]
        return groups


def _name(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
