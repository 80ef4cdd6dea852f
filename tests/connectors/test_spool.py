from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import spool as module
from connectors.sources.line import Line
from connectors.spool import HEADER_BYTES, Spool, SpoolPosition
from schemas.errors import ConfigError

MIB = 1024 * 1024
ROOT = Path(__file__).parents[2]


def put(spool: Spool, *texts: str) -> int:
    return spool.append([(text.encode(), "") for text in texts])


def take(spool: Spool) -> list[Line]:
    lines: list[Line] = []
    while more := spool.read():
        lines += more
    return lines


def texts(lines: list[Line]) -> list[str]:
    return [line.raw.decode() for line in lines]


def resumed(folder: Path, spool: Spool) -> Spool:
    return Spool(folder, 8 * MIB, SpoolPosition.model_validate(spool.position()))


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.spool"))


def test_lines_come_out_as_they_went_in(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 8 * MIB)
    assert spool.append([(b"one", ""), (b"\x00\xff", ""), (b"head", "9 bytes of a long line")]) == 3
    first, second, cut = take(spool)
    assert (first.raw, second.raw, cut.raw, cut.too_long) == (b"one", b"\x00\xff", b"head", "9 bytes of a long line")
    assert take(spool) == []
    put(spool, "later")
    assert texts(take(spool)) == ["later"]


def test_after_a_restart_it_goes_on_behind_the_last_acknowledged_line_at_the_same_places(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 8 * MIB)
    put(spool, "a", "b", "c")
    lines = take(spool)
    spool.acknowledge(lines[0].stream, lines[0].end)
    spool.close()
    again = resumed(tmp_path, spool)
    put(again, "d")
    assert take(again)[:2] == lines[1:]
    again.close()
    assert texts(take(resumed(tmp_path, spool))) == ["b", "c", "d"]


def test_a_place_is_never_given_twice_even_when_the_position_and_the_folder_are_lost(tmp_path: Path) -> None:
    places: list[tuple[str, int]] = []
    for _ in range(3):
        spool = Spool(tmp_path, 8 * MIB)
        put(spool, "same", "same")
        places += [(line.stream, line.start) for line in take(spool)]
        spool.close()
        for path in segments(tmp_path):
            path.unlink()
    assert len(set(places)) == 6


def test_acknowledged_segments_are_removed_and_make_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 8 * MIB)
    text = "x" * 1000
    assert put(spool, *[text] * 20_000) < 20_000
    assert put(spool, text) == 0
    full = spool.waiting_bytes
    assert 7 * MIB < full <= 8 * MIB
    lines = take(spool)
    spool.acknowledge(lines[-1].stream, lines[-1].end)
    assert spool.waiting_bytes == 0
    assert spool.oldest is None
    assert put(spool, *[text] * 4000) == 4000
    assert len(take(spool)) == 4000


def test_it_never_takes_more_disk_than_it_may(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 8 * MIB)
    for _ in range(30):
        put(spool, *["y" * 100_000] * 10)
    assert sum(path.stat().st_size for path in segments(tmp_path)) <= 8 * MIB + 16 * HEADER_BYTES


def test_the_oldest_line_tells_its_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "now_ms", lambda: 1_000)
    spool = Spool(tmp_path, 8 * MIB)
    put(spool, "a")
    monkeypatch.setattr(module, "now_ms", lambda: 2_000)
    put(spool, "b")
    assert spool.oldest == 1_000
    first, _ = take(spool)
    spool.acknowledge(first.stream, first.end)
    assert spool.oldest == 2_000


def test_a_line_larger_than_a_block_is_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 8 * MIB)
    put(spool, "small", "z" * MIB, "after")
    assert [len(text) for text in texts(take(spool))] == [5, MIB, 5]


def test_a_folder_that_is_no_spool_or_a_disk_that_is_too_small_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="less room than the spool may take"):
        Spool(tmp_path / "a", 10**18)
    (tmp_path / "0000000001.spool").write_bytes(b"somebody else's file, longer than a header would be")
    with pytest.raises(ConfigError, match="not a segment of a spool"):
        Spool(tmp_path, 8 * MIB)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot spool here"):
        Spool(tmp_path / "file", 8 * MIB)


def test_a_full_disk_takes_nothing_and_says_so_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, 8 * MIB)

    def no_room(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module.os, "pwrite", no_room)
        assert put(spool, "a") == 0
        assert "disk is full" in spool.trouble
    assert put(spool, "b") == 1
    assert (spool.trouble, texts(take(spool))) == ("", ["b"])


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=30), st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_a_power_cut_leaves_of_the_last_segment_is_a_beginning_of_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, raws: list[bytes], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder, 8 * MIB)
    spool.append([(raw, "") for raw in raws])
    spool.close()
    (path,) = segments(folder)
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    # Behind the cut there is nothing, or what the disk held before.
    path.write_bytes(content[:cut] + data.draw(st.sampled_from([b"", b"\0" * 50, b"\xff" * 50])))
    if cut < HEADER_BYTES:
        path.write_bytes(content[:cut])
    again = Spool(folder, 8 * MIB)
    put(again, "after the crash")
    *kept, last = [line.raw for line in take(again)]
    assert last == b"after the crash"
    assert kept == raws[: len(kept)]
    whole = sum(len(raw) + module._RECORD.size for raw in raws[: len(kept)]) + HEADER_BYTES
    assert cut < whole + (len(raws[len(kept)]) + module._RECORD.size if len(kept) < len(raws) else 1)


@given(st.integers(0, 10_000), st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_a_changed_byte_is_never_given_out_as_a_line(
    tmp_path_factory: pytest.TempPathFactory, where: int, change: int
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder, 8 * MIB)
    put(spool, *[f"line {number}" for number in range(100)])
    spool.close()
    (path,) = segments(folder)
    content = bytearray(path.read_bytes())
    where = HEADER_BYTES + where % (len(content) - HEADER_BYTES)
    content[where] ^= change
    path.write_bytes(content)
    again = Spool(folder, 8 * MIB)
    kept = texts(take(again))
    assert kept == [f"line {number}" for number in range(len(kept))]
    assert len(kept) < 100
    assert again.damaged_bytes > 0


_WRITER = """
import sys
from pathlib import Path
from connectors.spool import Spool
spool = Spool(Path(sys.argv[1]), 64 * 1024 * 1024)
number = int(sys.argv[2])
while True:
    spool.append([(b"%d" % n, "") for n in range(number, number + 50)])
    number += 50
    spool.sync()
    print(number, flush=True)
"""


def test_killed_at_random_moments_it_keeps_all_that_was_synced_in_order(tmp_path: Path) -> None:
    seed = random.randrange(10**9)
    chance = random.Random(seed)
    number = 0
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path), str(number)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        promised = int(process.stdout.readline())
        time.sleep(chance.random() * 0.2)
        os.kill(process.pid, signal.SIGKILL)
        promised = max([promised, *(int(line) for line in process.stdout.read().split("\n")[:-1])])
        process.wait()
        process.stdout.close()
        spool = Spool(tmp_path, 64 * MIB)
        kept = [int(text) for text in texts(take(spool))]
        spool.close()
        assert kept == list(range(len(kept))), f"seed {seed}"
        assert len(kept) >= promised, f"seed {seed}"
        number = len(kept)
