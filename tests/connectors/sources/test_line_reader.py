from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sources.line_reader import KEPT_BYTES, MAX_LINE_BYTES, LineReader


def raws(reader: LineReader, *chunks: bytes) -> list[bytes]:
    return [line.raw for chunk in chunks for line in reader.feed(chunk)]


def test_a_line_waits_for_its_end() -> None:
    reader = LineReader("s")
    assert raws(reader, b"first\nsec") == [b"first"]
    assert raws(reader, b"ond\n") == [b"second"]


def test_windows_line_ends_and_blank_lines_leave_nothing_behind() -> None:
    assert raws(LineReader("s"), b"a\r\n\r\n  \nb\n") == [b"a", b"b"]


@given(st.binary(max_size=300).filter(lambda data: b"\r" not in data), st.integers(1, 40))
def test_offsets_point_at_the_line_however_the_stream_is_cut(data: bytes, step: int) -> None:
    reader = LineReader("s", offset=1000)
    lines = [line for at in range(0, len(data), step) for line in reader.feed(data[at : at + step])]
    lines += reader.rest()
    for line in lines:
        assert data[line.start - 1000 : line.end - 1000].removesuffix(b"\n") == line.raw
    assert [line.raw for line in lines] == [raw for raw in data.split(b"\n") if raw.strip()]


def test_the_next_chunk_is_wanted_from_where_the_last_one_ended() -> None:
    reader = LineReader("s", offset=7)
    reader.feed(b"abc\ndef")
    assert reader.offset == 14


@pytest.mark.parametrize("chunk", [1 << 16, 3 << 20], ids=["in pieces", "at once"])
def test_a_line_over_a_mebibyte_keeps_its_beginning_and_costs_no_memory(chunk: int) -> None:
    data = b"x" * (2 * MAX_LINE_BYTES) + b"\nnext\n"
    reader = LineReader("s")
    lines = [line for at in range(0, len(data), chunk) for line in reader.feed(data[at : at + chunk])]
    giant, following = lines
    assert giant.raw == b"x" * KEPT_BYTES
    assert giant.too_long.startswith(f"{2 * MAX_LINE_BYTES} bytes")
    assert giant.end == 2 * MAX_LINE_BYTES + 1
    assert (following.raw, following.start) == (b"next", giant.end)


def test_an_endless_line_does_not_fill_the_memory() -> None:
    reader = LineReader("s")
    for _ in range(200):
        assert reader.feed(b"x" * 100_000) == []
    assert len(reader._tail) == 0
    (line,) = reader.rest()
    assert line.too_long.startswith("20000000 bytes")
