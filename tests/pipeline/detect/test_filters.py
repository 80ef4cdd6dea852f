from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.detect.compile import Compiled, compile_detections
from pipeline.detect.load import documents_in
from pipeline.detect.plan import fields_of
from tests.pipeline.detect.samples import verdict

RULES = """\
title: One
id: 00000001-0000-4000-8000-000000000000
name: one
logsource: {product: windows, category: process_creation}
detection: {sel: {a: x}, condition: sel}
---
title: Two
id: 00000002-0000-4000-8000-000000000000
logsource: {product: linux}
detection: {sel: {a: x}, condition: sel}
"""


FILTER = """\
title: Ours
id: 00000009-0000-4000-8000-000000000000
logsource: {logsource}
filter:
  rules: {rules}
  known: {{user: backup}}
  known_too: {{user: scanner}}
  condition: {condition}
"""


def compiled(rules: str, logsource: str = "{product: windows}", condition: str = "not known") -> Compiled:
    text = FILTER.format(rules=rules, logsource=logsource, condition=condition)
    return compile_detections([*documents_in(RULES, Path("rules.yml")), *documents_in(text, Path("filter.yml"))])


@pytest.mark.parametrize(
    "rules", ["[one]", "one", "[00000001-0000-4000-8000-000000000000]", "[00000001-0000-4000-8000-000000000000, one]"]
)
def test_a_filter_takes_away_what_it_knows_from_the_rules_it_names(rules: str) -> None:
    one, two = compiled(rules).plans
    assert verdict(one, {"a": "x", "user": "alice"})
    assert not verdict(one, {"a": "x", "user": "backup"})
    assert verdict(two, {"a": "x", "user": "backup"})
    assert (one.filters, two.filters) == (("00000009-0000-4000-8000-000000000000",), ())


def test_any_reaches_every_rule_within_the_log_source() -> None:
    one, two = compiled("any").plans
    assert not verdict(one, {"a": "x", "user": "backup"})
    assert verdict(two, {"a": "x", "user": "backup"})


def test_a_filter_on_several_rules_has_its_fields_mapped_once() -> None:
    text = FILTER.format(rules="any", logsource="{product: windows}", condition="not known").replace("user:", "User:")
    rules = RULES.replace("a: x", "Image: x")
    second = rules.replace("0001", "0003").replace("0002", "0004").replace("name: one", "name: three")
    documents = [*documents_in(rules, Path("rules.yml")), *documents_in(second, Path("more.yml"))]
    found = compile_detections([*documents, *documents_in(text, Path("filter.yml"))], taxonomy="ecs").plans
    assert [len(plan.filters) for plan in found] == [1, 0, 1, 0]
    assert fields_of(found[0].expression) == fields_of(found[2].expression)
    assert "process.executable" in fields_of(found[0].expression)


@pytest.mark.parametrize("condition", ["not 1 of known*", "not 1 of them", "not (known or known_too)"])
def test_a_filters_condition_sees_its_own_selections(condition: str) -> None:
    one, _ = compiled("[one]", condition=condition).plans
    assert not verdict(one, {"a": "x", "user": "scanner"})
    assert verdict(one, {"a": "x"})


def test_a_filter_is_anded_as_written() -> None:
    one, _ = compiled("[one]", condition="known").plans
    assert verdict(one, {"a": "x", "user": "backup"})
    assert not verdict(one, {"a": "x", "user": "alice"})


def test_filters_give_the_same_plans_every_time() -> None:
    assert compiled("any") == compiled("any")


@pytest.mark.parametrize(
    ("rules", "logsource", "where", "told"),
    [
        ("[three]", "{product: windows}", "filter.yml:5", "a rule that is not here"),
        ("[one]", "{product: linux}", "filter.yml:5", "the filter is for product=linux"),
        ("[]", "{product: windows}", "filter.yml:5", "must say which rules"),
        ("[5]", "{product: windows}", "filter.yml:5", "must say which rules"),
        ("{a: b}", "{product: windows}", "filter.yml:5", "must say which rules"),
        ("[one]", "{}", "filter.yml:3", "empty"),
    ],
)
def test_a_filter_that_would_not_apply_is_refused(rules: str, logsource: str, where: str, told: str) -> None:
    result = compiled(rules, logsource)
    assert len(result.plans) == 2
    assert [problem.where for problem in result.problems] == [where]
    assert told in str(result.problems[0])


def test_a_filter_without_rules_is_refused() -> None:
    text = "title: F\nlogsource: {product: x}\nfilter: {known: {a: b}, condition: known}\n"
    result = compile_detections(list(documents_in(text, Path("f.yml"))))
    assert "must say which rules" in str(result.problems[0])
