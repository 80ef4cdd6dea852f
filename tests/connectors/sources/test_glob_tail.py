from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from connectors.sources import glob_tail
from connectors.sources.glob_tail import GlobTail


@pytest.fixture(autouse=True)
def _look_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glob_tail, "LOOK_SECONDS", 0.0)


def take(source: GlobTail, rounds: int = 6) -> list[bytes]:
    return [line.raw for _ in range(rounds) for line in source.read()]


def test_every_log_is_read_also_those_that_come_later(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.log").write_text(f"{name}1\n", encoding="utf-8")
    source = GlobTail(tmp_path / "*.log")
    assert sorted(take(source)) == [b"a1", b"b1"]
    (tmp_path / "c.log").write_text("c1\n", encoding="utf-8")
    (tmp_path / "c.txt").write_text("not ours\n", encoding="utf-8")
    assert take(source) == [b"c1"]


def test_a_busy_log_does_not_starve_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("busy\n" * 200_000, encoding="utf-8")
    (tmp_path / "b.log").write_text("quiet\n", encoding="utf-8")
    assert b"quiet" in take(GlobTail(tmp_path / "*.log"), rounds=2)


def test_each_log_goes_on_where_it_was(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.log").write_text(f"{name}1\n{name}2\n", encoding="utf-8")
    source = GlobTail(tmp_path / "*.log")
    for _ in range(2):
        lines = source.read()
        source.acknowledge(lines[0].stream, lines[0].end)
    again = GlobTail(tmp_path / "*.log", source.state())
    assert sorted(take(again)) == [b"a2", b"b2"]


def test_only_logs_that_are_there_at_the_start_begin_at_their_end(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("old\n", encoding="utf-8")
    source = GlobTail(tmp_path / "*.log", from_end=True)
    (tmp_path / "b.log").write_text("new\n", encoding="utf-8")
    assert take(source) == [b"new"]


def test_where_nothing_fits_or_too_much_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = GlobTail(tmp_path / "*.log")
    assert "no file fits" in source.trouble
    monkeypatch.setattr(glob_tail, "MAX_FILES", 1)
    for name in "ab":
        (tmp_path / f"{name}.log").write_text(f"{name}\n", encoding="utf-8")
    assert take(source) == [b"a"]
    assert "more than 1 files" in source.trouble


def test_damaged_positions_are_told() -> None:
    with pytest.raises(ValidationError):
        GlobTail(Path("/nowhere/*"), [{"inode": 3}])
