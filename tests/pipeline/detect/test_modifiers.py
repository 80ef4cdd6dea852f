from __future__ import annotations

from base64 import b64encode

import pytest

from pipeline.detect.plan import AnyOf, Text, leaves
from schemas.errors import RuleError
from schemas.event import Fields
from tests.pipeline.detect.samples import selection, verdict

BLOB = "powershell -nop"


def encoded(text: str, codec: str = "utf-8", before: bytes = b"") -> str:
    return b64encode(before + text.encode(codec) + b"tail").decode()


@pytest.mark.parametrize(
    ("body", "value", "expected"),
    [
        # plain text: the whole value, any case
        ("f: abc", "ABC", True),
        ("f: abc", "abcd", False),
        ("f: abc", None, False),
        ("f: [a, b]", "B", True),
        ("f: [a, b]", "c", False),
        # wildcards
        ("f: a*c", "abbbc", True),
        ("f: a*c", "ac", True),
        ("f: a?c", "abc", True),
        ("f: a?c", "ac", False),
        ("f: '*'", "", True),
        ("f: '*'", "anything", True),
        ("f: '?*'", "", False),
        ("f: '*b*d*'", "a\nb\nc\nd\ne", True),
        ("f: 'a*'", "a\nb", True),
        ("f: '*[x]{y}*'", "a[X]{Y}b", True),
        ("f: '*[x]*'", "x", False),
        (r"f: 'a\*c'", "a*c", True),
        (r"f: 'a\*c'", "abc", False),
        (r"f: 'a\?c'", "a?c", True),
        (r"f: 'a\\*c'", "a\\bbc", True),
        (r"f: 'a\\\*c'", "a\\*c", True),
        (r"f: 'a\bc'", "a\\bc", True),
        (r"f: 'a\\bc'", "a\\bc", True),
        (r"f: 'a\\\\bc'", "a\\\\bc", True),
        (r"f: 'a\'", "a\\", True),
        (r"f|endswith: '\cmd.exe'", "C:\\Windows\\CMD.EXE", True),
        (r"f|contains: 'a\'", "xa\\x", True),
        # contains, startswith, endswith
        ("f|contains: b", "abc", True),
        ("f|contains: b", "aca", False),
        ("f|startswith: ab", "ABC", True),
        ("f|startswith: ab", "cab", False),
        ("f|endswith: bc", "aBC", True),
        ("f|endswith: bc", "bca", False),
        ("f|contains: 'a*c'", "xxabcxx", True),
        ("f|startswith: 'a?c'", "abcd", True),
        ("f|endswith: 'a?c'", "xabc", True),
        # all
        ("f|contains|all: [a, b]", "xbxa", True),
        ("f|contains|all: [a, b]", "xb", False),
        ("f|all|contains: [a, b]", "ab", True),
        ("f|all: a", "a", True),
        # cased
        ("f|cased: Abc", "Abc", True),
        ("f|cased: Abc", "abc", False),
        ("f|contains|cased: B", "aBc", True),
        ("f|cased|contains: B", "abc", False),
        ("f|cased|windash: ' -A'", " /A", True),
        ("f|cased|windash: ' -A'", " /a", False),
        ("f|windash|cased: ' -A'", " /a", False),
        ("f|cased: 'A*c'", "AbC", False),
        # neq
        ("f|neq: a", "b", True),
        ("f|neq: a", "A", False),
        ("f|neq: [a, b]", "b", False),
        ("f|neq: [a, b]", "c", True),
        ("f|neq|contains: a", "xay", False),
        ("f|neq: 5", 6, True),
        ("f|neq: 5", 5, False),
        # regular expressions: searched, case-sensitive
        ("f|re: 'b.d'", "abcde", True),
        ("f|re: 'B.d'", "abcde", False),
        ("f|re|i: 'B.d'", "abcde", True),
        ("f|re: '^b'", "ab", False),
        ("f|re: '^b'", "a\nb", False),
        ("f|re|m: '^b'", "a\nb", True),
        ("f|re: 'a.b'", "a\nb", False),
        ("f|re|s: 'a.b'", "a\nb", True),
        ("f|re|i|m|s: '^B.C'", "a\nb\nc", True),
        ("f|re: ['x', 'b']", "abc", True),
        ("f|re|all: ['a', 'c']", "abc", True),
        ("f|re|all: ['a', 'x']", "abc", False),
        (r"f|re: 'a\.b'", "a.b", True),
        (r"f|re: '\d{3}'", "a123", True),
        ("f|re: '(?i)ABC'", "abc", True),
        ("f|re: ''", "", True),
        ("f|re|startswith: 'b|c'", "ab", False),
        ("f|re|startswith: 'b|c'", "cab", True),
        ("f|re|endswith: 'b|c'", "ba", False),
        ("f|re|endswith: 'b|c'", "ab", True),
        ("f|re|contains: 'b'", "abc", True),
        # base64
        ("f|base64: abc", "YWJj", True),
        ("f|base64|contains: abc", "xxYWJjxx", True),
        ("f|base64: 'é'", b64encode("é".encode()).decode(), True),
        (r"f|base64: 'a\*b'", b64encode(b"a*b").decode(), True),
        # windash
        ("f|windash: ' -a'", " /a", True),
        ("f|windash: ' /a'", " -a", True),
        ("f|windash|contains: ' -a'", "x \u2013a", True),
        ("f|windash|contains: ' -a'", "x \u2014a", True),
        ("f|windash|contains: ' -a'", "x \u2015a", True),
        ("f|contains|windash: ' -a -b'", "x /a \u2013b", True),
        ("f|windash: 'a-b'", "a/b", False),
        ("f|windash: 'a'", "a", True),
        ("f|contains|all|windash: [' -a', ' -b']", "/b x /a -b /c -a", True),
        ("f|contains|all|windash: [' -a', ' -b']", "x /a", False),
        # numbers
        ("f|gt: 5", 6, True),
        ("f|gt: 5", 5, False),
        ("f|gte: 5", 5, True),
        ("f|lt: 5", 4.5, True),
        ("f|lte: 5", 5.5, False),
        ("f|gt: 500.7", 500, False),
        ("f|gt: 500.2", 500.5, True),
        ("f|gt: 5", "6", True),
        ("f|gt: 5", "0x10", False),
        ("f|gt: 5", True, False),
        ("f|gt: 0", True, False),
        ("f|gt: 5", "six", False),
        ("f|gt: -5", "-4", True),
        # exists
        ("f|exists: true", "x", True),
        ("f|exists: true", None, True),
        ("f|exists: true", "", True),
        ("f|exists: false", "x", False),
        # cidr
        ("f|cidr: 10.0.0.0/8", "10.1.2.3", True),
        ("f|cidr: 10.0.0.0/8", "11.1.2.3", False),
        ("f|cidr: 10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("f|cidr: 10.0.0.0/8", "10.1.2", False),
        ("f|cidr: 10.0.0.0/8", 167838211, False),
        ("f|cidr: 10.1.2.3", "10.1.2.3", True),
        ("f|cidr: [10.0.0.0/8, '2001:db8::/32']", "2001:DB8::1", True),
        ("f|cidr: '2001:db8::/32'", "2001:0db8:0000:0000:0000:0000:0000:0001", True),
        ("f|cidr: '2001:db8::/32'", "2001:db9::1", False),
        ("f|cidr: 'fe80::/10'", "fe80::1%eth0", True),
        ("f|cidr: '::ffff:10.0.0.0/104'", "10.1.2.3", True),
        ("f|cidr: '::ffff:10.0.0.0/104'", "::FFFF:10.1.2.3", True),
        ("f|cidr: '::ffff:10.0.0.0/104'", "::ffff:11.1.2.3", False),
        ("f|cidr: '::/0'", "::ffff:10.1.2.3", True),
        ("f|cidr: '::/0'", "10.1.2.3", False),
        # parts of a time, as written
        ("f|hour: 23", "2026-04-17T23:59:53Z", True),
        ("f|hour: 23", "2026-04-17T23:59:53+08:00", True),
        ("f|hour: 15", "2026-04-17T23:59:53+08:00", False),
        ("f|minute: 59", "2026-04-17 23:59:53.079", True),
        ("f|day: 17", "2026-04-17", True),
        ("f|month: 4", "2026-04-17T23:59:53.092051Z", True),
        ("f|year: 2026", "2026-04-17T23:59:53Z", True),
        ("f|week: 16", "2026-04-17T23:59:53Z", True),
        ("f|week: 53", "2026-12-31", True),
        ("f|hour|gte: 22", "2026-04-17T23:59:53Z", True),
        ("f|hour|lt: 6", "2026-04-17T23:59:53Z", False),
        ("f|year: 2023", 1_700_000_000, True),
        ("f|year: 2023", 1_700_000_000_123, True),
        ("f|hour: 1", "one o'clock", False),
        ("f|hour: 1", True, False),
        # null and the empty text
        ("f: null", None, True),
        ("f: null", "", False),
        ("f: ''", "", True),
        ("f: ''", None, False),
        ("f: ''", "a", False),
    ],
)
def test_a_modifier_means_what_the_specification_says(body: str, value: object, expected: bool) -> None:
    assert verdict(selection(body), {"f": value}) is expected  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("f: a", False),
        ("f: ''", False),
        ("f: '*'", False),
        ("f: null", True),
        ("f|exists: true", False),
        ("f|exists: false", True),
        ("f|neq: a", True),
        ("f|neq: null", False),
        ("f|re: ''", False),
        ("f|contains: ''", False),
        ("f|lt: 5", False),
        ("f|cidr: 0.0.0.0/0", False),
        ("f|hour: 0", False),
        ("f|fieldref: g", False),
        ("f: false", False),
    ],
)
def test_on_an_absent_field_every_test_but_null_and_not_is_false(body: str, expected: bool) -> None:
    assert verdict(selection(body), {"other": "x"}) is expected


@pytest.mark.parametrize("before", [b"", b"a", b"ab", b"abc", b"abcd"])
@pytest.mark.parametrize("text", ["powershell", "Ünïcode", "日本", "wxyz"])
def test_base64offset_finds_the_text_at_every_alignment(text: str, before: bytes) -> None:
    rule = selection(f"f|base64offset|contains: '{text}'")
    assert verdict(rule, {"f": encoded(text, before=before)})
    assert not verdict(rule, {"f": encoded("harmless words", before=before)})


@pytest.mark.parametrize(
    ("modifier", "codec", "mark"),
    [
        ("wide", "utf-16-le", b""),
        ("utf16le", "utf-16-le", b""),
        ("utf16be", "utf-16-be", b""),
        ("utf16", "utf-16-le", b"\xff\xfe"),
    ],
)
@pytest.mark.parametrize("text", ["ping", "naïve", "日本語"])
def test_wide_encodings_before_base64_encode_bytes(modifier: str, codec: str, mark: bytes, text: str) -> None:
    value = b64encode(mark + text.encode(codec)).decode()
    assert verdict(selection(f"f|{modifier}|base64: '{text}'"), {"f": value})
    shifted = b64encode(b"x" + mark + text.encode(codec) + b"tail").decode()
    assert verdict(selection(f"f|{modifier}|base64offset|contains: '{text}'"), {"f": shifted})


def test_wide_without_base64_matches_the_bytes_as_characters() -> None:
    assert verdict(selection("f|wide|contains: ab"), {"f": "xa\0b\0x"})


def test_base64_keeps_case_sensitivity_asked_for_before_it() -> None:
    value = b64encode(b"abc").decode()
    assert verdict(selection("f|cased|base64: abc"), {"f": value})
    assert not verdict(selection("f|cased|base64: abc"), {"f": value.swapcase()})
    assert verdict(selection("f|base64: abc"), {"f": value.swapcase()})


@pytest.mark.parametrize(
    ("body", "fields", "expected"),
    [
        ("a|fieldref: b", {"a": "X", "b": "x"}, True),
        ("a|fieldref: b", {"a": "X", "b": "y"}, False),
        ("a|fieldref: b", {"a": 1, "b": "1"}, True),
        ("a|fieldref: b", {"a": None, "b": None}, False),
        ("a|fieldref: b", {"a": "x"}, False),
        ("a|fieldref: b", {"a": ("x", "y"), "b": ("z", "Y")}, True),
        ("a|fieldref|neq: b", {"a": "x", "b": "y"}, True),
        ("a|fieldref|neq: b", {"a": "x", "b": "x"}, False),
        ("a|fieldref|startswith: b", {"a": "xyz", "b": "XY"}, True),
        ("a|fieldref|startswith: b", {"a": "xyz", "b": "yz"}, False),
        ("a|fieldref|endswith: b", {"a": "xyz", "b": "yz"}, True),
        ("a|fieldref|contains: b", {"a": "xyz", "b": "y"}, True),
        ("a|cased|fieldref: b", {"a": "X", "b": "x"}, False),
        ("a|fieldref|cased: b", {"a": "X", "b": "x"}, False),
        ("a|fieldref|cased: b", {"a": "x", "b": "x"}, True),
        ("a|startswith|fieldref: b", {"a": "xyz", "b": "XY"}, True),
        ("a|startswith|fieldref: b", {"a": "xyz", "b": "yz"}, False),
        ("a|endswith|fieldref: b", {"a": "xyz", "b": "yz"}, True),
        ("a|endswith|fieldref: b", {"a": "xyz", "b": "xy"}, False),
        ("a|contains|fieldref: b", {"a": ("w", "xyz"), "b": "y"}, True),
        ("a|contains|fieldref: b", {"a": "xyz"}, False),
    ],
)
def test_fieldref_compares_two_fields_of_the_event(body: str, fields: Fields, expected: bool) -> None:
    assert verdict(selection(body), fields) is expected


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("f|foo: a", "unknown modifier `foo`"),
        ("f|contains: null", "`contains` does not take"),
        ("f|gt: '5'", "`gt` does not take"),
        ("f|gt: abc", "`gt` does not take"),
        ("f|contains|re: a", "before other modifiers"),
        ("f|cidr: 10.0.0.1/8", "host bits"),
        ("f|cidr: abc", "Invalid CIDR"),
        ("f|base64: 'a*'", "wildcards"),
        ("f|base64offset|contains: a", "at least two bytes"),
        ("f|exists: maybe", "`exists` does not take"),
        ("f|hour: 5.5", "whole number"),
        ("f|cidr: 10", "Invalid CIDR"),
        ("f|cased: null", "`cased` does not take"),
        ("f|windash|contains: ' -a -b -c -d -e -f'", "6 dashes"),
        ("f|fieldref: 'a*'", "wildcards"),
        ("f|re: '('", "missing|unterminated"),
        ("f|re: '(?=a)b'", "look-around"),
        (r"f|re: '(a)\1'", "back-references"),
        ("f|re: '(?<!a)b'", "look-around"),
        ("f|re: '(a{1000}){1000}'", "not a regular expression"),
        ("f|i: a", "`i` does not take"),
        ("f: []", "empty list"),
        ("f: {a: b}", "not a value"),
        ("f: [[a]]", "not a value"),
        ("f: .inf", "Invalid number"),
        ("'|exists': true", "must be applied to field"),
        ("'|gt': 5", "needs a field"),
        ("'|fieldref': a", "needs a field"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_file_and_line(body: str, told: str) -> None:
    with pytest.raises(RuleError, match=told) as caught:
        selection(body)
    assert caught.value.where == "sample.yml:6"


def test_windash_and_base64offset_stay_alternatives_under_all() -> None:
    expression = selection("f|contains|all|windash: [' -a', ' -b']").expression
    [alternatives] = {type(part) for part in expression.part.parts}  # type: ignore[union-attr]
    assert alternatives is AnyOf
    assert len(list(leaves(expression))) == 10
    assert all(isinstance(leaf, Text) and leaf.how == "contains" for leaf in leaves(expression))
