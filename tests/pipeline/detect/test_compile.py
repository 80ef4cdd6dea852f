from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pipeline.detect.compile import compile_detections
from pipeline.detect.load import documents_in
from pipeline.detect.plan import DetectionPlan, LogSource, fields_of
from schemas.errors import RuleError
from schemas.rule_document import RuleDocument
from tests.pipeline.detect.samples import HEAD, plan

WHOLE = """\
title: Failed log-in at the portal
id: AAAAAAAA-0000-4000-8000-000000000001
name: portal_login_failed
status: stable
description: Somebody did not get in.
license: Apache-2.0
author: A. Nalyst, B. Nalyst
references: [https://example.org/a]
date: 2026-11-23
tags: [attack.credential-access, attack.t1110.003]
falsepositives: [typing]
level: high
logsource: {product: Portal, category: application, service: audit}
federation: {alert: true}
detection:
  sel: {event.action: login, event.outcome: failure}
  condition: sel
"""


def documents(*texts: str) -> list[RuleDocument]:
    return [one for number, text in enumerate(texts) for one in documents_in(text, Path(f"r{number}.yml"))]


def rule(number: int, detection: str = "{sel: {a: x}, condition: sel}", more: str = "") -> str:
    identity = f"{number:08d}-0000-4000-8000-000000000000"
    return f"title: Rule {number}\nid: {identity}\nlogsource: {{category: c}}\n{more}detection: {detection}\n"


def test_a_plan_keeps_everything_its_author_wrote() -> None:
    [found] = compile_detections(documents(WHOLE)).plans
    assert found == DetectionPlan(
        id="aaaaaaaa-0000-4000-8000-000000000001",
        title="Failed log-in at the portal",
        logsource=LogSource("portal", "application", "audit"),
        expression=found.expression,
        name="portal_login_failed",
        level="high",
        status="stable",
        description="Somebody did not get in.",
        author="A. Nalyst, B. Nalyst",
        license="Apache-2.0",
        references=("https://example.org/a",),
        tags=("attack.credential-access", "attack.t1110.003"),
        falsepositives=("typing",),
        alerts=True,
        source="r0.yml:1",
    )
    assert fields_of(found.expression) == {"event.action", "event.outcome"}


def test_a_rule_without_level_is_medium_and_does_not_alert_by_itself() -> None:
    [found] = compile_detections(documents(rule(1))).plans
    assert (found.level, found.alerts) == ("medium", False)


def test_plans_travel_as_msgpack_unchanged() -> None:
    numbers = f"{{k: {{a: [{10**25}, {2**64 - 1}, {-(2**63)}, 1.5]}}, condition: k}}"
    plans = compile_detections(
        documents(WHOLE, rule(1), rule(2, "{k: [foo, 5], condition: not k}"), rule(3, numbers))
    ).plans
    assert len(plans) == 4
    data = msgspec.msgpack.encode(plans)
    assert msgspec.msgpack.decode(data, type=list[DetectionPlan]) == plans


def test_plans_come_in_the_order_of_their_ids() -> None:
    ids = [found.id[:8] for found in compile_detections(documents(rule(3), rule(1), rule(2))).plans]
    assert ids == ["00000001", "00000002", "00000003"]


def test_one_bad_rule_does_not_hide_the_others() -> None:
    compiled = compile_detections(documents(rule(1), rule(2, "{sel: {a|foo: x}, condition: sel}"), rule(3, "{}")))
    assert [found.title for found in compiled.plans] == ["Rule 1"]
    assert [problem.where for problem in compiled.problems] == ["r1.yml:4", "r2.yml:4"]


def test_an_id_used_twice_is_refused_and_names_the_other_rule() -> None:
    compiled = compile_detections(documents(rule(1), rule(1)))
    assert len(compiled.plans) == 1
    assert str(compiled.problems[0]).startswith("r1.yml:2: this id belongs to another rule (r0.yml:1)")


def test_progress_is_told_after_every_document() -> None:
    told: list[tuple[int, int]] = []
    compile_detections(documents(rule(1), rule(2)), on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("text", "where", "told"),
    [
        (rule(1).replace("title: Rule 1\n", ""), "r0.yml:1", "title"),
        (rule(1, more="level: fatal\n"), "r0.yml:4", "level"),
        (rule(1, more="status: [x]\n"), "r0.yml:4", "status"),
        (rule(1, more="tags: [nodot]\n"), "r0.yml:4", "tag"),
        (rule(1, more="taxonomy: ocsf\n"), "r0.yml:4", "unknown taxonomy"),
        (rule(1, more="federation: yes please\n"), "r0.yml:4", "federation"),
        (rule(1, more="federation: {alert: 1}\n"), "r0.yml:4", "federation"),
        (rule(1, more="federation: {min_organizations: 3}\n"), "r0.yml:4", "federation"),
        (rule(1).replace("00000001-0000", "x y z"), "r0.yml:2", "not an id"),
        (rule(1).replace("id: 00000001-0000-4000-8000-000000000000", "id: 7"), "r0.yml:2", "not an id"),
        (rule(1).replace("{category: c}", "{}"), "r0.yml:3", "empty"),
        (rule(1).replace("{category: c}", "windows"), "r0.yml:3", "needs a log source"),
        (rule(1).replace("{category: c}", "{category: [c]}"), "r0.yml:3", "named by text"),
        (rule(1).replace("logsource: {category: c}\n", ""), "r0.yml:1", "needs a log source"),
        (rule(1, "{sel: {a: x}}"), "r0.yml:4", "a condition must be text"),
        (rule(1, "{sel: {a: x}, condition: []}"), "r0.yml:4", "a condition must be text"),
        (rule(1, "{sel: {a: x}, condition: [sel, 5]}"), "r0.yml:4", "a condition must be text"),
        (rule(1, "{condition: sel}"), "r0.yml:4", "defines no selection"),
        (rule(1, "{sel: {}, condition: sel}"), "r0.yml:4", "must not be empty"),
        (rule(1, "{sel: [], condition: sel}"), "r0.yml:4", "must not be empty"),
        (rule(1, "{sel: , condition: sel}"), "r0.yml:4", "must not be empty"),
        (rule(1, "{sel: [foo, null], condition: sel}"), "r0.yml:4", "must not be empty"),
        (rule(1, "{sel: [{}], condition: sel}"), "r0.yml:4", "must not be empty"),
        (rule(1, "{sel: {a: x}, condition: sel, timeframe: 5m}"), "r0.yml:4", "timeframe"),
        (rule(1, "[sel]"), "r0.yml:4", "must hold selections"),
        (rule(1, "{sel: {a: x}, condition: 'sel | count() > 5'}"), "r0.yml:4", "write a correlation"),
        (rule(1, "{sel: {a: x}, condition: 1 of filter_*}"), "r0.yml:4", "selects nothing"),
    ],
)
def test_a_broken_rule_is_refused_with_file_line_and_reason(text: str, where: str, told: str) -> None:
    compiled = compile_detections(documents(text))
    assert not compiled.plans
    assert compiled.problems[0].where == where
    assert told in str(compiled.problems[0])


def test_the_line_of_a_value_in_a_long_rule_is_told() -> None:
    text = "sel:\n  a: x\n  b|re:\n    - fine\n    - '('\ncondition: sel"
    with pytest.raises(RuleError) as caught:
        plan(text)
    assert caught.value.where == "sample.yml:7"


def test_foreign_text_in_an_error_cannot_steer_a_terminal() -> None:
    with pytest.raises(RuleError) as caught:
        plan('sel: {"a|\\e[31mred": x}\ncondition: sel')
    assert "\x1b" not in str(caught.value)


def test_a_rule_that_names_itself_ecs_is_accepted() -> None:
    assert plan("sel: {a: x}\ncondition: sel", head=HEAD + "taxonomy: ecs\n").title == "A sample"
