"""Event files to flat fields: NDJSON, JSON in other layouts, text logs, EVTX, gzip; a bad record is told."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Final, NamedTuple

import orjson

from pipeline.detect.envelopes import events_in
from pipeline.detect.windows import event_fields
from schemas.errors import ConfigError, EventError
from schemas.event import Fields, Refused
from schemas.json_text import read_json

STDIN: Final = "-"
"""What a stream without a name is called."""
MAX_LINE_BYTES: Final = 16 * 1024 * 1024
READ_BYTES: Final = 128 * 1024
"""Little enough for a processor's cache, since a block is looked at several times: 1 MiB took a third longer."""
MAX_BROKEN: Final = 1_000
"""Broken records of a file that is not one object per line; each costs a look at the whole file."""
TEXT_SUFFIXES: Final = frozenset({".log", ".raw", ".syslog", ".txt"})
"""Files whose lines are events with the one field `message`, unless they hold JSON."""
GZIP_MAGIC: Final = b"\x1f\x8b"
EVTX_MAGIC: Final = b"ElfFile\0"
EVTX_HEADER_BYTES: Final = 4096
EVTX_CHUNK_BYTES: Final = 65_536
_AFTER_VALUE: Final = "unexpected content after document"
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


class Record(NamedTuple):
    """One record of a file, counted from 1 with the bad ones; blank lines do not count."""

    number: int
    fields: Fields | None
    """None where the record cannot be read."""
    problem: str = ""


Found = tuple[Fields | None, str]
"""A record's fields, or None and the problem."""
Piece = Found | list[bytes]
"""What has been read of a stream: one record, or lines of JSON that nobody has looked at."""


class Records(Iterable[Record]):
    """The records of a stream, to be read once: one by one, or in pieces by whoever can make use of whole lines."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[Record]:
        found = chain.from_iterable(map(_records_of, self.pieces))
        return (Record(number, fields, problem) for number, (fields, problem) in enumerate(found, 1))


def _records_of(piece: Piece) -> Iterable[Found]:
    return chain.from_iterable(map(read_line, piece)) if isinstance(piece, list) else (piece,)


def read_file(path: Path) -> Records:
    """The records of one file: EVTX, `.log` and the like, else JSON in whichever layout; any of them in gzip.

    Raises:
        ConfigError: no such file, or EVTX without the `evtx` package; like the next, when it is read.
        EventError: the file's container is damaged (gzip, EVTX).
    """
    return Records(_read_file(path))


def _read_file(path: Path) -> Iterator[Piece]:
    if path.suffix.lower() == ".evtx":
        yield from _read_evtx(path, str(path))
        return
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    text = not TEXT_SUFFIXES.isdisjoint(suffixes[-2:-1] if packed else suffixes[-1:])
    try:
        with path.open("rb", READ_BYTES) as stream:
            yield from _read_stream(stream, text=text, packed=packed, name=str(path))
    except OSError as error:
        raise ConfigError(str(path), f"cannot read: {error.strerror or error}") from error


def read_stream(stream: BinaryIO, *, text: bool = False, packed: bool = False, name: str = STDIN) -> Records:
    """The records of a byte stream: one object per line, an array, or objects one after the other; or EVTX; or gzip.

    Args:
        stream: UTF-8, or UTF-16 with its mark.
        text: lines that are not JSON are events with the field `message`.
        packed: it must be gzip; false: it may be.
        name: for errors.

    Raises:
        ConfigError: EVTX without the `evtx` package; like the next, when it is read.
        EventError: the container is damaged (gzip, EVTX).
    """
    return Records(_read_stream(stream, text=text, packed=packed, name=name))


def _read_stream(stream: BinaryIO, *, text: bool, packed: bool, name: str) -> Iterator[Piece]:
    if not isinstance(stream, io.BufferedReader):
        whole = io.BufferedReader(stream)  # type: ignore[type-var]
        yield from _read_stream(whole, text=text, packed=packed, name=name)
        whole.detach()  # or it closes what is not its own
    elif packed or stream.peek(len(GZIP_MAGIC))[: len(GZIP_MAGIC)] == GZIP_MAGIC:
        try:
            with gzip.open(stream) as unpacked, io.BufferedReader(unpacked, READ_BYTES) as inner:
                yield from _read(inner, name, text=text)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise EventError(name, f"damaged gzip: {error}") from error
    else:
        yield from _read(stream, name, text=text)


def _read(stream: io.BufferedReader[Any], name: str, *, text: bool) -> Iterator[Piece]:
    if stream.peek(len(EVTX_MAGIC))[: len(EVTX_MAGIC)] == EVTX_MAGIC:
        with TemporaryDirectory() as folder:  # the parser goes to and fro
            path = Path(folder) / "log.evtx"
            with path.open("wb") as file:
                copyfileobj(stream, file)
            yield from _read_evtx(path, name)
        return
    yield from _read_lines_or_text(stream, text=text)


def _read_lines_or_text(stream: io.BufferedReader[Any] | io.BytesIO, *, text: bool) -> Iterator[Piece]:
    first = b""
    while not first.strip():
        first = stream.readline(MAX_LINE_BYTES)
        if not first:
            return
    if first.startswith(_UTF16_MARKS):
        # What a redirection in PowerShell writes.
        first, stream = b"", io.BytesIO((first + stream.read()).decode("utf-16", "replace").encode())
        first = stream.readline(MAX_LINE_BYTES)
    first = first.removeprefix(b"\xef\xbb\xbf")
    if text and not _begins_json(first):
        for piece in _line_pieces(first, stream):
            yield from map(_text_line, piece) if isinstance(piece, list) else (piece,)
    elif _is_object(first) or first.lstrip()[:1] not in {b"{", b"["}:
        yield from _line_pieces(first, stream)
    else:
        yield from _read_text((first + stream.read()).decode("utf-8", "replace"))


def _begins_json(line: bytes) -> bool:
    """`[` alone may also begin a web server's line: `[Tue Nov 24 ...] [error] ...`."""
    stripped = line.strip()
    return stripped[:1] == b"{" or stripped in {b"[", b"[{"} or (stripped[:1] == b"[" and _is_json(stripped))


def _is_json(line: bytes) -> bool:
    try:
        read_json(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(read_json(line), dict)
    except orjson.JSONDecodeError:
        return False


def _line_pieces(first: bytes, stream: io.BufferedReader[Any] | io.BytesIO) -> Iterator[Piece]:
    """The lines that are not blank, as many at a time as there are to be had."""
    rest, too_long = first, False
    if first.endswith(b"\n"):
        yield from _whole_lines(first)
        rest = b""
    while block := stream.read1(READ_BYTES):
        if too_long:
            _, newline, block = block.partition(b"\n")
            too_long = not newline
        head, newline, tail = block.rpartition(b"\n")
        if newline:
            yield from _whole_lines(rest + head)
            rest = b""
        rest += tail
        if len(rest) >= MAX_LINE_BYTES:
            yield _too_long()
            rest, too_long = b"", True
    yield from _whole_lines(rest)


def _whole_lines(text: bytes) -> Iterator[Piece]:
    lines = list(filter(bytes.strip, text.split(b"\n")))
    if len(text) < MAX_LINE_BYTES:
        yield lines
    else:
        for line in lines:
            yield [line] if len(line) < MAX_LINE_BYTES else _too_long()


def _too_long() -> tuple[None, str]:
    return None, f"longer than {MAX_LINE_BYTES} bytes"


def read_line(line: bytes) -> Iterable[Found]:
    """The records in one line of JSON, usually one."""
    try:
        data = read_json(line)
    except orjson.JSONDecodeError as error:
        if line.lstrip()[:1] == b"{" and _AFTER_VALUE in str(error):  # several objects in one line
            return _read_text(line.decode())
        return ((None, f"not JSON: {error}"),)
    return map(_fields_of, events_in(data))


def _text_line(line: bytes) -> Found:
    return {"message": line.decode("utf-8", "replace").rstrip("\r\n")}, ""


def _read_text(text: str) -> Iterator[Found]:
    """An array, or objects one after the other; after a bad one reading goes on at the next line that begins one."""
    decoder = json.JSONDecoder()
    place = broken = 0
    while (place := _next_value(text, place)) < len(text):
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            broken += 1
            yield None, f"not JSON: {error}"
            if broken >= MAX_BROKEN:
                yield None, f"the rest is not read after {MAX_BROKEN} records that are not JSON"
                return
            resumed = text.find("\n{", place + 1)
            place = len(text) if resumed < 0 else resumed + 1
            continue
        for item in value if isinstance(value, list) else [value]:
            yield from _read_item(item)


def _read_item(item: Any) -> Iterable[Found]:
    """What a line would be read as: NaN, 400 digits, half a surrogate get one verdict in files of any form."""
    try:
        return map(_fields_of, events_in(read_json(json.dumps(item).encode())))
    except (orjson.JSONDecodeError, RecursionError) as error:
        return ((None, f"not JSON: {error}"),)


def _next_value(text: str, place: int) -> int:
    while place < len(text) and (text[place].isspace() or text[place] in ",\ufeff"):
        place += 1
    return place


def _fields_of(data: Any) -> Found:
    if not isinstance(data, dict):
        return None, f"not an object but a JSON {type(data).__name__}"
    try:
        return event_fields(data), ""
    except Refused as refused:
        return None, refused.detail
    except ValueError as error:
        return None, str(error)


def _read_evtx(path: Path, name: str) -> Iterator[Found]:
    try:
        from evtx import PyEvtxParser
    except ImportError as error:
        raise ConfigError(name, "EVTX files need the evtx package", hint="pip install evtx") from error
    try:
        records = iter(PyEvtxParser(str(path)).records_json())
    except (RuntimeError, OSError) as error:
        raise EventError(name, f"not an EVTX file: {error}") from error
    while True:
        try:
            record = next(records)
        except StopIteration:
            break
        except (RuntimeError, OSError) as error:
            yield None, f"damaged EVTX record: {error}"
            continue
        if record is None:
            break
        yield from read_line(record["data"].encode("utf-8", "surrogatepass"))
    if _is_cut_short(path):
        yield None, "the EVTX file is cut short: a chunk is missing, and its records with it"


def _is_cut_short(path: Path) -> bool:
    """The parser passes over a last chunk that is not whole without a word."""
    with path.open("rb") as file:
        header = file.read(EVTX_HEADER_BYTES)
    chunks, rest = divmod(path.stat().st_size - EVTX_HEADER_BYTES, EVTX_CHUNK_BYTES)
    return rest > 0 or chunks < int.from_bytes(header[42:44], "little")
