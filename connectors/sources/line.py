"""One raw log line, and the promise a source makes about it."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol


class Line(NamedTuple):
    """One line as it was read."""

    raw: bytes
    """Without its line end; of an over-long line only the beginning."""
    stream: str
    """The file generation it stands in, or the pipe it came through."""
    start: int
    """Byte offset of its first byte in the stream."""
    end: int
    """Byte offset behind its line end: reading goes on there."""
    too_long: str = ""
    """Length and digest of the whole, where `raw` is only its beginning."""


class Source(Protocol):
    """Yields lines and remembers how far they were brought to safety."""

    @property
    def ended(self) -> bool:
        """Whether no further line can come."""

    @property
    def trouble(self) -> str:
        """Why nothing can be read at present; empty if all is well."""

    def read(self) -> list[Line]:
        """The next lines, a bounded number; empty if there are none at present. Never blocks."""

    def look(self) -> None:
        """Notice what happens to it while nothing is read, such as a log's rotation."""

    def acknowledge(self, stream: str, end: int) -> None:
        """Everything of the stream up to there has reached its destination."""

    def state(self) -> list[dict[str, Any]]:
        """What must be remembered to go on from the last acknowledged line."""

    def close(self) -> None:
        """Give back what is open."""
