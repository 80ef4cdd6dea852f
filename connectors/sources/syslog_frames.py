r"""Messages of a syslog stream over TCP or TLS (RFC 6587, RFC 5425): by octet counts, or by line ends.

Each message tells by its beginning which it is: `41 <34>1 2026...` is counted, anything else ends with a line end.
"""

from __future__ import annotations

import re
from typing import Final

from connectors.sources.line_reader import Giant

MAX_MESSAGE_BYTES: Final = 64 * 1024
Message = tuple[bytes, str]
"""The message, and of an over-long one its length and digest, where the message is only its beginning."""

_COUNT: Final = re.compile(rb"([1-9][0-9]{0,8}) (?=<)")
_HALF_COUNT: Final = re.compile(rb"[1-9][0-9]{0,8} ?")


class SyslogFrames:
    """Collects chunks of one connection and gives back whole messages."""

    def __init__(self) -> None:
        self._buffer = b""
        self._giant: Giant | None = None
        self._left: int | None = None
        """Octets of the giant that are still to come; None where a line end ends it."""

    def feed(self, chunk: bytes) -> list[Message]:
        """The messages that this chunk completes; empty ones are left out."""
        messages: list[Message] = []
        block, at = self._buffer + chunk, 0
        while at < len(block):
            if self._giant is not None:
                at = self._skip(block, at, messages)
                continue
            counted = _COUNT.match(block, at)
            if counted is None and _HALF_COUNT.fullmatch(block, at):
                break
            begin, end, behind = self._bounds(block, at, counted)
            if end - begin > MAX_MESSAGE_BYTES:
                self._giant, self._left = Giant(b""), (end - begin if counted else None)
                at = begin
                continue
            if behind > len(block):
                break
            _take(block[begin:end], messages)
            at = behind
        self._buffer = block[at:]
        return messages

    def rest(self) -> list[Message]:
        """What was begun when the connection ended."""
        messages: list[Message] = []
        if self._giant is not None:
            self._end_giant(messages)
        else:
            _take(self._buffer, messages)
        self._buffer = b""
        return messages

    def _bounds(self, block: bytes, at: int, counted: re.Match[bytes] | None) -> tuple[int, int, int]:
        """Begin and end of a message, and where the next begins; behind the block where it is not whole yet."""
        if counted is not None:
            end = counted.end() + int(counted[1])
            return counted.end(), end, end
        end = block.find(b"\n", at)
        return (at, len(block), len(block) + 1) if end < 0 else (at, end, end + 1)

    def _skip(self, block: bytes, at: int, messages: list[Message]) -> int:
        assert self._giant is not None
        if self._left is not None:
            piece = block[at : at + self._left]
            self._left -= len(piece)
            behind, over = at + len(piece), self._left == 0
        else:
            end = block.find(b"\n", at)
            piece = block[at:] if end < 0 else block[at:end]
            behind, over = at + len(piece) + (end >= 0), end >= 0
        self._giant.add(piece)
        if over:
            self._end_giant(messages)
        return behind

    def _end_giant(self, messages: list[Message]) -> None:
        giant, self._giant, self._left = self._giant, None, None
        assert giant is not None
        messages.append((giant.head, giant.described(MAX_MESSAGE_BYTES)))


def _take(raw: bytes, messages: list[Message]) -> None:
    raw = raw.rstrip(b"\r\n\0")
    if raw and not raw.isspace():
        messages.append((raw, ""))
