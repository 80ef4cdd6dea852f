from __future__ import annotations

from itertools import product

import pytest

from pipeline.detect.condition import parse_condition
from pipeline.detect.plain import compile_test
from pipeline.detect.plan import Exists, Expression
from pipeline.detect.view import EventView
from schemas.errors import RuleError

NAMES = ("a", "b", "c", "sel_1", "sel_2", "_hidden", "notepad", "order", "android", "sel-dash", "sel.dot")
SELECTIONS: dict[str, Expression] = {name: Exists(name) for name in NAMES}


def holds(text: str, *true: str) -> bool:
    expression = parse_condition(text, SELECTIONS, "rule.yml:9")
    return compile_test(expression)(EventView(dict.fromkeys(true, "x")))


@pytest.mark.parametrize(
    "true",
    [set(names) for names in product(["a", ""], ["b", ""], ["c", ""])],
    ids=lambda names: "+".join(sorted(names)) or "none",
)
@pytest.mark.parametrize(
    "text",
    [
        "a or b and c",
        "a and b or c",
        "not a and b",
        "not a or b",
        "not (a or b) and c",
        "a and not b and not c",
        "(a or b) and (b or c)",
        "not not a",
        "not not not a",
        "((a))",
        "a and(b or c)",
    ],
)
def test_precedence_is_pythons(text: str, true: set[str]) -> None:
    expected = eval(text, {}, {name: name in true for name in "abc"})
    assert holds(text, *true) is expected


@pytest.mark.parametrize(
    ("text", "true", "expected"),
    [
        ("1 of sel_*", ["sel_2"], True),
        ("1 of sel_*", ["a"], False),
        ("any of sel_*", ["sel_1"], True),
        ("all of sel_*", ["sel_1"], False),
        ("all of sel_*", ["sel_1", "sel_2"], True),
        ("1 of *_1", ["sel_1"], True),
        ("1 of s*_2", ["sel_2"], True),
        ("1 of sel_1", ["sel_1"], True),
        ("not 1 of sel_*", [], True),
        ("not 1 of sel_*", ["sel_1"], False),
        ("not all of sel_*", ["sel_1"], True),
        ("1 of sel-*", ["sel-dash"], True),
        ("1 of them", ["_hidden"], False),
        ("1 of _*", ["_hidden"], True),
        ("all of them", [name for name in NAMES if name != "_hidden"], True),
        ("a and not 1 of sel_*", ["a"], True),
        ("1 of sel_* and a or b", ["b"], True),
        ("sel.dot", ["sel.dot"], True),
        ("a AND NOT b", ["a"], True),
        ("NOT a Or b", ["a"], False),
        ("1 OF sel_*", ["sel_1"], True),
        ("ALL OF THEM", ["a"], False),
    ],
)
def test_quantifiers_choose_selections_by_pattern(text: str, true: list[str], expected: bool) -> None:
    assert holds(text, *true) is expected


@pytest.mark.parametrize("name", ["notepad", "order", "android"])
def test_a_name_may_begin_with_an_operator(name: str) -> None:
    assert holds(f"not {name}")
    assert holds(f"a and {name}", "a", name)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("missing", "`missing` is not defined"),
        ("a and", "nothing to test before the end"),
        ("and a", "nothing to test before `and`"),
        ("a b", "unexpected `b`"),
        ("a or or b", "nothing to test before `or`"),
        ("(a", "not closed"),
        ("a)", "unexpected `\\)`"),
        ("()", "nothing to test"),
        ("not", "nothing to test"),
        ("a Xor b", "unexpected `Xor`"),
        ("1 of nothing_*", "selects nothing"),
        ("all of nothing_*", "selects nothing"),
        ("1 of", "`1 of` what"),
        ("2 of sel_*", "unknown quantifier"),
        ("a | count() > 5", "write a correlation"),
        ("1 of sel_?", "selects nothing"),
        ("(" * 60 + "a" + ")" * 60, "nested too deeply"),
    ],
)
def test_a_condition_that_says_nothing_clear_is_refused_at_its_line(text: str, told: str) -> None:
    with pytest.raises(RuleError, match=told) as caught:
        parse_condition(text, SELECTIONS, "rule.yml:9")
    assert caught.value.where == "rule.yml:9"


def test_a_thousand_negations_do_not_exhaust_the_stack() -> None:
    assert holds("not " * 1000 + "a", "a")
    assert holds(" or ".join(["b"] * 5000 + ["a"]), "a")
