"""What a value is: text, number, truth, null, array, keyword. Every row is a decision in docs/sigma-conformance.md."""

from __future__ import annotations

import math

import pytest

from schemas.event import Fields, Scalar, flatten
from tests.pipeline.detect.samples import plan, selection, verdict


@pytest.mark.parametrize(
    ("body", "value", "expected"),
    [
        # a number in the rule
        ("f: 4625", 4625, True),
        ("f: 4625", 4625.0, True),
        ("f: 4625", "4625", True),
        ("f: 4625", "04625", True),
        ("f: 4625", "4625.0", True),
        ("f: 4625", " 4625", False),
        ("f: 4625", "0x1211", False),
        ("f: 1.5", "1.50", True),
        ("f: 1.5", 1.5, True),
        ("f: 9007199254740993", 9007199254740993, True),
        ("f: 9007199254740993", 9007199254740992, False),
        ("f: 18446744073709551615", "18446744073709551615", True),
        ("f: 99999999999999999999", 99999999999999999999.0, True),
        ("f: 99999999999999999999", "99999999999999999999", True),
        ("f: 1", True, False),
        ("f: 0", False, False),
        ("f: 1", "true", False),
        ("f: 5", math.nan, False),
        ("f: 5", "\u0665", False),
        # text in the rule
        ("f: '4625'", 4625, True),
        ("f: '4625'", 4625.0, True),
        ("f: '04625'", 4625, False),
        ("f: '1'", True, False),
        ("f: 'true'", True, True),
        ("f: 'FALSE'", False, True),
        ("f|contains: '62'", 4625, True),
        ("f|startswith: '0.'", 0.5, True),
        ("f|re: '^4'", 4625, True),
        # true and false in the rule
        ("f: true", True, True),
        ("f: true", "True", True),
        ("f: true", 1, False),
        ("f: true", 1.0, False),
        ("f: true", "1", False),
        ("f: false", False, True),
        ("f: false", "false", True),
        ("f: false", 0, False),
        ("f: false", None, False),
        ("f: true", False, False),
        # case folding is Unicode's
        ("f: straße", "STRASSE", True),
        ("f: ÉCOLE", "école", True),
        ("f: kilo", "\u212aILO", True),
        ("f: σίσυφος", "ΣΊΣΥΦΟΣ", True),
        ("f|contains: ЖЩ", "xжщx", True),
        ("f|cased: é", "É", False),
        # beyond UTF-8 and beyond numbers
        ("f|contains: a", "\ud800a", True),
        ("f|re: 'a$'", "\ud800a", True),
        ("f|re: '^.a'", "\ud800a", True),
        ("f: '?a*c'", "\ud800a\udfffc", True),
        ("f|contains: inf", math.inf, True),
        ("f|gt: 5", math.inf, True),
    ],
)
def test_values_are_compared_by_what_they_mean(body: str, value: object, expected: bool) -> None:
    assert verdict(selection(body), {"f": value}) is expected  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("body", "value", "expected"),
    [
        ("f: b", ("a", "B"), True),
        ("f: c", ("a", "b"), False),
        ("f|neq: a", ("a", "b"), False),
        ("f|contains|all: [a, b]", ("xa", "xb"), True),
        ("f: 2", (1, "2"), True),
        ("f: 1", (True,), False),
        ("f: null", ("a", None), True),
        ("f: null", ("a",), False),
        ("f: null", (), True),
        ("f|exists: true", (), True),
        ("f: '*'", (), False),
        ("f|cidr: 10.0.0.0/8", ("x", "10.0.0.1"), True),
        ("f|gt: 5", (1, 9), True),
        ("f|hour: 5", ("2026-01-01T04:00:00Z", "2026-01-01T05:00:00Z"), True),
        ("f: true", ("x", True), True),
        ("f|re: '^b'", ("a", "b"), True),
    ],
)
def test_an_array_matches_if_any_of_its_elements_does(body: str, value: object, expected: bool) -> None:
    assert verdict(selection(body), {"f": value}) is expected  # type: ignore[dict-item]


def test_an_integer_too_long_to_print_is_a_number_and_infinity_as_text() -> None:
    assert verdict(selection("f|gt: 5"), {"f": 10**5000})
    assert verdict(selection("f: inf"), {"f": 10**5000})
    assert verdict(selection("f: '-inf'"), {"f": -(10**5000)})


def test_an_object_exists_if_one_of_its_fields_does() -> None:
    assert verdict(selection("process|exists: true"), {"process.name": "x"})
    assert not verdict(selection("process: null"), {"process.name": "x"})
    assert not verdict(selection("process|exists: true"), {"processor.name": "x"})


def test_field_names_are_case_sensitive() -> None:
    assert not verdict(selection("Image: a"), {"image": "a"})


@pytest.mark.parametrize(
    ("detection", "fields", "expected"),
    [
        ("k: [foo, bar]\ncondition: k", {"message": "a FOO b"}, True),
        ("k: foo\ncondition: k", {"x": "y", "deep.er": ("a", "foo")}, True),
        ("k: [foo]\ncondition: k", {"x": "fo o"}, False),
        ("k: ['fo*ar']\ncondition: k", {"x": "a foo and a bar."}, True),
        ("k: ['fo*ar']\ncondition: k", {"x": "foo", "y": "bar"}, False),
        ("k: {'|all': [foo, bar]}\ncondition: k", {"x": "foo", "y": "bar"}, True),
        ("k: {'|all': [foo, bar]}\ncondition: k", {"x": "foo"}, False),
        ("k: {'|contains': foo}\ncondition: k", {"x": "a foo b"}, True),
        ("k: {'|startswith': foo}\ncondition: k", {"x": "foo b"}, True),
        ("k: {'|startswith': foo}\ncondition: k", {"x": "a foo b"}, False),
        ("k: {'|cased': Foo}\ncondition: k", {"x": "a foo b"}, False),
        ("k: {'|re': 'fo+$'}\ncondition: k", {"x": "a", "y": "fooo"}, True),
        ("k: {'|cidr': 10.0.0.0/8}\ncondition: k", {"x": "a", "y": "10.2.3.4"}, True),
        ("k: 4625\ncondition: k", {"code": 4625}, True),
        ("k: [1102, foo]\ncondition: k", {"code": "x1102"}, True),
        ("k: foo\ncondition: k", {"foo": "bar"}, False),
        ("k: foo\ncondition: not k", {}, True),
        ("k: linux\ncondition: k", {"jointsoc.logsource.product": "linux", "organization.id": "linux"}, False),
    ],
)
def test_keywords_are_looked_for_in_every_value_of_the_log(detection: str, fields: Fields, expected: bool) -> None:
    assert verdict(plan(detection), fields) is expected


@pytest.mark.parametrize(
    ("detection", "fields", "expected"),
    [
        ("s: {a: x, b: y}\ncondition: s", {"a": "x", "b": "y"}, True),
        ("s: {a: x, b: y}\ncondition: s", {"a": "x"}, False),
        ("s:\n  - {a: x, b: y}\n  - {c: z}\ncondition: s", {"c": "z"}, True),
        ("s:\n  - {a: x, b: y}\n  - {c: z}\ncondition: s", {"a": "x"}, False),
        ("s:\n  - {a: x}\n  - foo\ncondition: s", {"m": "a foo"}, True),
        ("s: {a: x}\nf: {b: y}\ncondition: s and not f", {"a": "x"}, True),
        ("s: {a: x}\nf: {b: y}\ncondition: s and not f", {"a": "x", "b": "y"}, False),
        ("s: {a: x}\nt: {a: y}\ncondition: [s, t]", {"a": "y"}, True),
        ("s: {a: x}\nt: {a: y}\ncondition: [s, t]", {"a": "z"}, False),
        ("s: {a: [x, null]}\ncondition: s", {}, True),
        ("s: {a: ['', null]}\ncondition: s", {"a": ""}, True),
    ],
)
def test_maps_are_and_lists_are_or(detection: str, fields: Fields, expected: bool) -> None:
    assert verdict(plan(detection), fields) is expected


def matched(body: str, *values: Scalar) -> list[Scalar]:
    """Those of the values that a selection over the field f is true of."""
    subject = selection(body)
    return [value for value in values if verdict(subject, {"f": value})]


@pytest.mark.parametrize(
    ("body", "matching", "other"),
    [
        ("f: 0x1010", ["0x1010", 4112, "4112"], ["1010", None]),
        ("f: 010", ["010", 8], [10, "10"]),
        ("f: no", ["no", "NO", False, "false"], [0, True, "yes"]),
        ("f: [x, 12:34:56]", ["12:34:56", 45296, "X"], ["12:34"]),
        ("f: 1_000", ["1_000", 1000], []),
        ("f: 2026-11-27", ["2026-11-27"], [20261127]),
        ("f|neq: 0x10", ["a", 17], ["0x10", 16]),
        ("f|contains: 0x10", ["a 0x10 b"], [16, "16"]),
        ("f|gt: 0x10", [17], [16]),
    ],
)
def test_a_value_that_yaml_reads_otherwise_counts_both_ways(
    body: str, matching: list[Scalar], other: list[Scalar]
) -> None:
    assert matched(body, *matching, *other) == matching


@pytest.mark.parametrize(
    ("body", "matching", "other"),
    [
        ("f|contains: 5", ["x5y", 1524], [4, "x"]),
        ("f|contains|all: [5, a, 0.50]", ["a 0.50"], ["a 0.5", "5a"]),
        ("f|startswith: 46", [4625, "46"], ["146"]),
        ("f|endswith: true", [True, "so true"], ["true."]),
        ("f|re: 5", ["x5"], ["x"]),
        ("f|cased: 5", [5, "5"], ["55"]),
        ("f|base64: 12", ["MTI="], [12]),
    ],
)
def test_numbers_and_booleans_are_texts_where_a_modifier_takes_text(
    body: str, matching: list[Scalar], other: list[Scalar]
) -> None:
    assert matched(body, *matching, *other) == matching


@pytest.mark.parametrize(
    ("keyword", "text"), [("no", "no way"), ("0x10", "at 0x10."), ("4711", "id 4711"), ("1.50", "1.50")]
)
def test_a_bare_keyword_is_the_text_that_is_written(keyword: str, text: str) -> None:
    found = plan(f"sel: [{keyword}]\ncondition: sel")
    assert verdict(found, {"f": text})
    assert not verdict(found, {"f": "false 16 1.5"})


def test_an_empty_object_is_there_and_holds_nothing() -> None:
    assert verdict(selection("a.b|exists: true"), flatten({"a": {"b": {}}}))
    assert verdict(selection("a.b: null"), flatten({"a": {"b": {}}}))
    assert not verdict(selection("a.b|exists: true"), flatten({"a": {"c": {}}}))
