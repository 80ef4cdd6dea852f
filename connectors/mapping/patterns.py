r"""Regular expressions on RE2: time linear in the line, so no mapping and no log line can stall the forwarder."""

from __future__ import annotations

from typing import Any, Final

import re2  # type: ignore[import-untyped]

MAX_PROGRAM_BYTES: Final = 8 * 1024 * 1024

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
            self._compiled = re2.compile(expression.encode(), options)
        except re2.error as error:
            reason = error.args[0] if error.args else error
            shown = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
            raise ValueError(
                f"not a regular expression: {shown}; look-around and back-references are not supported"
            ) from error
        indexes = {_name(name): index for name, index in self._compiled.groupindex.items()}
        self._places = tuple(indexes.items())
        self.names: frozenset[str] = frozenset(indexes)

    def search(self, text: str) -> Groups | None:
        """The named groups of the first match anywhere in the text."""
        raw = text.encode("utf-8", "replace")
        return self._groups(self._compiled.search(raw), raw)

    def match(self, raw: bytes) -> Groups | None:
        """The named groups of a match at the beginning of a line of UTF-8."""
        return self._groups(self._compiled.match(raw), raw)

    def _groups(self, found: Any, raw: bytes) -> Groups | None:
        if found is None:
            return None
        if not self._places:
            return {}
        groups: Groups = {}
        for name, index in self._places:
            start, end = found.span(index)
            if start >= 0:
                groups[name] = raw[start:end].decode()
        return groups


def _name(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
