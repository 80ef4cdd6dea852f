from __future__ import annotations

import os

from hypothesis import given, settings

from pipeline.detect.evaluate import Detector
from pipeline.detect.explain import MAX_SHOWN, Explanation, explain, lines_of
from pipeline.detect.plan import DetectionPlan
from schemas.event import Fields
from schemas.logsource import PRODUCT
from tests.pipeline.detect.random_rules import events, plans
from tests.pipeline.detect.samples import plan

EXAMPLES = int(os.environ.get("JSOC_EXAMPLES", "150"))


@settings(max_examples=EXAMPLES, deadline=None)
@given(rule=plans, fields=events)
def test_an_explanation_cannot_disagree_with_a_match(rule: DetectionPlan, fields: Fields) -> None:
    assert explain(rule, fields).matched is (Detector([rule]).match(fields) == (0,))
    assert explain(rule, fields, routed=False).matched is (Detector([rule], routed=False).match(fields) == (0,))


def leaf(explanation: Explanation, what: str) -> Explanation:
    found = [part for part in walk(explanation) if part.what == what]
    assert len(found) == 1, f"{what!r} is not one of {[part.what for part in walk(explanation)]}"
    return found[0]


def walk(explanation: Explanation) -> list[Explanation]:
    return [explanation, *(one for part in explanation.parts for one in walk(part))]


def test_every_part_tells_what_was_found_and_why() -> None:
    rule = plan(
        """\
        sel: {name|endswith: cmd.exe, code: 5, user|cased: Bob, gone: x, nothing: y, list: z}
        filter: {name|startswith: 'C:'}
        condition: sel and not filter
        """
    )
    event: Fields = {"name": "C:\\cmd.exe", "code": "five", "user": "bob", "nothing": None, "list": ()}
    found = explain(rule, event | {PRODUCT: "linux"})
    assert not found.matched
    assert leaf(found, 'name endswith "cmd.exe"').actual == "C:\\cmd.exe"
    assert leaf(found, "code == 5").reason == "not a number"
    assert leaf(found, 'user equals "Bob", case-sensitive').reason == "only the case differs"
    assert leaf(found, 'gone equals "x"').reason == "the field is absent"
    assert leaf(found, 'nothing equals "y"').reason == "null"
    assert leaf(found, 'list equals "z"').reason == "an empty array"
    assert leaf(found, "product is windows").reason == "the event's product: linux"
    assert not leaf(found, "not").matched
    assert leaf(found, "filter").matched


def test_words_for_every_kind_of_leaf() -> None:
    rule = plan(
        """\
        s1: {a|re|i: x, b|cidr: 10.0.0.0/8, c|fieldref: d, e|hour|gte: 22, f|exists: true, g: null, h: true, i|gt: 5}
        s2: [word]
        condition: s1 or s2
        """
    )
    told = {part.what for part in walk(explain(rule, {}))}
    assert told >= {
        "a matches /x/i",
        "b in 10.0.0.0/8",
        "c equals the field d",
        "hour of e >= 22",
        "f exists",
        "g is null or absent",
        "h is true",
        "i > 5",
        'any value contains "word"',
    }


def test_lines_are_indented_verdicts_and_long_lists_are_cut() -> None:
    names = ", ".join(f"n{number}" for number in range(100))
    lines = list(lines_of(explain(plan(f"sel: {{a: [{names}]}}\ncondition: sel"), {"a": "n99", PRODUCT: "windows"})))
    assert lines[0] == "PASS A sample (11111111-1111-4111-8111-111111111111)"
    assert """PASS       a equals "n99"  ['n99']""" in lines
    assert lines[-1] == f"FAIL       ... and {100 - MAX_SHOWN} more"
    assert len(lines) < 25
