"""Follows every log whose path fits a pattern, also those that appear later."""

from __future__ import annotations

import glob
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import ValidationError

from connectors.sources.file_tail import FileTail
from connectors.sources.line import Line

log = structlog.get_logger()

LOOK_SECONDS: Final = 1.0
MAX_FILES: Final = 1000


class GlobTail:
    """Many `FileTail`s, read in turn.

    Args:
        pattern: a path with `*`, `?` or `[...]`.
        saved: what `state` gave before the restart.
        from_end: logs that are there now and were never read before begin at their end.

    Raises:
        pydantic.ValidationError: `saved` is damaged.
    """

    def __init__(self, pattern: Path, saved: Sequence[dict[str, Any]] = (), *, from_end: bool = False) -> None:
        self._pattern = str(pattern)
        self._tails: dict[str, FileTail] = {}
        self._turn = 0
        self._next_look = 0.0
        self._too_many = False
        try:
            remembered = {str(one["path"]): list(one["files"]) for one in saved}
        except (KeyError, TypeError) as error:
            raise ValidationError.from_exception_data("GlobTail", []) from error
        self._from_end = from_end
        for path, files in remembered.items():
            self._tails[path] = FileTail(Path(path), files)
        self._look()
        self._from_end = False

    @property
    def ended(self) -> bool:
        """Never: a log may always grow."""
        return False

    @property
    def trouble(self) -> str:
        """Why something cannot be read at present."""
        if not self._tails:
            return f"{self._pattern}: no file fits"
        if self._too_many:
            return f"{self._pattern}: more than {MAX_FILES} files fit; the others are not read"
        return next((tail.trouble for tail in self._tails.values() if tail.trouble), "")

    def read(self) -> list[Line]:
        """The next lines of the next log that has some."""
        self._look()
        tails = list(self._tails.values())
        for step in range(len(tails)):
            lines = tails[(self._turn + step) % len(tails)].read()
            if lines:
                self._turn = (self._turn + step + 1) % len(tails)
                return lines
        return []

    def look(self) -> None:
        """Open new logs, and hold on to those that are rotated."""
        self._look()
        for tail in self._tails.values():
            tail.look()

    def acknowledge(self, stream: str, end: int) -> None:
        """Remember how far one file is safe."""
        for tail in self._tails.values():
            tail.acknowledge(stream, end)

    def state(self) -> list[dict[str, Any]]:
        """The positions of all logs."""
        return [{"path": path, "files": tail.state()} for path, tail in self._tails.items()]

    def close(self) -> None:
        """Close all files."""
        for tail in self._tails.values():
            tail.close()

    def _look(self) -> None:
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_SECONDS
        for path in sorted(glob.glob(self._pattern)):  # noqa: PTH207 - Path.glob takes no absolute pattern
            if path in self._tails or not Path(path).is_file():
                continue
            if len(self._tails) >= MAX_FILES:
                self._too_many = True
                return
            self._tails[path] = FileTail(Path(path), from_end=self._from_end)
            log.info("source.found", path=path)
