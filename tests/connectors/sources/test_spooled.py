from __future__ import annotations

import os
from pathlib import Path

import pytest

from connectors.sources.file_tail import FileTail
from connectors.sources.spooled import Pump
from connectors.sources.stdin import Stdin
from connectors.spool import Spool
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
    position = state[0]["spool"]
    again = Spool(tmp_path, 8 * 1024 * 1024, type(spooling.spool._acknowledged)(**position))
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


def test_a_log_is_acknowledged_when_its_lines_are_in_the_spool(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("one\ntwo\n", encoding="utf-8")
    with Spooling(tmp_path / "spool", Pump(FileTail(log), 0.01)) as spooling:
        until(lambda: spooling.source.state()[1]["offset"] == 8)
        assert spooling.wait_for(2) == [b"one", b"two"]


def test_a_full_spool_stops_the_reading_and_nothing_is_lost(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_bytes(b"".join(b"%06d %s\n" % (n, b"x" * 993) for n in range(12_000)))
    with Spooling(tmp_path / "spool", Pump(FileTail(log), 0.01)) as spooling:
        until(lambda: spooling.spool.waiting_bytes > 7_000_000)
        while len(spooling.lines) < 12_000:
            if spooling.take():
                spooling.acknowledge()
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
