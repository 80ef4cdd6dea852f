"""From a raw line to fields: the four ways a mapping can parse."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import singledispatch
from typing import Any, Final

import orjson

from connectors.mapping.cef import parse_cef
from connectors.mapping.document import CefParse, JsonParse, KeyValueParse, RegexParse
from connectors.mapping.patterns import Pattern

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


@singledispatch
def line_parser(parse: Any) -> ParseLine:
    """The function that parses a line as the mapping says; raises ValueError for a pattern that is none."""
    raise TypeError(f"no parser for {type(parse).__name__}")


@line_parser.register
def _regex(parse: RegexParse) -> ParseLine:
    pattern = Pattern(parse.pattern)

    def read(raw: bytes) -> Parsed:
        groups = pattern.match(utf8(raw))
        if groups is None:
            raise Unparsed("no-match", "the line does not match the mapping's pattern")
        return groups

    return read


@line_parser.register
def _json(_: JsonParse) -> ParseLine:
    def read(raw: bytes) -> Parsed:
        try:
            data = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            reason = "not-json" if _is_utf8(raw) else "not-utf8"
            raise Unparsed(reason, str(error)[:200]) from error
        if not isinstance(data, dict):
            raise Unparsed("not-an-object", f"a JSON {type(data).__name__}")
        return data

    return read


@line_parser.register
def _cef(_: CefParse) -> ParseLine:
    def read(raw: bytes) -> Parsed:
        try:
            return parse_cef(utf8(raw).decode())
        except ValueError as error:
            raise Unparsed("not-cef", str(error)) from error

    return read


@line_parser.register
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
