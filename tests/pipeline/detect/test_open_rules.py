"""What is left of a rule: the same object wherever the same is left, so that verdicts are shared."""

from __future__ import annotations

from pipeline.detect.formula import LATE, Atoms, compile_formula
from pipeline.detect.memos import Memory
from pipeline.detect.open_rules import OpenRule
from pipeline.detect.plan import AllOf, AnyOf, Expression, Not, Null, Text
from pipeline.detect.tables import Tables

NONE: frozenset[str] = frozenset()


def an_open_rule(expression: Expression) -> OpenRule:
    atoms = Atoms()
    formula = atoms.formula(expression)
    rule = OpenRule(7, formula, Tables(atoms))
    rule.begin(Memory(10**6, lambda: None), {})
    return rule


def has(field: str | None, text: str) -> Text:
    return Text(field, "contains", text)


def test_the_same_is_left_whichever_fields_are_absent() -> None:
    rule = an_open_rule(AllOf((AnyOf((has("a", "x"), has("b", "x"), has("c", "x"))), Not(has("d", "y")))))
    without_b = rule.left(frozenset("ad"), NONE, quiet=True)
    assert without_b is rule.left(frozenset("ad"), frozenset("e"), quiet=False)
    assert isinstance(without_b, OpenRule)
    assert without_b.fields == frozenset("ad")
    assert without_b.left(frozenset("a"), NONE, quiet=True) is rule.left(frozenset("a"), NONE, quiet=True)
    assert rule.left(frozenset("d"), NONE, quiet=True) is False


def test_an_absent_field_is_null_and_an_object_is_not() -> None:
    rule = an_open_rule(AllOf((Null("a"), has("b", "x"))))
    left = rule.left(frozenset("b"), NONE, quiet=True)
    assert isinstance(left, OpenRule)
    assert compile_formula(left.formula)(frozenset({1}))
    assert rule.left(frozenset("b"), frozenset("a"), quiet=True) is False


def test_without_keywords_in_the_event_no_keyword_is_open() -> None:
    rule = an_open_rule(AnyOf((has(None, "k"), has("a", "x"))))
    assert rule.left(frozenset("a"), NONE, quiet=False) is rule
    quiet = rule.left(frozenset("a"), NONE, quiet=True)
    assert isinstance(quiet, OpenRule)
    assert quiet.tests(LATE).holds is not None


def test_what_only_the_unknown_tells_has_no_witness() -> None:
    rule = an_open_rule(AllOf((has("a", "x"), has("b", "longer"))))
    assert rule.witnesses(frozenset("a"))[1] == {1}
    assert rule.witnesses(frozenset("ab"))[1] == frozenset()
    tests = rule.tests(frozenset({"a", "z"}))
    assert tests.holds is None
    assert tests.may_hold is not None
    assert not tests.may_hold(frozenset({0}))
    assert isinstance(rule.open(frozenset({1}), tests.unknown), OpenRule)
    assert rule.open(frozenset({1}), tests.unknown) is rule.open(frozenset({1}), tests.unknown)
