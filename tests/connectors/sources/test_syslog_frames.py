from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from connectors.sources.syslog_frames import MAX_MESSAGE_BYTES, SyslogFrames

OLD = b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed"
NEW = b"<165>1 2026-11-23T02:00:00Z host app 12 ID47 - BOM\nwith a second line"


def counted(message: bytes) -> bytes:
    return b"%d %s" % (len(message), message)


def fed(stream: bytes, sizes: list[int]) -> list[tuple[bytes, str]]:
    frames, messages, at = SyslogFrames(), [], 0
    for size in [*sizes, len(stream)]:
        messages += frames.feed(stream[at : at + size])
        at += size
    return messages + frames.rest()


@given(st.lists(st.integers(1, 40), max_size=12))
def test_both_framings_may_alternate_and_may_be_cut_anywhere(sizes: list[int]) -> None:
    stream = counted(NEW) + OLD + b"\r\n" + counted(OLD) + b"no priority\n\n" + counted(NEW) + OLD
    assert [raw for raw, _ in fed(stream, sizes)] == [NEW, OLD, OLD, b"no priority", NEW, OLD]


def test_a_line_that_begins_with_a_number_is_no_count() -> None:
    assert fed(b"2026 was a year\n17 <b>bold</b>..........\n", [])[0][0] == b"2026 was a year"


def test_an_over_long_message_is_cut_told_and_the_stream_goes_on() -> None:
    giant = b"<34>" + b"x" * (MAX_MESSAGE_BYTES * 20)
    for framed in (giant + b"\n", counted(giant)):
        (head, told), after = fed(framed + OLD + b"\n", [1000, 70_000])
        assert giant.startswith(head)
        assert len(head) == 4096
        assert told.startswith(f"{len(giant)} bytes, at most {MAX_MESSAGE_BYTES}")
        assert after == (OLD, "")


def test_a_count_beyond_all_measure_keeps_no_memory() -> None:
    frames = SyslogFrames()
    assert frames.feed(b"999999999 <34>") == []
    for _ in range(100):
        assert frames.feed(b"y" * 60_000) == []
    assert len(frames._buffer) < 100_000
    ((head, told),) = frames.rest()
    assert head.startswith(b"<34>yyy")
    assert told.startswith("6000004 bytes")


@given(st.binary(max_size=400), st.lists(st.integers(1, 60), max_size=8))
def test_no_stream_of_bytes_breaks_it_and_where_it_is_cut_does_not_matter(stream: bytes, sizes: list[int]) -> None:
    assert fed(stream, sizes) == fed(stream, [])
