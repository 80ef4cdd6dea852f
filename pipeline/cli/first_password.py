"""The first log-in: its password is shown once, to the person at the terminal whose command made it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from dashboard.accounts import FIRST_USER


@contextmanager
def first_password_shown(secrets: Path, console: Console) -> Iterator[None]:
    """Show the password after the block, if the dashboard made it meanwhile.

    Where no person looks on, only its file is named: what a program prints is kept in logs.

    Args:
        secrets: the secrets folder.
        console: where it is shown.
    """
    was_there = (secrets / "dashboard-users.yml").exists()
    yield
    file = secrets / "dashboard-password"
    if was_there or not file.exists():
        return
    word = f"{file.read_text(encoding='utf-8').strip()} (shown once" if console.is_terminal else "is made (not shown"
    console.print(
        f"First log-in: user {FIRST_USER}, password {word}; kept in {file})", highlight=False, markup=False,
        soft_wrap=True,
    )  # fmt: skip
