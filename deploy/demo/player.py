"""Writes the institutions' log files in real time: background and stories, each line when its moment has come."""

from __future__ import annotations

import heapq
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TextIO

from deploy.demo.institutions import LOGS, Institution, Line
from schemas.times import now_ms

_STEP_SECONDS: Final = 0.05


class LogFolders:
    """`<folder>/<member>/<log file>` for every institution, opened for appending."""

    def __init__(self, folder: Path, institutions: Iterable[Institution]) -> None:
        self._files: dict[tuple[str, str], TextIO] = {}
        for institution in institutions:
            for log, name in LOGS.items():
                path = log_path(folder, institution.id, log)
                path.parent.mkdir(parents=True, exist_ok=True)
                self._files[institution.id, log] = (path.parent / name).open("a", encoding="utf-8")

    def write(self, lines: Iterable[Line]) -> int:
        """Append lines; what was written is readable when this returns."""
        touched: set[TextIO] = set()
        count = 0
        for line in lines:
            file = self._files[line.member, line.log]
            file.write(line.text + "\n")
            touched.add(file)
            count += 1
        for file in touched:
            file.flush()
        return count

    def close(self) -> None:
        """Close every file."""
        for file in self._files.values():
            file.close()


def log_path(folder: Path, member: str, log: str) -> Path:
    """Where an institution's log is."""
    return folder / member / LOGS[log]


def clear_folders(folder: Path, institutions: Iterable[Institution]) -> None:
    """Remove an earlier run's logs: each run tells its own story."""
    for institution in institutions:
        shutil.rmtree(folder / institution.id, ignore_errors=True)


class Player(threading.Thread):
    """Plays lines in real time until stopped.

    Args:
        folders: where the lines go.
        streams: each in order of time, endless or not.
    """

    def __init__(self, folders: LogFolders, *streams: Iterable[Line]) -> None:
        super().__init__(name="player", daemon=True)
        self._folders = folders
        self._lines = heapq.merge(*streams)
        self._stop_asked = threading.Event()
        self.written = 0
        self.error: Exception | None = None
        """What ended it before it was asked to stop."""

    def run(self) -> None:
        """Write every line that is due, wait a moment, again."""
        try:
            self._play()
        except Exception as error:  # noqa: BLE001 - told to the main thread, which raises it
            self.error = error
        finally:
            self._folders.close()

    def stop(self) -> None:
        """Ask it to end, and wait until all files are closed."""
        self._stop_asked.set()
        self.join()

    def _play(self) -> None:
        due: list[Line] = []
        ahead = next(self._lines, None)
        while ahead is not None:
            now = now_ms()
            while ahead is not None and ahead.at <= now:
                due.append(ahead)
                ahead = next(self._lines, None)
            self.written += self._folders.write(due)
            due.clear()
            if self._stop_asked.wait(_STEP_SECONDS):
                return
