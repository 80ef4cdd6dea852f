from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.correlate.identity import digest, stable_number
from pipeline.correlate.values import MAX_TEXT, canonical_text, fan_out, fixed_point
from schemas.event import Value


@pytest.mark.parametrize("same", [(5, "5", 5.0), (True, "TRUE"), ("É", "é"), ("MASSE", "masse"), (0.5, "0.5")])
def test_spellings_of_one_value_are_one_group(same: tuple[Value, ...]) -> None:
    assert len({canonical_text(value) for value in same if not isinstance(value, tuple)}) == 1


@pytest.mark.parametrize("value", [None, "", "-", (), ("", None)])
def test_a_missing_value_is_no_group(value: Value) -> None:
    assert fan_out([value, "here"]) is None


def test_huge_texts_stay_apart_and_become_short() -> None:
    first, second = canonical_text("x" * 100_000 + "1"), canonical_text("x" * 100_000 + "2")
    assert first != second
    assert first is not None
    assert len(first) <= MAX_TEXT


def test_arrays_fan_out_and_what_is_over_the_cap_is_counted() -> None:
    fanned = fan_out([tuple(range(100)), ("a", "b", "c", "A")])
    assert fanned is not None
    assert len(fanned.combinations) == 64
    assert fanned.excess == 300 - 64


@given(st.permutations([str(number) for number in range(50)]))
def test_the_cap_keeps_the_same_values_whatever_their_order(values: list[str]) -> None:
    assert fan_out([tuple(values)]) == fan_out([tuple(sorted(values))])


def test_without_group_by_there_is_one_group() -> None:
    fanned = fan_out([])
    assert fanned is not None
    assert fanned.combinations == [()]


@pytest.mark.parametrize(
    ("value", "millionths"),
    [
        (3, 3_000_000),
        (0.29, 290_000),
        (1e-7, 0),
        ("0.29", 290_000),
        (" 12 ", 12_000_000),
        ("1e3", 1_000_000_000),
        (-2.5, -2_500_000),
        (True, None),
        ("", None),
        ("1,5", None),
        ("0x10", None),
        ("1_000", None),
        ("\u0663", None),
        ("inf", None),
        (math.inf, None),
        (math.nan, None),
        (10**13, None),
        (1e300, None),
        ("9" * 5_000, None),
    ],
)
def test_numbers_are_whole_millionths_and_nothing_else_is_a_number(value: Value, millionths: int | None) -> None:
    assert not isinstance(value, tuple)
    assert fixed_point(value) == millionths


@given(st.lists(st.one_of(st.text(), st.integers())), st.lists(st.one_of(st.text(), st.integers())))
def test_different_parts_have_different_digests(left: list[str | int], right: list[str | int]) -> None:
    assert (digest(*left, size=16) == digest(*right, size=16)) == (
        [(type(part), part) for part in left] == [(type(part), part) for part in right]
    )


def test_hashes_are_the_same_in_every_process() -> None:
    assert stable_number("events", "kestrel-bank", 5) == 12529713795150143452


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_can_be_hashed(text: str) -> None:
    assert stable_number(text, bits=63) < 1 << 63
