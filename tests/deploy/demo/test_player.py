from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from deploy.demo.institutions import Line, load_institutions
from deploy.demo.player import LogFolders, Player, clear_folders, log_path
from schemas.times import now_ms

INSTITUTIONS = load_institutions()


def wait_for(condition: object, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_line_is_written_when_its_moment_has_come_and_not_before(tmp_path: Path) -> None:
    now = now_ms()
    lines = [Line(now, "kestrel-bank", "auth", "one"), Line(now + 3_600_000, "kestrel-bank", "auth", "two")]
    player = Player(LogFolders(tmp_path, INSTITUTIONS), lines)
    player.start()
    wait_for(lambda: player.written == 1)
    player.stop()
    assert log_path(tmp_path, "kestrel-bank", "auth").read_text() == "one\n"


def test_streams_are_merged_in_order_of_time(tmp_path: Path) -> None:
    now = now_ms()
    first = [Line(now, "kestrel-bank", "auth", "a"), Line(now + 60, "kestrel-bank", "auth", "c")]
    second = [Line(now + 30, "kestrel-bank", "auth", "b")]
    player = Player(LogFolders(tmp_path, INSTITUTIONS), first, second)
    player.start()
    player.join(5)
    assert log_path(tmp_path, "kestrel-bank", "auth").read_text() == "a\nb\nc\n"


def test_what_ended_it_is_kept_for_the_main_thread(tmp_path: Path) -> None:
    def broken() -> Iterator[Line]:
        yield Line(now_ms(), "kestrel-bank", "auth", "one")
        raise OSError("disk full")

    player = Player(LogFolders(tmp_path, INSTITUTIONS), broken())
    player.start()
    player.join(5)
    assert isinstance(player.error, OSError)


def test_an_earlier_runs_logs_are_removed(tmp_path: Path) -> None:
    LogFolders(tmp_path, INSTITUTIONS).close()
    assert log_path(tmp_path, "cobalt-bank", "portal").exists()
    clear_folders(tmp_path, INSTITUTIONS)
    assert not log_path(tmp_path, "cobalt-bank", "portal").exists()
