"""The local dead-letter file: each line that could not become an event, and why. It never leaves the member."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import BinaryIO, Final

import orjson
import structlog

from connectors.sources.line import Line
from schemas.times import now_ms, to_rfc3339

log = structlog.get_logger()

FILE_NAME: Final = "dead-letters.ndjson"
MAX_FILE_BYTES: Final = 64 * 1024 * 1024
MAX_RAW_BYTES: Final = 64 * 1024
KEPT_FILES: Final = 4
"""Full files that are kept; what is older is deleted, which is logged."""


class DeadLetterFile:
    """Appends letters as JSON lines.

    Args:
        folder: the forwarder's own.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._file = self._open()
        self._unsynced = False

    def write(self, input_name: str, line: Line, reason: str, detail: str) -> None:
        """Append one letter.

        Raises:
            OSError: the disk is full or gone.
        """
        letter = {
            "@timestamp": to_rfc3339(now_ms()),
            "input": input_name,
            "reason": reason,
            "detail": detail,
            "stream": line.stream,
            "offset": line.start,
            "bytes": line.end - line.start,
            "raw": base64.b64encode(line.raw[:MAX_RAW_BYTES]).decode(),
            "cut": bool(line.too_long) or len(line.raw) > MAX_RAW_BYTES,
        }
        if self._file.tell() >= MAX_FILE_BYTES:
            self._rotate()
        self._file.write(orjson.dumps(letter, option=orjson.OPT_APPEND_NEWLINE))
        self._unsynced = True

    def sync(self) -> None:
        """Bring the letters to disk; must happen before positions behind them are saved.

        Raises:
            OSError: the disk is full or gone.
        """
        if self._unsynced:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._unsynced = False

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        self._file.close()

    def _open(self) -> BinaryIO:
        return os.fdopen(os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab")

    def _rotate(self) -> None:
        self.close()
        full = [self._path.with_name(f"{FILE_NAME}.{number}") for number in range(1, KEPT_FILES + 1)]
        if full[-1].exists():
            log.error("dead_letters.deleted", path=str(full[-1]), bytes=full[-1].stat().st_size)
        for newer, older in zip(reversed([self._path, *full[:-1]]), reversed(full), strict=True):
            if newer.exists():
                newer.replace(older)
        self._file = self._open()
