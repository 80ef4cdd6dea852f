from __future__ import annotations

import time

import pytest

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
from connectors.mapping.grok import PATTERNS, expand_grok
from connectors.mapping.parse import MAX_PAIRS, Skipped, Unparsed, line_parser
from connectors.mapping.patterns import Pattern


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


def test_values_in_order_may_be_quoted_and_the_header_is_skipped() -> None:
    parse = line_parser(CsvParse(kind="csv", fields=("a", "b", "c"), separator=";"))
    assert parse(b'1;"two; and ""more""";') == {"a": "1", "b": 'two; and "more"', "c": ""}
    with pytest.raises(Skipped):
        parse(b"a;b;c")
    for bad in (b"1;2", b'1;"2;3', b"1;2;3;4"):
        with pytest.raises(Unparsed):
            parse(bad)


def test_a_w3c_log_whose_fields_changed_is_not_misread() -> None:
    parse = line_parser(W3cParse(kind="w3c", fields=("date", "time", "cs(User-Agent)")))
    assert parse(b'2026-11-23 02:00:00 "a b"') == {
        "date": "2026-11-23",
        "time": "02:00:00",
        "cs(User-Agent)": "a b",
        "w3c.time": "2026-11-23T02:00:00Z",
    }
    with pytest.raises(Skipped):
        parse(b"#Fields: date time cs(User-Agent)")
    with pytest.raises(Unparsed, match="other-fields"):
        parse(b"#Fields: time date cs(User-Agent)")


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (b"LEEF:1.0|V|P|1|e|a=1\tb=x = y", {"a": "1", "b": "x = y"}),
        (b"LEEF:2.0|V|P|1|e|^|a=1^b=2", {"a": "1", "b": "2"}),
        (b"LEEF:2.0|V|P|1|e|0x7c|a=1|b=2", {"a": "1", "b": "2"}),
        (b"LEEF:2.0|V|P|1|e|a=1\tb=2", {"a": "1", "b": "2"}),
        (b"LEEF:2.0|V|P|1|e|a=1|still\tb=2", {"a": "1|still", "b": "2"}),
    ],
)
def test_leef_names_its_separator_or_not(line: bytes, fields: dict[str, str]) -> None:
    parsed = line_parser(LeefParse(kind="leef"))(line)
    assert {key: parsed[key] for key in fields} == fields
    assert (parsed["leef.vendor"], parsed["leef.event_id"]) == ("V", "e")


def test_what_stands_behind_a_syslog_header_is_parsed_and_the_header_kept() -> None:
    parse = line_parser(JsonParse(kind="json", behind="syslog"))
    parsed = parse(b'<165>1 2026-11-23T02:00:00Z web app 7 ID1 [x@1 k="a\\"b"][y@1] {"a":{"b":1}}')
    assert parsed == {
        "a": {"b": 1},
        "syslog.time": "2026-11-23T02:00:00Z",
        "syslog.host": "web",
        "syslog.program": "app",
        "syslog.pid": "7",
        "syslog.message_id": "ID1",
        "syslog.facility": "20",
        "syslog.severity": "5",
        "syslog.data.x@1.k": 'a"b',
    }
    with pytest.raises(Unparsed, match="not-syslog"):
        parse(b'{"a":1}')


def test_a_header_inside_the_message_is_part_of_the_message() -> None:
    parse = line_parser(SyslogParse(kind="syslog"))
    line = b"<34>Nov 23 02:00:00 web su: failed\n<34>Nov 23 02:00:00 bank root: a line that was made up"
    parsed = parse(line)
    assert (parsed["syslog.host"], parsed["syslog.program"]) == ("web", "su")
    assert parsed["message"].startswith("failed\n<34>")


def test_grok_names_stand_for_expressions() -> None:
    parse = line_parser(GrokParse(kind="grok", pattern="%{IP:client} %{WORD:verb} %{NUMBER:seconds}s"))
    assert parse(b"2001:db8::7 GET 0.5s") == {"client": "2001:db8::7", "verb": "GET", "seconds": "0.5"}
    assert parse(b"203.0.113.9 GET 3s")["client"] == "203.0.113.9"
    for wrong, told in (
        ("%{NOSUCH:x}", "no grok pattern NOSUCH"),
        ("%{IP:a.b}", "without a name"),
        ("100%{", "without"),
    ):
        with pytest.raises(ValueError, match=told):
            GrokParse(kind="grok", pattern=wrong)


def test_every_grok_pattern_is_an_expression() -> None:
    for name in PATTERNS:
        Pattern(expand_grok(f"%{{{name}:x}}"))
