from __future__ import annotations

import os
from pathlib import Path

import pytest

from connectors.sources.spooled import Pump
from connectors.sources.stdin import Stdin
from connectors.spool import Spool, SpoolPosition
from tests.connectors.forwarder.bench import until
from tests.connectors.sources.spooling import Spooling


def test_what_a_pipe_gave_survives_a_restart(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    with Spooling(tmp_path, Pump(Stdin(read_end), 0.01)) as spooling:
        os.write(write_end, b"one\ntwo\n")
        spooling.wait_for(2)
        first = spooling.lines[0]
        spooling.source.acknowledge(first.stream, first.end)
        state = spooling.source.state()
    os.close(write_end)
    again = Spool(tmp_path, 8 * 1024 * 1024, SpoolPosition.model_validate(state[0]))
    assert again.read() == [spooling.lines[1]]
    os.close(read_end)


def test_it_ends_when_the_pipe_has_ended_and_everything_was_brought_to_safety(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    with Spooling(tmp_path, Pump(Stdin(read_end), 0.01)) as spooling:
        os.write(write_end, b"last")
        os.close(write_end)
        assert spooling.wait_for(1) == [b"last"]
        assert not spooling.source.ended
        spooling.acknowledge()
        until(lambda: spooling.source.ended)
    os.close(read_end)


def test_a_full_spool_stops_the_reading_and_nothing_is_lost(tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(b"".join(b"%06d %s\n" % (n, b"x" * 993) for n in range(12_000)))
    descriptor = os.open(content, os.O_RDONLY)
    with Spooling(tmp_path / "spool", Pump(Stdin(descriptor), 0.01)) as spooling:
        until(lambda: spooling.spool.waiting_bytes > 7_000_000)
        while len(spooling.lines) < 12_000:
            if spooling.take():
                spooling.acknowledge()
    os.close(descriptor)
    assert [int(line.raw[:6]) for line in spooling.lines] == list(range(12_000))


def test_a_disk_that_is_gone_is_told_to_the_forwarder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()

    def broken(*_: object) -> int:
        raise OSError(5, "Input/output error")

    with Spooling(tmp_path, Pump(Stdin(read_end), 0.01)) as spooling:
        monkeypatch.setattr(spooling.spool, "append", broken)
        os.write(write_end, b"one\n")
        with pytest.raises(OSError, match="Input/output"):
            spooling.wait_for(1)
    os.close(read_end)
    os.close(write_end)
