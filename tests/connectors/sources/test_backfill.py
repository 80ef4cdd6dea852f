from __future__ import annotations

import gzip
import sys
from pathlib import Path

import orjson
import pytest

from connectors.sources import backfill
from connectors.sources.backfill import Backfill, winlogbeat_json
from connectors.sources.line import Line
from schemas.errors import ConfigError

RECORD = {
    "Event": {
        "#attributes": {"xmlns": "http://schemas.microsoft.com/win/2004/08/events/event"},
        "System": {
            "Provider": {"#attributes": {"Name": "Microsoft-Windows-Security-Auditing"}},
            "EventID": {"#attributes": {"Qualifiers": 0}, "#text": 4625},
            "TimeCreated": {"#attributes": {"SystemTime": "2026-11-23T02:00:00.123456Z"}},
            "EventRecordID": 77,
            "Channel": "Security",
            "Computer": "KST-WS001",
        },
        "EventData": {"TargetUserName": "bob", "LogonType": 3},
    }
}


def take(source: Backfill) -> list[Line]:
    lines: list[Line] = []
    while not source.idle:
        lines += source.read()
    return lines


def raws(lines: list[Line]) -> list[bytes]:
    return [line.raw for line in lines]


def test_plain_and_packed_files_are_read_once_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "app.2.gz").write_bytes(gzip.compress(b"second\nthird\n"))
    (tmp_path / "app.1").write_bytes(b"first\n")
    (tmp_path / "app.3").write_bytes(b"no line end")
    source = Backfill(tmp_path / "app.*")
    assert raws(take(source)) == [b"first", b"second", b"third", b"no line end"]
    assert take(source) == []


def test_it_goes_on_in_the_middle_of_a_packed_file_at_the_same_places(tmp_path: Path) -> None:
    (tmp_path / "app.gz").write_bytes(gzip.compress(b"".join(b"line %d\n" % n for n in range(1000))))
    source = Backfill(tmp_path / "*")
    lines = take(source)
    source.acknowledge(lines[499].stream, lines[499].end)
    again = Backfill(tmp_path / "*", source.state())
    assert take(again) == lines[500:]


def test_a_file_that_is_done_is_not_read_again_under_another_name(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"one\n"))
    source = Backfill(tmp_path / "*")
    (line,) = take(source)
    source.acknowledge(line.stream, line.end)
    (tmp_path / "a.gz").rename(tmp_path / "b.gz")
    again = Backfill(tmp_path / "*", source.state())
    assert take(again) == []


def test_a_damaged_file_is_told_and_the_next_one_read(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"one\n" * 100_000)[:200])
    (tmp_path / "b.log").write_bytes(b"fine\n")
    (tmp_path / "c.evtx").write_bytes(b"no event log")
    source = Backfill(tmp_path / "*")
    assert raws(take(source))[-1] == b"fine"
    assert "c.evtx" in source.trouble


def test_windows_events_take_winlogbeats_shape() -> None:
    event = orjson.loads(winlogbeat_json(orjson.dumps(RECORD).decode()))
    assert event["@timestamp"] == "2026-11-23T02:00:00.123456Z"
    assert event["event"] == {"code": "4625", "provider": "Microsoft-Windows-Security-Auditing"}
    assert event["winlog"]["event_data"] == {"TargetUserName": "bob", "LogonType": "3"}
    assert (event["winlog"]["channel"], event["winlog"]["event_id"], event["winlog"]["record_id"]) == (
        "Security",
        "4625",
        77,
    )


def test_fields_of_user_data_are_found_below_their_wrapper() -> None:
    wrapped = {"Event": {"System": {}, "UserData": {"LogFileCleared": {"#attributes": {}, "SubjectUserName": "eve"}}}}
    event = orjson.loads(winlogbeat_json(orjson.dumps(wrapped).decode()))
    assert event["winlog"]["event_data"] == {"SubjectUserName": "eve"}


def test_records_of_an_event_log_are_lines_and_a_damaged_one_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Parser:
        def __init__(self, _: str) -> None:
            self.number = 0

        def records_json(self) -> Parser:
            return self

        def __iter__(self) -> Parser:
            return self

        def __next__(self) -> dict[str, str]:
            self.number += 1
            if self.number == 2:
                raise RuntimeError("bad chunk")
            if self.number > 3:
                raise StopIteration
            return {"data": orjson.dumps(RECORD).decode()}

    import evtx

    monkeypatch.setattr(evtx, "PyEvtxParser", Parser)
    (tmp_path / "a.evtx").write_bytes(b"ElfFile")
    source = Backfill(tmp_path / "a.evtx")
    first, damaged, third = take(source)
    assert orjson.loads(first.raw) == orjson.loads(third.raw)
    assert (damaged.raw, "bad chunk" in damaged.too_long) == (b"", True)
    source.acknowledge(first.stream, first.end)
    assert take(Backfill(tmp_path / "a.evtx", source.state())) == [damaged, third]


def test_without_the_package_an_event_log_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "evtx", None)
    (tmp_path / "a.evtx").write_bytes(b"ElfFile")
    with pytest.raises(ConfigError, match="evtx"):
        take(Backfill(tmp_path / "a.evtx"))


def test_a_new_file_is_found_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "LOOK_SECONDS", 0.0)
    source = Backfill(tmp_path / "*.log")
    assert source.read() == []
    (tmp_path / "a.log").write_bytes(b"late\n")
    assert raws([line for _ in range(4) for line in source.read()]) == [b"late"]
