from __future__ import annotations

import os
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.detect.evaluate import Detector
from pipeline.detect.memos import MAX_VALUE
from pipeline.detect.plain import compile_test
from pipeline.detect.plan import AllOf, AnyOf, Boolean, DetectionPlan, Exists, LogSource, Not, Null, Number, Text
from pipeline.detect.routing import applies, names_of
from pipeline.detect.scan import MAX_KNOWN, MAX_LITERALS
from pipeline.detect.view import EventView
from schemas.event import Fields
from schemas.logsource import CATEGORY, PRODUCT, SERVICE
from tests.pipeline.detect.random_rules import events, plans

EXAMPLES = int(os.environ.get("JSOC_EXAMPLES", "150"))
A_IS_X = Text("a", "equals", "x")


def about(source: LogSource, name: str = "r") -> DetectionPlan:
    return DetectionPlan(name, name, source, A_IS_X)


def plainly(rules: list[DetectionPlan], fields: Fields) -> tuple[int, ...]:
    names = names_of(fields)
    return tuple(
        index
        for index, rule in enumerate(rules)
        if applies(rule.logsource, names) and compile_test(rule.expression)(EventView(fields))
    )


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(plans, max_size=6), st.lists(events, max_size=8), st.sampled_from([0, 600, 10**6]))
def test_every_fast_layer_agrees_with_the_plain_evaluator_whatever_the_memo(
    rules: list[DetectionPlan], stream: list[Fields], memo_bytes: int
) -> None:
    detector = Detector(rules, memo_bytes=memo_bytes)
    for fields in [*stream, *stream]:
        assert detector.match(fields) == plainly(rules, fields)


@pytest.mark.parametrize(
    ("source", "event", "expected"),
    [
        (LogSource("windows"), {PRODUCT: "windows", SERVICE: "sysmon"}, True),
        (LogSource("windows"), {PRODUCT: "WINDOWS"}, True),
        (LogSource("windows"), {PRODUCT: "linux"}, False),
        (LogSource("windows"), {}, False),
        (LogSource("windows", "process_creation"), {PRODUCT: "windows"}, False),
        (LogSource("windows", "process_creation"), {PRODUCT: "windows", CATEGORY: "process_creation"}, True),
        (LogSource(category="b"), {CATEGORY: ("a", "b")}, True),
        (LogSource(service="s"), {SERVICE: None}, False),
        (LogSource(service="1"), {SERVICE: True}, False),
    ],
)
def test_a_rule_applies_if_every_attribute_it_names_is_the_events(
    source: LogSource, event: Fields, expected: bool
) -> None:
    detector = Detector([about(source)])
    assert detector.match({"a": "x", **event}) == ((0,) if expected else ())
    assert detector.routed_count(event) == expected


def test_routes_of_true_and_1_are_told_apart() -> None:
    detector = Detector([about(LogSource("1"))])
    assert detector.match({"a": "x", PRODUCT: True}) == ()
    assert detector.match({"a": "x", PRODUCT: 1}) == (0,)
    assert detector.match({"a": "x", PRODUCT: True}) == ()


@pytest.mark.parametrize("first", [True, 1.0, "1"])
def test_a_boolean_event_id_does_not_poison_the_number(first: Any) -> None:
    detector = Detector([DetectionPlan("r", "r", LogSource("p"), Number("EventID", "==", 1))], routed=False)
    detector.match({"EventID": first})
    assert detector.match({"EventID": 1}) == (0,)
    assert detector.match({"EventID": True}) == ()


def remembered(detector: Detector) -> int:
    """Bytes the detector believes to have spent since it last started afresh."""
    return detector._memo_bytes - detector.memory._left


A_FLOOD: dict[str, Any] = {
    "values": lambda number: {"a": f"value-{number}"},
    "numbers": lambda number: {"a": number},
    "log sources": lambda number: {"a": "y", PRODUCT: f"invented-{number}"},
    "field names": lambda number: {"a": "y", f"invented-{number}": 1},
    "keywords": lambda number: {"b": f"k{number} nothing"},
    "arrays": lambda number: {"a": (f"value-{number}", "z")},
}


@pytest.mark.parametrize("kind", A_FLOOD)
def test_a_flood_of_anything_new_stays_within_the_budget_and_keeps_the_verdicts(kind: str) -> None:
    rules = [about(LogSource("p")), DetectionPlan("k", "k", LogSource("p"), Text(None, "contains", "k7"))]
    detector = Detector(rules, routed=kind == "log sources", assumed={PRODUCT: "p"}, memo_bytes=100_000)
    afresh = 0
    for number in range(3_000):
        memory = detector.memory
        assert detector.match(A_FLOOD[kind](number)) == ((1,) if kind == "keywords" and str(number)[0] == "7" else ())
        assert detector.match({"a": "x"}) == (0,)
        afresh += detector.memory is not memory
        assert remembered(detector) <= 100_000
    assert afresh > 0 or kind in ("arrays", "keywords"), "the flood is too small to prove anything"


def test_of_long_values_little_is_remembered_and_each_is_judged_by_all_of_its_text() -> None:
    detector = Detector([DetectionPlan("r", "r", LogSource("p"), Text("a", "endswith", "x"))], routed=False)
    detector.match({"a": "y"})
    before = remembered(detector)
    for length in range(MAX_VALUE, MAX_VALUE + 50):
        for _ in ("first", "again"):
            assert detector.match({"a": "y" * length + "x"}) == (0,)
            assert detector.match({"a": "y" * length + "\ud800"}) == ()
    assert remembered(detector) - before < 50 * MAX_VALUE / 2


@pytest.mark.parametrize("given", [{}, {"product": "windows"}, {"event.dataset": "windows.sysmon"}])
def test_the_assumed_log_source_fills_what_an_event_does_not_tell(given: Fields) -> None:
    detector = Detector(
        [about(LogSource("windows", service="sysmon"))], assumed={PRODUCT: "windows", SERVICE: "sysmon"}
    )
    assert detector.match({"a": "x", **given}) == (0,)
    assert detector.match({"a": "x", PRODUCT: "linux", **given}) == ()


@pytest.mark.parametrize("value", [True, 1, 1.0, "1", (1,), (True,), 10**18, 1e18, None, ()])
@pytest.mark.parametrize("before", [True, 1, 1.0, "1", (1,), (True,), 10**18, 1e18, None, ()])
def test_values_that_are_one_dictionary_key_are_told_apart(before: Any, value: Any) -> None:
    rules = [
        DetectionPlan(str(number), "r", LogSource(), leaf)
        for number, leaf in enumerate(
            (Text("a", "equals", "1"), Number("a", "==", 1), Boolean("a", True), Null("a"), Exists("a"))
        )
    ] + [DetectionPlan("5", "r", LogSource(), Text("a", "equals", str(10**18)))]
    detector = Detector(rules, routed=False)
    detector.match({"a": before})
    assert detector.match({"a": value}) == plainly(rules, {"a": value})


def test_a_rule_about_an_object_knows_absent_from_nested() -> None:
    rules = [DetectionPlan("n", "n", LogSource(), Null("a")), DetectionPlan("e", "e", LogSource(), Exists("a"))]
    detector = Detector(rules, routed=False)
    for fields, expected in [({"a.b": 1}, (1,)), ({"ab": 1}, (0,)), ({"a": None}, (0, 1)), ({}, (0,))]:
        assert detector.match(fields) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"a": "MIMIKATZ"}, (0,)),
        ({"a": "mimi", "b": "katz"}, ()),
        ({"a": ("x", "a mimi\u212aatz b")}, (0,)),
        ({"mimikatz": "x"}, ()),
        ({PRODUCT: "mimikatz"}, ()),
        ({"a": "\x02mimikatz\x03"}, (0,)),
        ({"a": "\ud800mimikatz"}, (0,)),
        ({"a": 4242}, (1,)),
        ({"a": True}, (2,)),
        ({"a": "mimi\uffffkatz"}, ()),
    ],
)
def test_no_keyword_escapes_the_gate(fields: Fields, expected: tuple[int, ...]) -> None:
    words = ("mimikatz", "424", "true")
    rules = [DetectionPlan(word, word, LogSource(), Text(None, "contains", word)) for word in words]
    detector = Detector(rules, routed=False)
    assert detector.match({"a": "nothing", "b": 7}) == ()
    assert detector.match(fields) == expected == plainly(rules, fields)


@pytest.mark.parametrize("memo_bytes", [0, 10**6])
def test_what_holds_without_a_keyword_is_known_before_and_after_an_event_with_it(memo_bytes: int) -> None:
    without = AllOf((A_IS_X, Not(Text(None, "contains", "mimikatz"))))
    rules = [
        about(LogSource("p")),
        DetectionPlan("w", "w", LogSource(), without),
        about(LogSource("p")),
        about(LogSource("q")),
    ]
    detector = Detector(rules, memo_bytes=memo_bytes)
    quiet: Fields = {PRODUCT: "p", "a": "x", "b": "nothing"}
    for fields, expected in [(quiet, (0, 1, 2)), (quiet | {"b": "MIMIKATZ"}, (0, 2)), (quiet, (0, 1, 2))]:
        assert detector.match(fields) == expected == plainly(rules, fields)


def test_thousands_of_alternatives_are_one_look_up() -> None:
    hashes = tuple(Text("hash", "contains", f"SHA256={number:064x}") for number in range(5_000))
    exact = tuple(Text("name", "equals", f"driver-{number}.sys") for number in range(5_000))
    detector = Detector([DetectionPlan("r", "r", LogSource("p"), AnyOf((*hashes, *exact)))], routed=False)
    assert detector.match({"name": "DRIVER-4999.sys"}) == (0,)
    assert detector.match({"hash": f"MD5=1,SHA256={4_999:064X}"}) == (0,)
    assert detector.match({"name": "driver.sys", "hash": "none"}) == ()


def test_patterns_are_put_to_more_texts_than_their_literals_are_remembered_of() -> None:
    words = [f"<{number:02}>" for number in range(MAX_LITERALS + 1)]
    rules = [
        DetectionPlan(str(number), "r", LogSource(), Text("a", "like", f"*{word}*{after}*"))
        for number, (word, after) in enumerate(pairwise(words))
    ]
    detector = Detector(rules, routed=False)
    tests = [compile_test(rule.expression) for rule in rules]
    texts = ["".join(words[bit] for bit in range(11) if number >> bit & 1) for number in range(2 * MAX_KNOWN)]
    for text in [*texts, "".join(words), "".join(reversed(words)), *texts[:9]]:
        view = EventView({"a": text})
        assert detector.match({"a": text}) == tuple(number for number, test in enumerate(tests) if test(view))


names = st.sampled_from(["a", "b", "a.c", PRODUCT])
json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=4,
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(rules=st.lists(plans, min_size=1, max_size=4), fields=st.dictionaries(names, json_like))
def test_no_event_makes_match_raise(rules: list[DetectionPlan], fields: Fields) -> None:
    Detector(rules, routed=False).match(fields)
    Detector(rules).match(fields)
