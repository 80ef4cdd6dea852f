"""From a raw line to fields: the ways a mapping can parse."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from functools import singledispatch
from typing import Any, Final

import orjson

from connectors.mapping.cef import parse_cef
from connectors.mapping.document import (
    CefParse,
    CsvParse,
    GrokParse,
    JsonParse,
    KeyValueParse,
    LeefParse,
    RegexParse,
    SyslogParse,
    W3cParse,
)
from connectors.mapping.leef import parse_leef
from connectors.mapping.patterns import Pattern
from connectors.mapping.syslog import split_syslog
from schemas.json_text import read_json

Parsed = Mapping[str, Any]
ParseLine = Callable[[bytes], Parsed]
"""Raises `Unparsed`."""

MAX_PAIRS: Final = 1000


class Unparsed(Exception):
    """A line is not what the mapping parses.

    Args:
        reason: a short word, as the dead letter carries it.
        detail: what is wrong, without the line itself.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(reason, detail)


class Skipped(Exception):
    """A line that says nothing, such as a header.

    Args:
        reason: what it is.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def line_parser(parse: Any) -> ParseLine:
    """The function that parses a line as the mapping says; raises ValueError for a pattern that is none."""
    read = _reader(parse)
    return _behind_syslog(read) if getattr(parse, "behind", None) == "syslog" else read


def _behind_syslog(read: ParseLine) -> ParseLine:
    def read_behind(raw: bytes) -> Parsed:
        header, message = _syslog_parts(raw)
        return {**read(message.encode()), **header}

    return read_behind


def _syslog_parts(raw: bytes) -> tuple[dict[str, str], str]:
    try:
        return split_syslog(utf8(raw).decode())
    except ValueError as error:
        raise Unparsed("not-syslog", str(error)) from error


@singledispatch
def _reader(parse: Any) -> ParseLine:
    raise TypeError(f"no parser for {type(parse).__name__}")


@_reader.register
def _syslog(_: SyslogParse) -> ParseLine:
    def read(raw: bytes) -> Parsed:
        header, message = _syslog_parts(raw)
        return {**header, "message": message}

    return read


@_reader.register
def _csv(parse: CsvParse) -> ParseLine:
    def read(raw: bytes) -> Parsed:
        cells = _cells(utf8(raw).decode(), parse.separator)
        if tuple(cells) == parse.fields:
            raise Skipped("the names of the fields")
        return _named(parse.fields, cells, "not-csv")

    return read


@_reader.register
def _w3c(parse: W3cParse) -> ParseLine:
    def read(raw: bytes) -> Parsed:
        text = utf8(raw).decode()
        if text.startswith("#"):
            if text.startswith("#Fields:") and tuple(text.split()[1:]) != parse.fields:
                raise Unparsed("other-fields", "the log's fields are not those the mapping names")
            raise Skipped("a directive")
        fields = _named(parse.fields, _cells(text, " "), "not-w3c")
        if "date" in fields and "time" in fields:
            fields["w3c.time"] = f"{fields['date']}T{fields['time']}Z"
        return fields

    return read


def _cells(text: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([text.replace("\n", " ")], delimiter=separator, strict=True))
    except (csv.Error, StopIteration) as error:
        raise Unparsed("not-csv", str(error)[:200]) from error


def _named(names: tuple[str, ...], cells: list[str], reason: str) -> dict[str, str]:
    if len(cells) != len(names):
        raise Unparsed(reason, f"{len(cells)} values; the mapping names {len(names)}")
    return dict(zip(names, cells, strict=True))


@_reader.register
def _leef(_: LeefParse) -> ParseLine:
    def read(raw: bytes) -> Parsed:
        try:
            return parse_leef(utf8(raw).decode())
        except ValueError as error:
            raise Unparsed("not-leef", str(error)) from error

    return read


@_reader.register(RegexParse)
@_reader.register(GrokParse)
def _regex(parse: RegexParse | GrokParse) -> ParseLine:
    pattern = Pattern(parse.pattern)

    def read(raw: bytes) -> Parsed:
        groups = pattern.match(utf8(raw))
        if groups is None:
            raise Unparsed("no-match", "the line does not match the mapping's pattern")
        return groups

    return read


@_reader.register
def _json(_: JsonParse) -> ParseLine:
    def read(raw: bytes) -> Parsed:
        try:
            data = read_json(raw)
        except orjson.JSONDecodeError as error:
            reason = "not-json" if _is_utf8(raw) else "not-utf8"
            raise Unparsed(reason, str(error)[:200]) from error
        if not isinstance(data, dict):
            raise Unparsed("not-an-object", f"a JSON {type(data).__name__}")
        return data

    return read


@_reader.register
def _cef(_: CefParse) -> ParseLine:
    def read(raw: bytes) -> Parsed:
        try:
            return parse_cef(utf8(raw).decode())
        except ValueError as error:
            raise Unparsed("not-cef", str(error)) from error

    return read


@_reader.register
def _key_value(parse: KeyValueParse) -> ParseLine:
    separator, assign = re.escape(parse.separator), re.escape(parse.assign)
    pair = re.compile(rf'([^{separator}{assign}"]++){assign}(?:"((?:[^"\\]|\\.)*+)"|([^{separator}]*+))')

    def read(raw: bytes) -> Parsed:
        fields: dict[str, str] = {}
        for found in pair.finditer(utf8(raw).decode()):
            key, quoted, plain = found.groups()
            fields.setdefault(key.strip(), plain if quoted is None else _unescape(quoted))
            if len(fields) > MAX_PAIRS:
                raise Unparsed("too-many-fields", f"more than {MAX_PAIRS} pairs")
        if not fields:
            raise Unparsed("no-match", f"no key{parse.assign}value pair in the line")
        return fields

    return read


def utf8(raw: bytes) -> bytes:
    r"""The line as valid UTF-8: bytes that are none become `\xff`, so that a hostile byte hides nothing."""
    if raw.isascii() or _is_utf8(raw):
        return raw
    return raw.decode("utf-8", "backslashreplace").encode()


def _unescape(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted) if "\\" in quoted else quoted


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
