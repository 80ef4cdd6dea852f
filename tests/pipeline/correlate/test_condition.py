from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.correlate.condition import condition_names, parse_condition
from pipeline.correlate.correlation import Clause
from schemas.errors import RuleError

NAMES = ["a", "b", "c"]


def _expressions() -> st.SearchStrategy[str]:
    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        pairs = st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map("".join)
        return st.one_of(pairs, inner.map(lambda text: f"({text})"), inner.map(lambda text: f"not ({text})"))

    return st.recursive(st.sampled_from(NAMES), grow, max_leaves=6)


@settings(deadline=None, max_examples=150)
@given(_expressions())
def test_clauses_mean_what_the_expression_means(text: str) -> None:
    try:
        clauses = parse_condition(text, NAMES, "here")
    except RuleError:
        return
    for truths in product([False, True], repeat=3):
        meant = eval(text, {}, dict(zip(NAMES, truths, strict=True)))
        held = any(
            all(truths[i] for i in clause.present) and not any(truths[i] for i in clause.absent) for clause in clauses
        )
        assert held == meant


def test_not_binds_tighter_than_and_and_that_tighter_than_or() -> None:
    assert parse_condition("a or not b and c", NAMES, "here") == (Clause((0,)), Clause((2,), (1,)))


def test_a_redundant_conjunction_is_left_out_unless_it_waits_for_an_absence() -> None:
    assert parse_condition("a or (a and b)", NAMES, "here") == (Clause((0,)),)
    assert parse_condition("a or (a and not b)", NAMES, "here") == (Clause((0,)), Clause((0,), (1,)))


def test_names_come_in_order_of_appearance() -> None:
    assert condition_names("c and (a or not c) and login-1.x", "here") == ["c", "a", "login-1.x"]


@pytest.mark.parametrize("text", ["a " * 200, "(" * 200, " and ".join(f"(a{n} or b{n})" for n in range(12))])
def test_a_condition_that_would_explode_is_refused(text: str) -> None:
    with pytest.raises(RuleError):
        parse_condition(text, [*condition_names(text[:200], "here"), *(f"a{n}" for n in range(12))], "here")
