from __future__ import annotations

from pathlib import Path

import pytest

from connectors.sources.file_tail import FileTail
from connectors.sources.joined_lines import JoinedLines
from connectors.sources.line import Line

BEGINS = r"\d{4}-\d\d-\d\d"
TRACE = "2026-11-23 failed\n  at a\n  at b\n"


def joined(path: Path, max_lines: int = 100, wait: float = 0.0) -> JoinedLines:
    return JoinedLines(FileTail(path), BEGINS, max_lines=max_lines, wait_seconds=wait)


def take(source: JoinedLines) -> list[Line]:
    return [line for _ in range(4) for line in source.read()]


def test_an_entry_is_complete_when_the_next_begins_or_after_a_silence(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text(TRACE + "2026-11-24 fine\n", encoding="utf-8")
    source = joined(log, wait=3600)
    (entry,) = take(source)
    assert (entry.raw, entry.start, entry.end) == (b"2026-11-23 failed\n  at a\n  at b", 0, len(TRACE))
    source._wait = 0.0
    assert [line.raw for line in take(source)] == [b"2026-11-24 fine"]


def test_an_entry_that_was_not_given_out_is_read_again_after_a_restart(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text(TRACE * 2, encoding="utf-8")
    source = joined(log, wait=3600)
    (entry,) = take(source)
    source.acknowledge(entry.stream, entry.end)
    again = JoinedLines(FileTail(log, source.state()), BEGINS, max_lines=100, wait_seconds=0.0)
    assert [line.start for line in take(again)] == [len(TRACE)]


def test_an_entry_without_end_is_cut_into_pieces(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("2026-11-23 a\n" + " more\n" * 9, encoding="utf-8")
    pieces = [line.raw.count(b"\n") + 1 for line in take(joined(log, max_lines=4))]
    assert pieces == [4, 4, 2]


def test_entries_never_outgrow_the_longest_line(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("2026-11-23 a\n" + ("x" * 400_000 + "\n") * 5, encoding="utf-8")
    source = joined(log, max_lines=10_000)
    sizes = [len(line.raw) for _ in range(40) for line in source.read()]
    assert sum(sizes) > 2_000_000
    assert max(sizes) <= 1024 * 1024


def test_a_pattern_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="regular expression"):
        JoinedLines(FileTail(tmp_path / "x"), "(?=a)", max_lines=2, wait_seconds=1)
