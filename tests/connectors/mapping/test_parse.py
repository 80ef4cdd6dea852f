from __future__ import annotations

import time

import pytest

from connectors.mapping.document import CefParse, JsonParse, KeyValueParse, RegexParse
from connectors.mapping.parse import MAX_PAIRS, Unparsed, line_parser


def test_a_pattern_gives_the_groups_that_took_part() -> None:
    parse = line_parser(RegexParse(kind="regex", pattern=r"(?P<a>\d+)(?:-(?P<b>\d+))?"))
    assert parse(b"12-3") == {"a": "12", "b": "3"}
    assert parse(b"12") == {"a": "12"}


def test_bytes_that_are_no_utf8_hide_nothing() -> None:
    parse = line_parser(RegexParse(kind="regex", pattern=r"user=(?P<user>\S+) ip=(?P<ip>\S+)"))
    assert parse(b"user=\xff\xfeeve ip=203.0.113.9") == {"user": r"\xff\xfeeve", "ip": "203.0.113.9"}


def test_a_pattern_that_would_run_for_ever_elsewhere_is_quick_here() -> None:
    parse = line_parser(RegexParse(kind="regex", pattern=r"(?:a+)+b(?P<x>c)"))
    began = time.process_time()
    with pytest.raises(Unparsed):
        parse(b"a" * 50_000)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (b'a=1 b="two words" c=', {"a": "1", "b": "two words", "c": ""}),
        (rb'msg="say \"hi\"" n=2', {"msg": 'say "hi"', "n": "2"}),
        (b"a=1 a=2", {"a": "1"}),
    ],
)
def test_key_value_pairs_may_be_quoted(line: bytes, fields: dict[str, str]) -> None:
    assert line_parser(KeyValueParse(kind="kv"))(line) == fields


def test_key_value_pairs_may_have_other_signs() -> None:
    assert line_parser(KeyValueParse(kind="kv", separator="|", assign=":"))(b"a:1|b:x y") == {"a": "1", "b": "x y"}


@pytest.mark.parametrize(
    ("parse", "line", "reason"),
    [
        (JsonParse(kind="json"), b"{", "not-json"),
        (JsonParse(kind="json"), b'{"a":"\xff"}', "not-utf8"),
        (JsonParse(kind="json"), b"[1]", "not-an-object"),
        (JsonParse(kind="json"), b"[" * 100_000, "not-json"),
        (CefParse(kind="cef"), b"hello", "not-cef"),
        (KeyValueParse(kind="kv"), b"hello", "no-match"),
        (KeyValueParse(kind="kv"), b" ".join(b"k%d=1" % n for n in range(MAX_PAIRS + 1)), "too-many-fields"),
        (RegexParse(kind="regex", pattern="x"), b"hello", "no-match"),
    ],
)
def test_what_cannot_be_parsed_says_why(parse: object, line: bytes, reason: str) -> None:
    with pytest.raises(Unparsed) as caught:
        line_parser(parse)(line)
    assert caught.value.reason == reason
