"""The password of the first log-in, on the terminal of whoever started the stack."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.cli.first_password import first_password_shown


def shown(folder: Path, *, terminal: bool) -> str:
    """What is printed when the dashboard starts within the block."""
    out = StringIO()
    with first_password_shown(folder, Console(file=out, force_terminal=terminal, no_color=True)):
        if not (folder / "dashboard-users.yml").exists():
            (folder / "dashboard-users.yml").write_text("accounts: []")
            (folder / "dashboard-password").write_text("s3cret-word\n")
    return out.getvalue()


def test_the_password_is_shown_once_to_whoever_made_it(tmp_path: Path) -> None:
    assert "user analyst, password s3cret-word (shown once" in shown(tmp_path, terminal=True)
    assert shown(tmp_path, terminal=True) == ""


def test_where_nobody_looks_on_only_its_file_is_named(tmp_path: Path) -> None:
    text = shown(tmp_path, terminal=False)
    assert "s3cret-word" not in text
    assert str(tmp_path / "dashboard-password") in text


def test_a_start_that_failed_shows_nothing(tmp_path: Path) -> None:
    out = StringIO()
    with pytest.raises(OSError, match="no port"), first_password_shown(tmp_path, Console(file=out)):
        raise OSError("no port")
    assert out.getvalue() == ""
