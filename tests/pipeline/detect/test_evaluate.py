from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.detect.evaluate import MAX_ROUTES, Detector
from pipeline.detect.plain import compile_test
from pipeline.detect.plan import AnyOf, DetectionPlan, LogSource, Number, Text
from pipeline.detect.routing import applies, names_of
from pipeline.detect.view import EventView
from pipeline.detect.witnesses import MAX_VALUE, Budget
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


def test_invented_log_sources_do_not_pile_up() -> None:
    detector = Detector([about(LogSource("windows"))])
    for number in range(3 * MAX_ROUTES):
        assert detector.match({"a": "x", PRODUCT: f"invented-{number}"}) == ()
    assert len(detector._routes) <= MAX_ROUTES
    assert detector.match({"a": "x", PRODUCT: "windows"}) == (0,)


def test_a_flood_of_new_values_stays_within_the_budget_and_keeps_the_verdicts() -> None:
    budget = 100_000
    detector = Detector([about(LogSource("p"))], routed=False, memo_bytes=budget)
    for number in range(5_000):
        assert detector.match({"a": f"value-{number}"}) == ()
        assert detector.match({"a": "x"}) == (0,)
    assert sum(len(memo) for memo in detector._budget._memos) * 200 <= budget


def test_long_values_are_judged_but_not_remembered() -> None:
    detector = Detector([DetectionPlan("r", "r", LogSource("p"), Text("a", "endswith", "x"))], routed=False)
    assert detector.match({"a": "y" * MAX_VALUE + "x"}) == (0,)
    assert not any(detector._budget._memos)


def test_a_budget_clears_every_memo_at_once() -> None:
    budget = Budget(100)
    one, two = budget.new_memo(), budget.new_memo()
    one["a"] = two["b"] = ()
    budget.spend(60)
    assert (one, two) == ({"a": ()}, {"b": ()})
    budget.spend(60)
    assert (one, two) == ({}, {})


def test_thousands_of_alternatives_are_one_look_up() -> None:
    hashes = tuple(Text("hash", "contains", f"SHA256={number:064x}") for number in range(5_000))
    exact = tuple(Text("name", "equals", f"driver-{number}.sys") for number in range(5_000))
    detector = Detector([DetectionPlan("r", "r", LogSource("p"), AnyOf((*hashes, *exact)))], routed=False)
    assert detector.match({"name": "DRIVER-4999.sys"}) == (0,)
    assert detector.match({"hash": f"MD5=1,SHA256={4_999:064X}"}) == (0,)
    assert detector.match({"name": "driver.sys", "hash": "none"}) == ()


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
