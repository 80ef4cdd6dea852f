"""How long starts and stops are shown: a live table on a terminal, one line for each change elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from deploy.local.steps import Observer, Progress

_STYLES: Final = {
    "waits": "dim",
    "starts": "yellow",
    "ready": "green",
    "was running": "green",
    "failed": "bold red",
    "stops": "yellow",
    "stopped": "dim",
}
_DONE: Final = frozenset({"ready", "was running", "failed", "stopped"})


def results() -> Console:
    """Where tables go: stdout; a pipe has no width, so nothing is cut there."""
    return Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 240)


class _Board:
    """The state of every step, drawn anew at each refresh."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self._lock = threading.Lock()
        self._rows: dict[str, tuple[Progress, str, float]] = {}

    def note(self, name: str, progress: Progress, detail: str) -> None:
        """Remember a change."""
        now = time.monotonic() - self.begun
        with self._lock:
            self._rows[name] = (progress, detail, now)

    def __rich__(self) -> Table:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        with self._lock:
            rows = list(self._rows.items())
        for name, (progress, detail, since) in rows:
            style = _STYLES[progress]
            busy = progress not in _DONE and progress != "waits"
            mark = Spinner("dots", style=style) if busy else Text("●" if progress in _DONE else "·", style)
            seconds = since if progress in _DONE else time.monotonic() - self.begun
            table.add_row(mark, name, Text(progress, style), f"{seconds:5.1f} s", Text(detail, "dim"))
        return table


@contextmanager
def shown(console: Console) -> Iterator[Observer]:
    """An observer that shows on this console what it is told."""
    board = _Board()
    if console.is_terminal and not console.is_dumb_terminal:
        with Live(board, console=console, refresh_per_second=8):
            yield board.note
        return

    def line(name: str, progress: Progress, detail: str) -> None:
        seconds = time.monotonic() - board.begun
        if progress != "waits":
            console.print(f"{seconds:6.1f} s  {name}: {progress} {detail}".rstrip(), highlight=False, soft_wrap=True)

    yield line
