"""Lines matched without being read in full have the verdicts of the plain evaluator, or are left to the reader."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.detect.evaluate import Detector
from pipeline.detect.keywords import MAX_SEARCHED
from pipeline.detect.lines import LineMatcher
from pipeline.detect.plain import compile_test
from pipeline.detect.plan import Boolean, DetectionPlan, LogSource, Number, Text
from pipeline.detect.records import read_line
from pipeline.detect.view import EventView
from schemas.event import MAX_DEPTH, MAX_ELEMENTS

# What begins where the search finds something else as well: a boolean, an object, an escape.
KEYWORDS = ("true story", "[mimikatz", ": {evil", "evil", 'e"vil', "\\users", "sexy")
BY_KEYWORD = [DetectionPlan(text, text, LogSource(), Text(None, "contains", text)) for text in KEYWORDS]
BY_FIELD = [
    DetectionPlan("1", "1", LogSource(), Number("a", "==", 1)),
    DetectionPlan("true", "true", LogSource(), Boolean("a", truth=True)),
    DetectionPlan("b.c", "b.c", LogSource(), Text("b.c", "equals", "evil")),
]
scraps = st.sampled_from(["", "x", " ", "\u017fexy", '":', "true", "{", "[", *KEYWORDS])
texts = st.lists(scraps, max_size=4).map("".join)
scalars = st.one_of(texts, st.booleans(), st.sampled_from([1, 1.0, 0, None]))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=4,
)
records = st.dictionaries(st.sampled_from(["a", "b", "c", "b.c"]), values, max_size=4)
spaces = st.sampled_from([(",", ":"), (", ", ": "), (",", " :"), (" , ", "  :   ")])


def plainly(rules: list[DetectionPlan], line: bytes) -> tuple[int, ...]:
    ((fields, _),) = read_line(line)
    assert fields is not None
    return tuple(index for index, rule in enumerate(rules) if compile_test(rule.expression)(EventView(fields)))


def written(record: dict[str, Any], separators: tuple[str, str], *, escaped: bool) -> bytes:
    return json.dumps(record, separators=separators, ensure_ascii=escaped).encode()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(records, spaces, st.booleans()), min_size=1, max_size=6), st.sampled_from([0, 3_000, 10**7]))
def test_lines_have_the_plain_verdicts_however_their_json_is_written(
    found: list[tuple[dict[str, Any], tuple[str, str], bool]], memo_bytes: int
) -> None:
    lines = [written(record, separators, escaped=escaped) for record, separators, escaped in found]
    rules = [*BY_KEYWORD, *BY_FIELD]
    matcher = LineMatcher(Detector(rules, routed=False, memo_bytes=memo_bytes))
    for _ in ("keywords not yet searched for", "searched for"):
        for line, matched in zip(lines, matcher.match(lines), strict=True):
            assert matched is None or matched == plainly(rules, line), line


@pytest.mark.parametrize(
    "line",
    [
        b'{"a":"nothing"}',
        b'{"a":"x","unasked":true}',
        b'{"a":true}',
        b'{"a":"x","unasked":[1,2]}',
        b'{"a":"x","unasked":{"c":[1]}}',
    ],
)
def test_ordinary_lines_are_not_left_to_the_reader(line: bytes) -> None:
    matcher = LineMatcher(Detector(BY_FIELD, routed=False))
    assert matcher.match([line]) == [plainly(BY_FIELD, line)]


@pytest.mark.parametrize(
    "line",
    [
        b'{"a":"x","d":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
        b'{"a":"x","d":' + b'{"e":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH + b"}",
        b'{"a":"x","d":[' + b"1," * MAX_ELEMENTS + b"1]}",
        b"[1]",
        b'["a","x"]',
        b'"a"',
        b'{"a":',
    ],
)
def test_what_may_be_refused_is_left_to_the_reader(line: bytes) -> None:
    assert LineMatcher(Detector(BY_FIELD, routed=False)).match([line]) == [None]


@pytest.mark.parametrize("text", ['":true story', '":[mimikatz', '": {evil', '":false rumours are evil', "\u017fexy"])
@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize("more", [0, MAX_SEARCHED])
def test_no_keyword_hides_in_what_the_search_finds_first(text: str, escaped: bool, more: int) -> None:
    line = written({"c": text}, (",", ":"), escaped=escaped)
    others = [DetectionPlan(f"{n}", "", LogSource(), Text(None, "contains", f"other {n}")) for n in range(more)]
    matcher = LineMatcher(Detector([*BY_KEYWORD, *others], routed=False))
    assert matcher.match([b'{"c":"nothing"}']) == [()]
    assert matcher.match([line, b'{"c":"nothing"}']) == [None, ()]
