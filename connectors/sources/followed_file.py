"""One generation of a log file: from its first byte until it is truncated, replaced or finished."""

from __future__ import annotations

import os
import stat
import time
from hashlib import blake2b
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from connectors.sources.line import Line
from connectors.sources.line_reader import LineReader

CHUNK_BYTES: Final = 128 * 1024
HEAD_BYTES: Final = 256
"""A file is recognised by these first bytes: an inode number is given to a new file soon after the old one is gone."""


class FilePosition(BaseModel):
    """How far one generation of a file was brought to safety."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inode: int
    generation: int = Field(ge=0, description="how often this inode's content began anew")
    offset: int = Field(ge=0)
    modified: float = Field(description="seconds; files that were renamed are told apart by age")
    head_length: int = Field(default=0, ge=0, le=HEAD_BYTES)
    head_digest: str = ""

    def continues_in(self, path: Path) -> bool:
        """Whether the file there is the one that was read, or a copy of it, and holds all that was read."""
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                return size >= self.offset > 0 and _digest(file.read(self.head_length)) == self.head_digest
        except OSError:
            return False


class FollowedFile:
    """An open file that is read as it grows.

    Args:
        path: where it is now; a later rename does not matter.
        position: where to go on; None for a file never read before.
        from_end: begin a file never read before at its end.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """

    def __init__(self, path: Path, position: FilePosition | None = None, *, from_end: bool = False) -> None:
        # O_NONBLOCK: opening a named pipe must not hang.
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        info = os.fstat(self._descriptor)
        if not stat.S_ISREG(info.st_mode):
            os.close(self._descriptor)
            raise OSError(0, "not a regular file", str(path))
        self.inode = info.st_ino
        self.generation = position.generation if position else 0
        self._head = b""
        offset = 0
        if position is not None:
            if info.st_size >= position.offset and self._begins_as(position):
                offset = position.offset
            else:
                self.generation += 1
        elif from_end:
            offset = _line_start(self._descriptor, info.st_size)
        self._head = os.pread(self._descriptor, HEAD_BYTES, 0)
        self._begin(offset)

    def _begin(self, offset: int) -> None:
        self.stream = f"{self.inode}.{self.generation}"
        self._reader = LineReader(self.stream, offset)
        self.acknowledged = offset
        self.delivered = offset
        self._grew = time.monotonic()

    @property
    def settled(self) -> bool:
        """Whether every line it gave has been acknowledged."""
        return self.acknowledged >= self.delivered

    @property
    def quiet_seconds(self) -> float:
        """How long nothing new was found in it."""
        return time.monotonic() - self._grew

    def read(self) -> list[Line]:
        """The next lines; begins anew by itself where the file was truncated."""
        size = os.fstat(self._descriptor).st_size
        offset = self._reader.offset
        if size == offset:
            return []
        if size < offset or not self._is_same():
            return self._begin_anew() or self.read()
        chunk = os.pread(self._descriptor, CHUNK_BYTES, offset)
        self._grew = time.monotonic()
        return self._deliver(self._reader.feed(chunk))

    def finish(self) -> list[Line]:
        """What is left of a file that will not grow any more."""
        return self._deliver(self._reader.rest())

    def position(self) -> FilePosition:
        """What to remember of it."""
        return FilePosition(
            inode=self.inode,
            generation=self.generation,
            offset=self.acknowledged,
            modified=os.fstat(self._descriptor).st_mtime,
            head_length=len(self._head),
            head_digest=_digest(self._head),
        )

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)

    def _deliver(self, lines: list[Line]) -> list[Line]:
        if lines:
            self.delivered = lines[-1].end
        return lines

    def _begin_anew(self) -> list[Line]:
        left = self._reader.rest()  # the line that was being written is not there any more: send what was seen
        self.generation += 1
        self._head = os.pread(self._descriptor, HEAD_BYTES, 0)
        self._begin(0)
        return left

    def _is_same(self) -> bool:
        """Whether the file still begins as it did; learns more of its beginning while it is short."""
        head = os.pread(self._descriptor, HEAD_BYTES, 0)
        if not head.startswith(self._head):
            return False
        self._head = head
        return True

    def _begins_as(self, position: FilePosition) -> bool:
        return _digest(os.pread(self._descriptor, position.head_length, 0)) == position.head_digest


def _digest(head: bytes) -> str:
    return blake2b(head, digest_size=16).hexdigest()


def _line_start(descriptor: int, size: int) -> int:
    """Behind the last line end, so that no half line is read first."""
    begin = max(0, size - CHUNK_BYTES)
    block = os.pread(descriptor, size - begin, begin)
    return begin + block.rfind(b"\n") + 1
