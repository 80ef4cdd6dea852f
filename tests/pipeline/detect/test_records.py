from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import pytest

from pipeline.detect import records
from pipeline.detect.records import read_file, read_stream
from schemas.errors import ConfigError, EventError

DEEP = b'{"a":' * 40 + b"1" + b"}" * 40
TWO = [(1, {"a": 1}), (2, {"b.c": "x"})]


def read(data: bytes) -> list[tuple[int, object]]:
    return [(record.number, record.fields) for record in read_stream(io.BytesIO(data))]


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": 1}\n{"b": {"c": "x"}}\n',
        b'{"a": 1}\n\n  \n{"b": {"c": "x"}}',
        b'\n\xef\xbb\xbf{"a": 1}\r\n{"b.c": "x"}\r\n',
        b'[{"a": 1}, {"b": {"c": "x"}}]',
        b'[\n  {"a": 1},\n  {"b": {"c": "x"}}\n]\n',
        b'{\n  "a": 1\n}\n{\n  "b": {"c": "x"}\n}\n',
        b'{"a": 1}{"b": {"c": "x"}}',
        b'{"a": 1},\n{\n"b": {"c": "x"}},',
        b'{"Records": [{"a": 1}, {"b": {"c": "x"}}]}',
        '{"a": 1}\r\n{"b.c": "x"}\r\n'.encode("utf-16"),
        '[{"a": 1}, {"b.c": "x"}]'.encode("utf-16"),
    ],
)
def test_lines_arrays_and_concatenated_objects_are_told_apart(data: bytes) -> None:
    if data.endswith(b","):
        data = b"\n" + data.replace(b'{"a": 1},', b'{"a":\n1},')
    assert read(data) == TWO


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e400", "9" * 400, "9" * 25, '"\\ud800"', "[" * 40 + "]" * 40])
def test_a_record_in_an_array_is_read_as_it_would_be_from_a_line(value: str) -> None:
    record = b'{"a": %s}' % value.encode()
    (_, line), *_ = read(record + b"\n")
    assert read(b'[{"b": 1},\n' + record + b"]")[1] == (2, line)


@pytest.mark.parametrize("data", [b"", b"\n \n", b"[]"])
def test_nothing_is_no_record(data: bytes) -> None:
    assert read(data) == []


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'{"a": 1}\n{broken\n{"b": {"c": "x"}}\n', "not JSON"),
        (b'{"a": 1}\n[1]\n{"b": {"c": "x"}}\n', "not an object but a JSON list"),
        (b'{"a": 1}\n"\xff"\n{"b": {"c": "x"}}\n', "not JSON"),
        (b'{"a": 1}\n' + DEEP + b'\n{"b": {"c": "x"}}\n', "nested deeper"),
        (b'{"a": 1}\n{"Event": {"System": {"x": ' + DEEP + b'}}}\n{"b.c": "x"}\n', "nested deeper"),
        (b'{"a":\n1}\n{broken:\n{"b": {"c": "x"}}\n', "not JSON"),
        (b'[{"a": 1}, 5, {"b": {"c": "x"}}]', "not an object but a JSON int"),
        (b'{"a":\n1}\n{"a": ' + b"9" * 5_000 + b'}\n{"b.c": "x"}\n', "not JSON"),
        (b'{"a": 1}\n{"a": [' + b"[0]," * 20_000 + b'0]}\n{"b.c": "x"}\n', "more than 4096 elements"),
    ],
)
def test_a_bad_record_is_told_counted_and_passed_over(data: bytes, told: str) -> None:
    found = list(read_stream(io.BytesIO(data)))
    assert [record.number for record in found] == [1, 2, 3]
    assert [record.fields for record in found] == [{"a": 1}, None, {"b.c": "x"}]
    assert told in found[1].problem


def test_a_line_too_long_is_told_and_the_next_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_LINE_BYTES", 32)
    long = b'{"a": "' + b"x" * 100 + b'"}'
    found = list(read_stream(io.BytesIO(b'{"a": 1}\n' + long + b'\n{"b.c": "x"}\n')))
    assert [record.fields for record in found] == [{"a": 1}, None, {"b.c": "x"}]
    assert "longer than 32 bytes" in found[1].problem


def test_a_file_of_nothing_but_broken_objects_ends_with_what_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_BROKEN", 3)
    found = list(read_stream(io.BytesIO(b"{\n" * 10)))
    assert [record.number for record in found] == [1, 2, 3, 4]
    assert "the rest is not read" in found[-1].problem


@pytest.mark.parametrize("name", ["a.raw", "a.log", "a.txt.gz"])
def test_the_lines_of_a_text_log_are_events_with_a_message(tmp_path: Path, name: str) -> None:
    path, data = tmp_path / name, b"Feb 17 13:40:03 %PARSER-5-X: no aaa\n\n[Tue Nov 24] \xff\r\n"
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    found = [record.fields for record in read_file(path)]
    assert found == [{"message": "Feb 17 13:40:03 %PARSER-5-X: no aaa"}, {"message": "[Tue Nov 24] \ufffd"}]


@pytest.mark.parametrize(
    "data", [b'{"a": 1}\n{"b.c": "x"}\n', b'[\n{"a": 1},\n{"b.c": "x"}\n]', b'[{"a": 1}, {"b.c": "x"}]']
)
def test_a_log_that_holds_json_is_read_as_json(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "eve.log"
    path.write_bytes(data)
    assert [(record.number, record.fields) for record in read_file(path)] == TWO


def test_text_under_another_name_is_told_line_by_line() -> None:
    found = list(read_stream(io.BytesIO(b"172.16.5.10 a\nb\n")))
    assert [(record.number, record.problem[:8]) for record in found] == [(1, "not JSON"), (2, "not JSON")]


def test_gzip_is_read_by_its_name_and_damage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n{"b": {"c": "x"}}\n'))
    assert [(record.number, record.fields) for record in read_file(path)] == TWO
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(EventError, match="damaged gzip"):
        list(read_file(path))
    path.write_bytes(b"plain")
    with pytest.raises(EventError, match="damaged gzip"):
        list(read_file(path))


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        list(read_file(tmp_path / "missing.ndjson"))


def test_what_is_no_evtx_file_is_told(tmp_path: Path) -> None:
    pytest.importorskip("evtx", reason="the evtx package is not installed")
    path = tmp_path / "a.evtx"
    path.write_bytes(b"no evtx")
    with pytest.raises(EventError, match="not an EVTX file"):
        list(read_file(path))


def test_evtx_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "evtx", None)
    with pytest.raises(ConfigError, match="pip install evtx"):
        list(read_file(tmp_path / "a.evtx"))


@pytest.mark.parametrize("data", [b'{"a": 1}{"b.c": "x"}\n', b'{"a": 1}\n{"b.c": "x"} {"b.c": "x"}\n'])
def test_several_objects_in_one_line_are_several_records(data: bytes) -> None:
    found = [record.fields for record in read_stream(io.BytesIO(data))]
    assert found == [{"a": 1}, *[{"b.c": "x"}] * (len(found) - 1)]
    assert len(found) == data.count(b"}")


def test_a_stream_is_unpacked_whatever_it_is_called(tmp_path: Path) -> None:
    packed = gzip.compress(b'{"a": 1}\n{"b": {"c": "x"}}\n')
    (path := tmp_path / "events.json").write_bytes(packed)
    assert [(record.number, record.fields) for record in read_file(path)] == TWO
    stream = io.BytesIO(packed)
    assert [(record.number, record.fields) for record in read_stream(stream)] == TWO
    assert not stream.closed
    with pytest.raises(EventError, match="-: damaged gzip"):
        list(read_stream(io.BytesIO(packed[:-12])))


def test_what_only_begins_as_evtx_is_told_by_its_name(tmp_path: Path) -> None:
    pytest.importorskip("evtx", reason="the evtx package is not installed")
    (path := tmp_path / "log.gz").write_bytes(gzip.compress(b"ElfFile\0 and no more"))
    with pytest.raises(EventError, match=r"log\.gz: not an EVTX file"):
        list(read_file(path))
