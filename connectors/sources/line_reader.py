"""Splits a stream of bytes into lines; a line without end cannot fill the memory."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from connectors.sources.line import Line

MAX_LINE_BYTES: Final = 1024 * 1024
KEPT_BYTES: Final = 4096
"""So much of an over-long line is kept for the dead letter."""


class LineReader:
    """Collects chunks of one stream and gives back whole lines.

    Args:
        stream: its name, passed on in every line.
        offset: of the first byte that will be fed.
    """

    def __init__(self, stream: str, offset: int = 0) -> None:
        self._stream = stream
        self._start = offset
        self._tail = b""
        self._giant: Giant | None = None

    @property
    def offset(self) -> int:
        """Where the next chunk must come from."""
        return self._start + (self._giant.length if self._giant else len(self._tail))

    def feed(self, chunk: bytes) -> list[Line]:
        """The lines that this chunk completes; blank ones are left out."""
        if self._giant is not None:
            return self._feed_giant(chunk)
        *whole, tail = (self._tail + chunk).split(b"\n")
        lines: list[Line] = []
        for raw in whole:
            self._take(raw, len(raw) + 1, lines)
        self._tail = tail
        if len(tail) > MAX_LINE_BYTES:
            self._giant, self._tail = Giant(tail), b""
        return lines

    def rest(self) -> list[Line]:
        """The last line of a stream that has ended without a line end."""
        lines: list[Line] = []
        if self._giant is not None:
            lines.append(self._end_giant(0))
        elif self._tail:
            tail, self._tail = self._tail, b""
            self._take(tail, len(tail), lines)
        return lines

    def _take(self, raw: bytes, length: int, lines: list[Line]) -> None:
        start, self._start = self._start, self._start + length
        if len(raw) > MAX_LINE_BYTES:
            giant = Giant(raw)
            lines.append(Line(giant.head, self._stream, start, self._start, giant.described()))
            return
        raw = raw.removesuffix(b"\r")
        if raw and not raw.isspace():
            lines.append(Line(raw, self._stream, start, self._start))

    def _feed_giant(self, chunk: bytes) -> list[Line]:
        assert self._giant is not None
        last, newline, after = chunk.partition(b"\n")
        self._giant.add(last)
        if not newline:
            return []
        return [self._end_giant(1), *self.feed(after)]

    def _end_giant(self, line_end: int) -> Line:
        giant, self._giant = self._giant, None
        assert giant is not None
        start, self._start = self._start, self._start + giant.length + line_end
        return Line(giant.head, self._stream, start, self._start, giant.described())


class Giant:
    """A line that is too long to be kept."""

    def __init__(self, beginning: bytes) -> None:
        self.head = beginning[:KEPT_BYTES]
        self.length = len(beginning)
        self._digest = blake2b(beginning, digest_size=16)

    def add(self, more: bytes) -> None:
        """Take more of it."""
        if len(self.head) < KEPT_BYTES:
            self.head += more[: KEPT_BYTES - len(self.head)]
        self.length += len(more)
        self._digest.update(more)

    def described(self, most: int = MAX_LINE_BYTES) -> str:
        """Length and digest, as `Line.too_long` carries them."""
        return f"{self.length} bytes, at most {most}; blake2b {self._digest.hexdigest()}"
