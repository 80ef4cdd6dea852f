"""Joins lines that belong together, such as a stack trace, into one."""

from __future__ import annotations

import time
from typing import Any

from connectors.mapping.patterns import Pattern
from connectors.sources.line import Line, Source
from connectors.sources.line_reader import MAX_LINE_BYTES


class JoinedLines:
    """A source whose lines are entries: each begins with a line that fits a pattern.

    Args:
        source: gives single lines.
        begins: RE2 pattern, matched at the beginning of a line.
        max_lines: an entry is cut into pieces of so many lines.
        wait_seconds: an entry is complete after so long a silence.

    Raises:
        ValueError: not such a pattern.
    """

    def __init__(self, source: Source, begins: str, *, max_lines: int, wait_seconds: float) -> None:
        self._source = source
        self._begins = Pattern(begins)
        self._max_lines = max_lines
        self._wait = wait_seconds
        self._open: dict[str, list[Line]] = {}
        """By stream: the lines of the entry that may not be complete."""
        self._sizes: dict[str, int] = {}
        self._grew = time.monotonic()

    @property
    def ended(self) -> bool:
        """Whether no further entry can come."""
        return self._source.ended and not self._open

    @property
    def trouble(self) -> str:
        """Why nothing can be read at present."""
        return self._source.trouble

    def read(self) -> list[Line]:
        """The next entries."""
        entries: list[Line] = []
        lines = self._source.read()
        for line in lines:
            self._take(line, entries)
        if lines:
            self._grew = time.monotonic()
        elif self._open and (self._source.ended or time.monotonic() - self._grew >= self._wait):
            entries += [self._complete(stream) for stream in list(self._open)]
        return entries

    def look(self) -> None:
        """As the source does."""
        self._source.look()

    def acknowledge(self, stream: str, end: int) -> None:
        """Everything of the stream up to there has reached its destination."""
        self._source.acknowledge(stream, end)

    def state(self) -> list[dict[str, Any]]:
        """What must be remembered; an entry that is not complete is read again."""
        return self._source.state()

    def close(self) -> None:
        """Give back what is open."""
        self._source.close()

    def _take(self, line: Line, entries: list[Line]) -> None:
        waiting = self._open.get(line.stream)
        size = self._sizes.get(line.stream, 0) + len(line.raw) + 1
        begins = self._begins.match(line.raw) is not None or line.too_long
        if waiting and (begins or len(waiting) >= self._max_lines or size > MAX_LINE_BYTES or waiting[-1].too_long):
            entries.append(self._complete(line.stream))
            waiting, size = None, len(line.raw) + 1
        if waiting is None:
            waiting = self._open[line.stream] = []
        waiting.append(line)
        self._sizes[line.stream] = size

    def _complete(self, stream: str) -> Line:
        lines = self._open.pop(stream)
        self._sizes.pop(stream, None)
        first, last = lines[0], lines[-1]
        return first._replace(raw=b"\n".join(line.raw for line in lines), end=last.end)
