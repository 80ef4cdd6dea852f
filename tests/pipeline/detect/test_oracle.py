"""Verdicts compared with SQLite's: SigmaHQ's rules on recorded events, and random rules for what SigmaHQ never uses.

`JSOC_ORACLE=all` takes every rule and more events (about a minute) instead of a sample.
"""

from __future__ import annotations

import json
import os
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.detect.compile import compile_detections
from pipeline.detect.evaluate import Detector
from pipeline.detect.load import load_documents
from pipeline.detect.parse import parse_rule
from pipeline.detect.plan import fields_of
from pipeline.detect.records import read_file
from schemas.event import Fields, Value
from tests.pipeline.detect.samples import document, plan
from tests.pipeline.detect.sqlite_oracle import SqliteOracle

CORPORA = Path(__file__).parents[4] / "shared" / "corpora"
ALL = os.environ.get("JSOC_ORACLE") == "all"
EXAMPLES = int(os.environ.get("JSOC_EXAMPLES", "150"))


def recorded_events() -> list[Fields]:
    files = sorted((CORPORA / "sigmahq" / "regression_data").glob("**/*.json"))
    events = [record.fields for file in files for record in read_file(file)]
    for file in sorted((CORPORA / "otrf").glob("*.gz")):
        records = islice(read_file(file), None if ALL else 400)
        events += [record.fields for number, record in enumerate(records) if number % 97 == 0]
    return [fields for fields in events if fields is not None]


@pytest.mark.skipif(not CORPORA.is_dir(), reason="the corpora are not beside the project")
def test_sqlite_finds_the_same_recorded_events_by_sigmahqs_rules() -> None:
    documents = load_documents(sorted((CORPORA / "sigmahq").glob("rules*")))
    documents = documents if ALL else documents[::9]
    compiled = compile_detections(documents)
    events = recorded_events()
    oracle = SqliteOracle(events, {field for plan in compiled.plans for field in fields_of(plan.expression)})
    detector = Detector(compiled.plans, routed=False)
    ours: dict[str, set[int]] = {plan.id: set() for plan in compiled.plans}
    for number, fields in enumerate(events):
        for index in detector.match(fields):
            ours[compiled.plans[index].id].add(number)
    judged, different = 0, []
    for one in documents:
        theirs = oracle.matches(parse_rule(one)) if one.id in ours else None
        if theirs is not None:
            judged += 1
            if theirs != ours[one.id]:
                different.append((one.path.name, sorted(theirs ^ ours[one.id])[:5]))
    assert not different
    assert judged > 0.9 * len(documents)
    assert any(ours.values())


# What SQLite cannot judge is left out here and has its own tables: null beside absent, arrays, numbers written as text,
# letters beyond ASCII (test_values.py).
TEXTS = ["", "a", "A", "ab", "aB c", "b", "10.1.2.3", "x-y", " -a", " /a", "*", "a?b", "50%_", "c:\\a"]
NUMBERS = [-1, 0, 1, 1.5, 2, 10]
MOMENTS = ["2026-04-17T23:59:53Z", "2026-01-01 00:00:00", "2024-02-29T12:30:00.123Z", "soon"]
TEXT_MODIFIERS = ["cased", "cased|contains", "startswith|cased", "cased|endswith", "windash", "contains|windash", "neq"]

texts = st.sampled_from(TEXTS)
numbers = st.sampled_from(NUMBERS)
values: dict[str, st.SearchStrategy[Value]] = {
    "f": texts,
    "g": texts,
    "n": numbers,
    "t": st.sampled_from(MOMENTS),
}
events: st.SearchStrategy[list[Fields]] = st.lists(st.fixed_dictionaries({}, optional=values), min_size=1, max_size=8)


def items(field: str, modifiers: list[str], entries: list[str] | list[float] | list[bool]) -> st.SearchStrategy[str]:
    """One line of a selection: field, modifiers, and one value or two."""
    listed = st.lists(st.sampled_from(entries), min_size=1, max_size=2)
    return st.builds(
        lambda modifier, found: f"{field}{modifier and '|' + modifier}: {json.dumps(found if found[1:] else found[0])}",
        st.sampled_from(modifiers),
        listed,
    )


bodies = st.one_of(
    items("f", ["", "contains", "startswith", "endswith", "contains|all", "neq|contains", *TEXT_MODIFIERS], TEXTS),
    items("f", ["re", "re|all"], ["a", "^a$", "[0-9]", "^$"]),
    items("f", ["fieldref", "fieldref|startswith", "fieldref|endswith", "fieldref|contains", "fieldref|neq"], ["g"]),
    items("n", ["", "gt", "gte", "lt", "lte", "neq"], NUMBERS),
    items("t", ["minute", "hour", "day", "month", "year"], [0, 1, 2, 12, 23, 2026]),
    st.sampled_from(["f|exists: true", "f|exists: false", "f: null", "n: null"]),
)
conditions = st.sampled_from(
    ["s1", "not s1", "s1 and not s2", "not (s1 or s2)", "1 of s*", "all of them", "not 1 of s*"]
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(first=bodies, second=bodies, condition=conditions, stream=events)
def test_sqlite_agrees_on_random_rules(first: str, second: str, condition: str, stream: list[Fields]) -> None:
    text = f"s1:\n  {first}\ns2:\n  {second}\ncondition: {condition}"
    theirs = SqliteOracle(stream, list(values)).matches(parse_rule(document(text)))
    detector = Detector([plan(text)], routed=False)
    assert {number for number, fields in enumerate(stream) if detector.match(fields)} == theirs
