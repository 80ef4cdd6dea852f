from __future__ import annotations

import os

from connectors.sources.stdin import Stdin


def test_a_pipe_gives_its_lines_and_ends() -> None:
    read_end, write_end = os.pipe()
    source = Stdin(read_end)
    assert source.read() == []
    assert not source.ended
    os.write(write_end, b"one\ntw")
    assert [line.raw for line in source.read()] == [b"one"]
    os.write(write_end, b"o")
    os.close(write_end)
    lines = [line.raw for _ in range(3) for line in source.read()]
    os.close(read_end)
    assert lines == [b"two"]
    assert source.ended
