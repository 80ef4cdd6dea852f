from __future__ import annotations

import os
from pathlib import Path

from connectors.settings import read_secret
from deploy.local.secret_files import ensure_password, write_secret


def test_a_secret_is_readable_by_its_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_secret(tmp_path / "secrets" / "x", b"word")
    finally:
        os.umask(before)
    assert (tmp_path / "secrets" / "x").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert read_secret(tmp_path / "secrets" / "x") == "word"


def test_a_password_is_made_once_and_is_long(tmp_path: Path) -> None:
    first = ensure_password(tmp_path / "s" / "a").read_text()
    assert ensure_password(tmp_path / "s" / "a").read_text() == first
    assert ensure_password(tmp_path / "s" / "b").read_text() != first
    assert len(first) >= 43


def test_a_draft_left_by_a_killed_process_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "a.tmp").write_text("half")
    write_secret(tmp_path / "a", b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"
