"""A bounded queue of lines on disk: what came over the network and cannot be asked for again waits here for Kafka.

A folder of segments, each a header and records. A run never appends to a segment of an earlier run: a place in a
segment names one line for ever, whatever a crash cut off, so event ids made of places are never given twice.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import struct
import threading
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog
from pydantic import BaseModel, ConfigDict, Field

from connectors.sources.line import Line
from schemas.errors import ConfigError
from schemas.times import now_ms

log = structlog.get_logger()

MAGIC: Final = b"JSPOOL1\n"
HEADER_BYTES: Final = len(MAGIC) + 16
SUFFIX: Final = ".spool"
SEGMENT_BYTES: Final = 16 * 1024 * 1024
MIN_BYTES: Final = 8 * 1024 * 1024
READ_BYTES: Final = 256 * 1024
MAX_RECORD_BYTES: Final = 4 * 1024 * 1024
_RECORD: Final = struct.Struct("<IIQH")
"""Length of what follows, CRC-32 of the rest, time received (ms), length of the `too_long` text at its beginning."""
_CHECKED: Final = struct.Struct("<QH")
_FULL_DISK: Final = (errno.ENOSPC, errno.EDQUOT)


class SpoolPosition(BaseModel):
    """How far a spool was brought to safety."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    segment: int = Field(default=0, ge=0)
    offset: int = Field(default=0, ge=0)


class _Segment:
    """One file of the spool."""

    def __init__(self, path: Path, descriptor: int, size: int, identity: str) -> None:
        self.path = path
        self.number = int(path.stem)
        self.descriptor = descriptor
        self.size = size
        self.stream = f"{self.number}.{identity}"

    def read(self, length: int, offset: int) -> bytes:
        return os.pread(self.descriptor, min(length, self.size - offset), offset)

    def remove(self) -> None:
        os.close(self.descriptor)
        self.path.unlink(missing_ok=True)


class Entry(NamedTuple):
    """What a record holds."""

    raw: bytes
    too_long: str
    received: int
    """ms"""
    length: int
    """Bytes of the whole record."""


class Spool:
    """Appends from any thread, read by one.

    Args:
        folder: its own; made if it is not there.
        max_bytes: of all segments together; a line that does not fit is not taken.
        position: what `position` gave before the restart; None at the first start.
        sync_seconds: at most so much is lost when the power fails; 0: nothing, at the price of a sync for each append.

    Raises:
        ConfigError: the folder cannot be used, or its disk has less room than `max_bytes`.
    """

    def __init__(
        self, folder: Path, max_bytes: int, position: SpoolPosition | None = None, *, sync_seconds: float = 0.2
    ) -> None:
        self._folder = folder
        self._max = max(max_bytes, MIN_BYTES)
        self._segment_bytes = min(SEGMENT_BYTES, self._max // 8)
        self._sync_seconds = sync_seconds
        self._lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._synced = self._appended = 0
        self._last_sync = time.monotonic()
        self.trouble = ""
        self.damaged_bytes = 0
        """What could not be read back: cut off by a crash, or changed on the disk."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._segments = self._find(folder)
            self._check_room()
            self._acknowledged = self._start(position or SpoolPosition())
            self._segments.append(self._begin())
        except OSError as error:
            raise ConfigError(str(folder), f"cannot spool here: {error.strerror}") from error
        self._reading, self._offset = self._acknowledged.segment, self._acknowledged.offset

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait: appended and not acknowledged."""
        with self._lock:
            return sum(max(0, segment.size - self._first_waiting(segment)) for segment in self._segments)

    @property
    def oldest(self) -> int | None:
        """When the oldest line that is not acknowledged came, ms; None where all are."""
        with self._lock:
            for segment in self._segments:
                offset = self._first_waiting(segment)
                if segment.size > offset:
                    entry = decode(segment.read(MAX_RECORD_BYTES, offset), 0)
                    return entry.received if entry is not None else int(segment.path.stat().st_mtime * 1000)
        return None

    def append(self, lines: Sequence[tuple[bytes, str]], *, whole: bool = False) -> int:
        """Take lines, each with its `too_long` text; returns how many were taken: fewer where the spool is full.

        Args:
            lines: in order.
            whole: take all or none.

        Raises:
            OSError: the disk is gone.
        """
        received = now_ms()
        taken = 0
        with self._lock:
            room = self._max - sum(segment.size for segment in self._segments)
            if whole and room < sum(_RECORD.size + len(raw) + len(told.encode()) for raw, told in lines):
                return 0
            pieces: list[bytes] = []
            waiting = 0
            for raw, too_long in lines:
                record = _encode(raw, too_long, received)
                if room < waiting + len(record):
                    break
                if waiting >= READ_BYTES:
                    if not self._write(pieces):
                        return taken
                    taken, room, waiting, pieces = taken + len(pieces), room - waiting, 0, []
                waiting += len(record)
                pieces.append(record)
            if self._write(pieces):
                taken += len(pieces)
        if self._sync_seconds == 0 and taken:
            self.sync()
        return taken

    def sync(self, *, when_due: bool = False) -> None:
        """Bring what was appended to the disk, if it is not there yet.

        Args:
            when_due: only if the last time was `sync_seconds` ago.

        Raises:
            OSError: the disk is gone.
        """
        if when_due and time.monotonic() - self._last_sync < self._sync_seconds:
            return
        goal = self._appended
        with self._sync_lock:  # whoever waited here finds its lines synced by the one before
            if self._synced >= goal:
                return
            with self._lock:
                reached, descriptor = self._appended, os.dup(self._segments[-1].descriptor)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._synced, self._last_sync = reached, time.monotonic()

    def read(self, limit: int = READ_BYTES) -> list[Line]:
        """The next lines in order, some `limit` bytes; empty if there are none at present."""
        lines: list[Line] = []
        while limit > 0:
            segment, is_last = self._current()
            block = segment.read(limit, self._offset) if segment is not None else b""
            if segment is None or not block:
                if segment is None or is_last:
                    break
                self._reading, self._offset = segment.number + 1, HEADER_BYTES
                continue
            limit -= len(block)
            self._take(segment, block, lines)
        return lines

    def acknowledge(self, stream: str, end: int) -> None:
        """Everything up to there has reached Kafka; segments before it are removed."""
        number = int(stream.partition(".")[0])
        with self._lock:
            if (number, end) > (self._acknowledged.segment, self._acknowledged.offset):
                self._acknowledged = SpoolPosition(segment=number, offset=end)
            while len(self._segments) > 1 and self._done(self._segments[0]):
                self._segments.pop(0).remove()

    def position(self) -> dict[str, Any]:
        """What to remember of it."""
        return self._acknowledged.model_dump()

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        for segment in self._segments:
            os.close(segment.descriptor)

    def _current(self) -> tuple[_Segment | None, bool]:
        with self._lock:
            for segment in self._segments:
                if segment.number >= self._reading:
                    if segment.number > self._reading:
                        self._reading, self._offset = segment.number, HEADER_BYTES
                    return segment, segment is self._segments[-1]
        return None, True

    def _take(self, segment: _Segment, block: bytes, lines: list[Line]) -> None:
        """The records of a block; a half one at its end is read next time, or made whole where nothing else is."""
        at = 0
        while at < len(block):
            entry = decode(block, at)
            if entry is None and at == 0:
                entry = decode(segment.read(MAX_RECORD_BYTES, self._offset), 0)
                if entry is None:
                    self._give_up(segment)
                    return
            if entry is None:
                return
            start, self._offset = self._offset, self._offset + entry.length
            lines.append(Line(entry.raw, segment.stream, start, self._offset, entry.too_long))
            at += entry.length

    def _give_up(self, segment: _Segment) -> None:
        """Go on behind the rest of a segment, which is damaged; say so."""
        rest = segment.size - self._offset
        self.damaged_bytes += rest
        log.error("spool.damaged", path=str(segment.path), offset=self._offset, bytes=rest)
        self._offset = segment.size

    def _first_waiting(self, segment: _Segment) -> int:
        """The offset in a segment up to which all is acknowledged."""
        if segment.number == self._acknowledged.segment:
            return max(HEADER_BYTES, self._acknowledged.offset)
        return HEADER_BYTES if segment.number > self._acknowledged.segment else segment.size

    def _done(self, segment: _Segment) -> bool:
        return segment.number <= self._acknowledged.segment and segment.size <= self._first_waiting(segment)

    def _write(self, records: list[bytes]) -> bool:
        block = b"".join(records)
        segment = self._segments[-1]
        if segment.size > HEADER_BYTES and segment.size + len(block) > self._segment_bytes:
            os.fsync(segment.descriptor)
            segment = self._begin()
            self._segments.append(segment)
        try:
            _write_all(segment.descriptor, block, segment.size)
        except OSError as error:
            if error.errno not in _FULL_DISK:
                raise
            if not self.trouble:
                log.warning("spool.disk_full", folder=str(self._folder))
            self.trouble = f"{self._folder}: the disk is full"
            return False
        segment.size += len(block)
        self._appended += len(block)
        self.trouble = ""
        return True

    def _begin(self) -> _Segment:
        number = self._segments[-1].number + 1 if self._segments else max(1, self._acknowledged.segment + 1)
        path = self._folder / f"{number:010d}{SUFFIX}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        identity = secrets.token_bytes(HEADER_BYTES - len(MAGIC))
        _write_all(descriptor, MAGIC + identity, 0)
        os.fsync(descriptor)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return _Segment(path, descriptor, HEADER_BYTES, identity.hex())

    def _find(self, folder: Path) -> list[_Segment]:
        segments: list[_Segment] = []
        for path in sorted(folder.glob(f"[0-9]*{SUFFIX}")):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            head = os.pread(descriptor, HEADER_BYTES, 0)
            size = os.fstat(descriptor).st_size
            if len(head) < HEADER_BYTES or not head.startswith(MAGIC):
                if size > HEADER_BYTES:
                    raise ConfigError(str(path), "not a segment of a spool", hint="move the file away")
                os.close(descriptor)  # a crash while it was begun: it never held a line
                path.unlink()
                continue
            segments.append(_Segment(path, descriptor, size, head[len(MAGIC) :].hex()))
        return segments

    def _start(self, saved: SpoolPosition) -> SpoolPosition:
        """Where to go on: what was saved, or the oldest segment where that is newer."""
        self._acknowledged = saved
        while self._segments and self._done(self._segments[0]):
            self._segments.pop(0).remove()
        if self._segments and self._segments[0].number > saved.segment:
            return SpoolPosition(segment=self._segments[0].number, offset=HEADER_BYTES)
        return saved

    def _check_room(self) -> None:
        used = sum(segment.size for segment in self._segments)
        free = shutil.disk_usage(self._folder).free
        if used + free < self._max:
            raise ConfigError(
                str(self._folder),
                "the disk has less room than the spool may take",
                got=f"{free} bytes free, {used} used",
                expected=f"{self._max} bytes together",
                hint="a smaller spool.max_bytes, or another state_dir",
            )


def decode(block: bytes, at: int) -> Entry | None:
    """The record at a place of a block; None where it is cut off or damaged."""
    if at + _RECORD.size > len(block):
        return None
    length, checksum, received, told = _RECORD.unpack_from(block, at)
    begin = at + _RECORD.size
    if length > MAX_RECORD_BYTES or told > length or begin + length > len(block):
        return None
    body = block[begin : begin + length]
    if zlib.crc32(body, zlib.crc32(_CHECKED.pack(received, told))) != checksum:
        return None
    return Entry(body[told:], body[:told].decode("utf-8", "replace"), received, _RECORD.size + length)


def _encode(raw: bytes, too_long: str, received: int) -> bytes:
    told = too_long.encode()
    body = told + raw
    checksum = zlib.crc32(body, zlib.crc32(_CHECKED.pack(received, len(told))))
    return _RECORD.pack(len(body), checksum, received, len(told)) + body


def _write_all(descriptor: int, block: bytes, offset: int) -> None:
    view = memoryview(block)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
