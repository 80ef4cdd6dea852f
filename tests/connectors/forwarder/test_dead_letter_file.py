from __future__ import annotations

import base64
from pathlib import Path

import orjson
import pytest

from connectors.forwarder import dead_letter_file
from connectors.forwarder.dead_letter_file import MAX_RAW_BYTES, DeadLetterFile
from connectors.sources.line import Line


def test_a_letter_holds_the_line_the_reason_and_the_place(tmp_path: Path) -> None:
    letters = DeadLetterFile(tmp_path)
    letters.write("web", Line(b"\x1b[31m\xff", "5.0", 10, 17), "no-match", "why")
    letters.sync()
    (letter,) = [orjson.loads(line) for line in (tmp_path / "dead-letters.ndjson").read_bytes().splitlines()]
    assert base64.b64decode(letter["raw"]) == b"\x1b[31m\xff"
    assert (letter["input"], letter["reason"], letter["stream"], letter["offset"]) == ("web", "no-match", "5.0", 10)
    assert letter["cut"] is False


def test_a_long_line_is_cut_and_says_so(tmp_path: Path) -> None:
    letters = DeadLetterFile(tmp_path)
    letters.write("web", Line(b"x" * (MAX_RAW_BYTES + 1), "5.0", 0, 1), "no-match", "")
    letters.close()
    letter = orjson.loads((tmp_path / "dead-letters.ndjson").read_bytes())
    assert (len(base64.b64decode(letter["raw"])), letter["cut"]) == (MAX_RAW_BYTES, True)


def test_a_flood_of_letters_fills_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letter_file, "MAX_FILE_BYTES", 2_000)
    letters = DeadLetterFile(tmp_path)
    for number in range(200):
        letters.write("web", Line(b"x" * 100, "5.0", number, number), "no-match", "")
    letters.close()
    files = sorted(tmp_path.glob("dead-letters.ndjson*"))
    assert len(files) == 1 + dead_letter_file.KEPT_FILES
    assert all(path.stat().st_size < 2_500 for path in files)
    newest = orjson.loads((tmp_path / "dead-letters.ndjson").read_bytes().splitlines()[-1])
    assert newest["offset"] == 199
