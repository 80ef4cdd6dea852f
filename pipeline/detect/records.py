"""Event files to flat fields: NDJSON, JSON arrays and concatenated objects, gzip, EVTX; a bad record is told."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import orjson

from pipeline.detect.windows import is_windows_event, plain_fields, windows_fields
from schemas.errors import ConfigError, EventError
from schemas.event import MAX_FIELDS, Fields, Refused, is_flat

Stream = IO[bytes] | gzip.GzipFile

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
READ_BYTES: Final = 1024 * 1024


class Record(NamedTuple):
    """One record of a file, counted from 1 with the bad ones; blank lines do not count."""

    number: int
    fields: Fields | None
    """None where the record cannot be read."""
    problem: str = ""


def read_file(path: Path) -> Iterator[Record]:
    """The records of one file, by its name: `.evtx`, `.gz`, else JSON in whichever layout.

    Raises:
        ConfigError: no such file, or EVTX without the `evtx` package.
        EventError: the file's container is damaged (gzip, EVTX).
    """
    if path.suffix.lower() == ".evtx":
        yield from _read_evtx(path)
        return
    try:
        if path.suffix.lower() == ".gz":
            with gzip.open(path) as packed, io.BufferedReader(packed, READ_BYTES) as stream:
                yield from read_stream(stream)
        else:
            with path.open("rb", READ_BYTES) as stream:
                yield from read_stream(stream)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise EventError(str(path), f"damaged gzip: {error}") from error
    except OSError as error:
        raise ConfigError(str(path), f"cannot read: {error.strerror or error}") from error


def read_stream(stream: Stream) -> Iterator[Record]:
    """The records of a byte stream: one object per line, an array, or objects one after the other."""
    first = b""
    while not first.strip():
        first = stream.readline(MAX_LINE_BYTES)
        if not first:
            return
    first = first.removeprefix(b"\xef\xbb\xbf")
    if _is_object(first):
        yield from _read_lines(first, stream)
    else:
        yield from _read_text((first + stream.read()).decode("utf-8", "replace"))


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def _read_lines(first: bytes, stream: Stream) -> Iterator[Record]:
    number, line = 0, first
    loads, read = orjson.loads, stream.readline
    while line:
        if line.isspace():
            line = read(MAX_LINE_BYTES)
            continue
        number += 1
        if len(line) >= MAX_LINE_BYTES and not line.endswith(b"\n"):
            yield Record(number, None, f"longer than {MAX_LINE_BYTES} bytes")
            _skip_line(stream)
        else:
            try:
                data = loads(line)
            except orjson.JSONDecodeError as error:
                yield Record(number, None, f"not JSON: {error}")
            else:
                if type(data) is dict and len(data) <= MAX_FIELDS and is_flat(line):
                    yield Record(number, data)
                else:
                    yield _record(number, data)
        line = read(MAX_LINE_BYTES)


def _skip_line(stream: Stream) -> None:
    while (rest := stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
        pass


def _read_text(text: str) -> Iterator[Record]:
    """An array, or objects one after the other; after a bad one reading goes on at the next line that begins one."""
    decoder = json.JSONDecoder()
    number = place = 0
    while (place := _next_value(text, place)) < len(text):
        try:
            value, place = decoder.raw_decode(text, place)
        except (json.JSONDecodeError, RecursionError) as error:
            number += 1
            yield Record(number, None, f"not JSON: {error}")
            resumed = text.find("\n{", place + 1)
            place = len(text) if resumed < 0 else resumed + 1
            continue
        for item in value if isinstance(value, list) else [value]:
            number += 1
            yield _record(number, item)


def _next_value(text: str, place: int) -> int:
    while place < len(text) and (text[place].isspace() or text[place] in ",\ufeff"):
        place += 1
    return place


def _record(number: int, data: Any) -> Record:
    if not isinstance(data, dict):
        return Record(number, None, f"not an object but a JSON {type(data).__name__}")
    try:
        return Record(number, windows_fields(data) if is_windows_event(data) else plain_fields(data))
    except Refused as refused:
        return Record(number, None, refused.detail)
    except ValueError as error:
        return Record(number, None, str(error))


def _read_evtx(path: Path) -> Iterator[Record]:
    try:
        from evtx import PyEvtxParser
    except ImportError as error:
        raise ConfigError(str(path), "EVTX files need the evtx package", hint="pip install evtx") from error
    try:
        records = iter(PyEvtxParser(str(path)).records_json())
    except (RuntimeError, OSError) as error:
        raise EventError(str(path), f"not an EVTX file: {error}") from error
    number = 0
    while True:
        number += 1
        try:
            record = next(records)
        except StopIteration:
            return
        except (RuntimeError, OSError) as error:
            yield Record(number, None, f"damaged EVTX record: {error}")
            continue
        if record is None:
            return
        try:
            yield _record(number, orjson.loads(record["data"].encode("utf-8", "surrogatepass")))
        except orjson.JSONDecodeError as error:
            yield Record(number, None, f"not JSON: {error}")
