from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from connectors.sources.file_tail import FileTail
from connectors.sources.line import Line


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def drain(tail: FileTail) -> list[Line]:
    """All there is, as the forwarder reads it."""
    lines: list[Line] = []
    while got := tail.read():
        lines += got
    return lines


def texts(lines: list[Line]) -> list[str]:
    return [line.raw.decode() for line in lines]


def acknowledge(tail: FileTail, lines: list[Line]) -> None:
    for line in lines:
        tail.acknowledge(line.stream, line.end)


def test_a_growing_file_gives_each_line_once(log: Path) -> None:
    append(log, "one\ntwo\n")
    tail = FileTail(log)
    assert texts(drain(tail)) == ["one", "two"]
    append(log, "three\n")
    assert texts(drain(tail)) == ["three"]
    assert drain(tail) == []


def test_a_partial_last_line_waits(log: Path) -> None:
    append(log, "one\ntw")
    tail = FileTail(log)
    assert texts(drain(tail)) == ["one"]
    append(log, "o\n")
    assert texts(drain(tail)) == ["two"]


def test_a_file_that_comes_later_is_waited_for(log: Path) -> None:
    tail = FileTail(log)
    assert drain(tail) == []
    assert "not there" in tail.trouble
    append(log, "one\n")
    assert texts(drain(tail)) == ["one"]
    assert tail.trouble == ""


def test_beginning_at_the_end_skips_what_is_there_but_no_half_line(log: Path) -> None:
    append(log, "old\nhal")
    tail = FileTail(log, from_end=True)
    append(log, "f\nnew\n")
    assert texts(drain(tail)) == ["half", "new"]


def test_rotation_by_rename_reads_the_old_file_to_its_end_and_then_the_new_one(log: Path) -> None:
    append(log, "one\n")
    tail = FileTail(log)
    drain(tail)
    writer = log.open("a", encoding="utf-8")
    log.rename(log.with_name("access.log.1"))
    append(log, "three\n")
    assert texts(drain(tail)) == ["three"]
    writer.write("two, late\n")  # the daemon was not told yet
    writer.close()
    assert texts(drain(tail)) == ["two, late"]


def test_the_last_line_of_a_rotated_file_counts_without_its_line_end(log: Path) -> None:
    append(log, "one\ntw")
    tail = FileTail(log, grace_seconds=0)
    drain(tail)
    log.rename(log.with_name("access.log.1"))
    append(log, "three\n")
    assert sorted(texts(drain(tail))) == ["three", "tw"]


def test_a_rotated_file_stays_remembered_until_its_last_line_is_acknowledged(log: Path) -> None:
    append(log, "one\n")
    tail = FileTail(log, grace_seconds=0)
    old = drain(tail)
    log.rename(log.with_name("access.log.1"))
    append(log, "two\n")
    new = drain(tail)
    acknowledge(tail, new)
    drain(tail)
    assert len(tail.state()) == 2
    acknowledge(tail, old)
    drain(tail)
    assert len(tail.state()) == 1


def test_truncation_begins_anew_with_other_line_names(log: Path) -> None:
    append(log, "one\ntwo\n")
    tail = FileTail(log)
    first = drain(tail)
    log.write_text("one\n", encoding="utf-8")
    second = drain(tail)
    assert texts(second) == ["one"]
    assert (first[0].stream, first[0].start) != (second[0].stream, second[0].start)


def test_truncation_is_seen_even_if_the_file_is_longer_than_before(log: Path) -> None:
    append(log, "one\n")
    tail = FileTail(log)
    drain(tail)
    log.write_text("a much longer line\nand another\n", encoding="utf-8")
    assert texts(drain(tail)) == ["a much longer line", "and another"]


def test_truncation_in_the_middle_of_a_line_keeps_what_was_seen_of_it(log: Path) -> None:
    append(log, "one\nhal")
    tail = FileTail(log)
    drain(tail)
    log.write_text("x\n", encoding="utf-8")
    assert texts(drain(tail)) == ["hal", "x"]


def test_a_restart_goes_on_behind_the_last_acknowledged_line_with_the_same_names(log: Path) -> None:
    append(log, "one\ntwo\nthree\n")
    tail = FileTail(log)
    lines = drain(tail)
    acknowledge(tail, lines[:1])
    again = drain(FileTail(log, tail.state()))
    assert again == lines[1:]


def test_a_restart_after_a_rotation_reads_the_rest_of_the_old_file_first(log: Path) -> None:
    append(log, "one\ntwo\n")
    tail = FileTail(log)
    acknowledge(tail, drain(tail)[:1])
    saved = tail.state()
    log.rename(log.with_name("access.log.1"))
    append(log, "three\n")
    assert texts(drain(FileTail(log, saved))) == ["two", "three"]


def test_files_that_came_and_went_while_nobody_looked_are_read_in_order(log: Path) -> None:
    append(log, "one\n")
    tail = FileTail(log)
    acknowledge(tail, drain(tail))
    saved = tail.state()
    log.rename(log.with_name("access.log.3"))
    for number, text in ((2, "two\n"), (1, "three\n")):
        path = log.with_name(f"access.log.{number}")
        append(path, text)
        later = saved[0]["modified"] + 10 - number
        os.utime(path, (later, later))
    append(log, "four\n")
    later = saved[0]["modified"] + 20
    os.utime(log, (later, later))
    assert texts(drain(FileTail(log, saved))) == ["two", "three", "four"]


def test_what_copytruncate_took_away_while_nobody_looked_is_read_from_the_copy(log: Path) -> None:
    append(log, "one\ntwo\n")
    tail = FileTail(log)
    acknowledge(tail, drain(tail)[:1])
    saved = tail.state()
    shutil.copy(log, log.with_name("access.log.1"))
    log.write_text("three\n", encoding="utf-8")
    assert texts(drain(FileTail(log, saved))) == ["two", "three"]


def test_old_rotated_files_are_not_read_at_the_first_start(log: Path) -> None:
    append(log.with_name("access.log.1"), "old\n")
    append(log, "new\n")
    assert texts(drain(FileTail(log))) == ["new"]


def test_a_new_file_with_an_old_inode_number_is_read_from_its_beginning(log: Path) -> None:
    append(log, "one, a long line\n")
    tail = FileTail(log)
    acknowledge(tail, drain(tail))
    saved = tail.state()
    with log.open("r+", encoding="utf-8") as file:  # the same inode, other content, longer than before
        file.write("other beginning, still longer\n")
    lines = drain(FileTail(log, saved))
    assert texts(lines) == ["other beginning, still longer"]
    assert lines[0].stream != f"{saved[0]['inode']}.{saved[0]['generation']}"


def test_a_file_that_is_gone_for_good_is_no_reason_to_stop(log: Path) -> None:
    append(log, "one\n")
    tail = FileTail(log)
    acknowledge(tail, drain(tail))
    saved = tail.state()
    log.unlink()
    later = FileTail(log, saved)
    assert drain(later) == []
    assert later.state() == saved
    append(log, "two\n")
    assert texts(drain(later)) == ["two"]
    assert [entry["offset"] for entry in later.state()] == [0]


def test_a_named_pipe_in_place_of_the_log_does_not_hang(log: Path) -> None:
    os.mkfifo(log)
    tail = FileTail(log)
    assert drain(tail) == []
    assert "not a regular file" in tail.trouble


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_lost_or_repeated_over_many_random_rotations_and_restarts(log: Path, seed: int) -> None:
    """Writer and reader take turns in an order that a seed decides."""
    rng = random.Random(seed)
    append(log, "line 0\n")
    tail, seen, number = FileTail(log, grace_seconds=0), [], 1
    for _ in range(300):
        action = rng.random()
        if action < 0.55:
            for _ in range(rng.randint(1, 3)):
                append(log, f"line {number}\n")
                number += 1
        elif action < 0.65 and log.exists():
            kept = [log.with_name(f"access.log.{place}") for place in range(1, 30)]
            for older, newer in zip(reversed(kept[1:]), reversed(kept[:-1]), strict=True):
                if newer.exists():
                    newer.rename(older)
            log.rename(kept[0])
        elif action < 0.75:
            saved = tail.state()
            tail.close()
            tail = FileTail(log, saved, grace_seconds=0)
        else:
            lines = tail.read()
            seen += texts(lines)
            acknowledge(tail, lines)
    append(log, "end\n")
    seen += texts(drain(tail))
    assert sorted(seen, key=lambda text: (len(text), text)) == sorted(
        [f"line {count}" for count in range(number)] + ["end"], key=lambda text: (len(text), text)
    )
