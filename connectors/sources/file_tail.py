"""Follows a log file through rotation, by rename or by truncation, and through restarts of the forwarder."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import TypeAdapter

from connectors.sources.followed_file import FilePosition, FollowedFile
from connectors.sources.line import Line

log = structlog.get_logger()

GRACE_SECONDS: Final = 2.0
"""A renamed file is read until it was quiet so long: daemons write into it until they are told to reopen."""
_POSITIONS: Final = TypeAdapter(list[FilePosition])


class FileTail:
    """The lines of one log, whatever files it goes through.

    Args:
        path: the log.
        saved: what `state` gave before the restart; empty at the first start.
        from_end: a log that is there now and was never read before begins at its end.
        grace_seconds: see `GRACE_SECONDS`.

    Raises:
        pydantic.ValidationError: `saved` is damaged.
    """

    def __init__(
        self,
        path: Path,
        saved: Sequence[dict[str, Any]] = (),
        *,
        from_end: bool = False,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._path = path
        self._grace = grace_seconds
        self._rotated_name = re.compile(re.escape(path.name) + r"[.-]\d[\d.-]*")
        self._files: list[FollowedFile] = []
        """Oldest first; the last is the one at `path`, as far as it is known."""
        self._remembered: dict[int, FilePosition] = {}
        """By inode: positions of the last run whose files are not open (gone, or not readable yet)."""
        self._trouble = ""
        self._resume(_POSITIONS.validate_python(list(saved)))
        self._notice_rotation(from_end=from_end)

    @property
    def ended(self) -> bool:
        """Never: a log may always grow."""
        return False

    @property
    def trouble(self) -> str:
        """Why the log cannot be read at present."""
        return self._trouble

    def read(self) -> list[Line]:
        """The next lines, at most one chunk of one file."""
        self._notice_rotation()
        for file in self._files[:-1]:
            lines = file.read() or self._finish_if_quiet(file)
            if lines:
                return lines
        return self._files[-1].read() if self._files else []

    def look(self) -> None:
        """Open what takes the log's place: an open file can be read even when it was packed and removed."""
        self._notice_rotation()

    def acknowledge(self, stream: str, end: int) -> None:
        """Remember how far one file generation is safe."""
        for file in self._files:
            if file.stream == stream:
                file.acknowledged = max(file.acknowledged, end)

    def state(self) -> list[dict[str, Any]]:
        """The positions of all files that are not done with."""
        positions = self._remembered | {file.inode: file.position() for file in self._files}
        return [position.model_dump() for position in positions.values()]

    def close(self) -> None:
        """Close all files."""
        for file in self._files:
            file.close()
        self._files.clear()

    def _resume(self, saved: list[FilePosition]) -> None:
        """Find the files of the last run again, under whatever names they have now."""
        siblings = [path for path, _, _ in self._siblings()]
        self._remembered = {position.inode: position for position in saved}
        for position in sorted(saved, key=lambda position: position.modified):
            path = next((path for path in (self._path, *siblings) if _inode(path) == position.inode), None)
            if path is None or not position.continues_in(path):
                # Truncated after it was copied (logrotate's copytruncate): the copy has the lines not yet read.
                path = next((copy for copy in siblings if position.continues_in(copy)), path)
            if path is None:
                log.warning("source.file_gone", path=str(self._path), inode=position.inode, offset=position.offset)
            else:
                self._open(path, position)

    def _notice_rotation(self, *, from_end: bool = False) -> None:
        """Open the file at `path` if it is not the one that is followed, and those rotated in between."""
        inode = _inode(self._path)
        if inode is None:
            self._say("" if self._files else f"{self._path}: not there")
            return
        if self._files and self._files[-1].inode == inode:
            return
        known = {file.inode for file in self._files}
        if inode in known:  # the one at `path` comes last
            self._files.sort(key=lambda file: file.inode == inode)
            return
        last = self._newest()
        if last is not None and last.inode != inode:
            self._open_between(last, known | {inode})
        if self._open(self._path, self._remembered.get(inode), from_end=from_end and last is None):
            self._remembered.clear()

    def _newest(self) -> FilePosition | None:
        if self._files:
            return self._files[-1].position()
        return max(self._remembered.values(), key=lambda position: position.modified, default=None)

    def _open_between(self, last: FilePosition, known: set[int]) -> None:
        """Files that came and were rotated away since the last look."""
        between = [entry for entry in self._siblings() if entry[1] not in known and entry[2] >= last.modified]
        for path, _, _ in sorted(between, key=lambda entry: entry[2]):
            self._open(path, None)
        log.info("source.rotated", path=str(self._path), files_in_between=len(between))

    def _open(self, path: Path, position: FilePosition | None, *, from_end: bool = False) -> bool:
        try:
            self._files.append(FollowedFile(path, position, from_end=from_end))
        except OSError as error:
            self._say(f"{path}: {error.strerror}")
            return False
        self._remembered.pop(self._files[-1].inode, None)
        self._say("")
        return True

    def _finish_if_quiet(self, file: FollowedFile) -> list[Line]:
        if file.quiet_seconds < self._grace:
            return []
        lines = file.finish()
        if not lines and file.settled:
            file.close()
            self._files.remove(file)
        return lines

    def _siblings(self) -> list[tuple[Path, int, float]]:
        """Path, inode and age of the log's rotated files, as logrotate names them; compressed ones are left out."""
        found = []
        try:
            with os.scandir(self._path.parent) as entries:
                for entry in entries:
                    if self._rotated_name.fullmatch(entry.name) and entry.is_file():
                        info = entry.stat()
                        found.append((Path(entry.path), info.st_ino, info.st_mtime))
        except OSError:
            return []
        return found

    def _say(self, trouble: str) -> None:
        """Tell a change of fortune once."""
        if trouble != self._trouble:
            self._trouble = trouble
            if trouble:
                log.warning("source.cannot_read", trouble=trouble)
            else:
                log.info("source.reading", path=str(self._path))


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
