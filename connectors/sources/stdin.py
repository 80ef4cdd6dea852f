"""Lines from standard input; what a pipe has given cannot be read again, so there is no position to keep."""

from __future__ import annotations

import os
import select
from typing import Any, Final

from connectors.sources.line import Line
from connectors.sources.line_reader import LineReader

CHUNK_BYTES: Final = 64 * 1024


class Stdin:
    """Reads a pipe, a terminal or a redirected file until it ends.

    Args:
        descriptor: an open file descriptor.
    """

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._reader = LineReader("stdin")
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the other side has closed it."""
        return self._ended

    @property
    def trouble(self) -> str:
        """Nothing: an end is no trouble."""
        return ""

    def read(self) -> list[Line]:
        """Lines that are there already."""
        if self._ended or not select.select([self._descriptor], [], [], 0)[0]:
            return []
        chunk = os.read(self._descriptor, CHUNK_BYTES)
        if chunk:
            return self._reader.feed(chunk)
        self._ended = True
        return self._reader.rest()

    def look(self) -> None:
        """Nothing: a pipe stays."""

    def acknowledge(self, stream: str, end: int) -> None:
        """Nothing to remember."""

    def state(self) -> list[dict[str, Any]]:
        """Nothing to remember."""
        return []

    def close(self) -> None:
        """The descriptor belongs to who opened it."""
