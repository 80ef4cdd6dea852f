from __future__ import annotations

import pytest
from hypothesis import given, settings

from pipeline.detect.compile import compile_detection
from pipeline.detect.coverage import Feed, Verdict, cover_rule, cover_rules, learn_feeds
from pipeline.detect.plain import compile_test
from pipeline.detect.plan import DetectionPlan
from pipeline.detect.view import EventView
from schemas.event import Fields
from tests.pipeline.detect.random_rules import events, plans
from tests.pipeline.detect.samples import document, plan

WINDOWS = (frozenset({"windows"}), frozenset({"process_creation"}), frozenset({"sysmon"}))


def feed(*fields: str) -> Feed:
    return Feed("windows.sysmon", WINDOWS, frozenset(fields))


@pytest.mark.parametrize(
    ("detection", "fields", "verdict", "missing", "needed"),
    [
        ("sel: {a: 1, b: 2}\ncondition: sel", "a b", Verdict.FULL, "", ""),
        ("sel: {a: 1, b: 2}\ncondition: sel", "a", Verdict.NEVER, "b", "b"),
        ("sel: {a: 1}\nf: {b: 2}\ncondition: sel and not f", "a", Verdict.PARTIAL, "b", ""),
        ("sel: {a: 1}\nalt: {b: 2}\ncondition: sel or alt", "a", Verdict.PARTIAL, "b", ""),
        ("sel: {a: 1, b: 2}\nalt: {c: 3}\ncondition: sel or alt", "a", Verdict.NEVER, "b c", "c"),
        ("sel: {b: 1}\ncondition: not sel", "a", Verdict.ALWAYS, "b", ""),
        ("sel: {b: null}\ncondition: sel", "a", Verdict.ALWAYS, "b", ""),
        ("sel: {a: 1, b: null}\ncondition: sel", "a", Verdict.PARTIAL, "b", ""),
        ("sel: {b|exists: false, a: 1}\ncondition: sel", "a", Verdict.PARTIAL, "b", ""),
        ("sel: {a|exists: true}\ncondition: sel", "a.b", Verdict.FULL, "", ""),
        ("sel: {a: null}\ncondition: sel", "a.b", Verdict.FULL, "", ""),
        ("sel: {a|fieldref: b}\ncondition: sel", "a", Verdict.NEVER, "b", "b"),
        ("sel: [{a: 1}, {b: 1}]\ncondition: sel", "a", Verdict.FULL, "", ""),
        ("sel: [{a: 1}, {b: 1}]\ncondition: sel", "c", Verdict.NEVER, "a b", "b"),
        ("sel: {a: 1, b: 1}\ncondition: sel", "a", Verdict.NEVER, "b", "b"),
        ("sel: {a: null, b: null}\ncondition: sel", "a", Verdict.FULL, "", ""),
        ("sel: [word]\ncondition: sel", "a", Verdict.FULL, "", ""),
        ("sel: {a: 1}\ncondition: sel and not sel", "", Verdict.NEVER, "a", "a"),
    ],
)
def test_a_rule_can_fire_on_the_fields_that_come(
    detection: str, fields: str, verdict: Verdict, missing: str, needed: str
) -> None:
    found = cover_rule(plan(detection), feed(*fields.split()))
    assert (found.verdict, found.missing, found.needed) == (verdict, tuple(missing.split()), tuple(needed.split()))


@settings(deadline=None)
@given(rule=plans, event=events)
def test_what_cannot_fire_does_not_and_what_always_does_does(rule: DetectionPlan, event: Fields) -> None:
    names = frozenset(event)
    found = cover_rule(rule, Feed("any", _names_of_rule(rule), names))
    matched = compile_test(rule.expression)(EventView(event))
    assert not (found.verdict is Verdict.NEVER and matched)
    assert not (found.verdict is Verdict.ALWAYS and not matched)
    assert found.verdict is not Verdict.NEVER or set(found.needed) <= set(found.missing)


def _names_of_rule(rule: DetectionPlan) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    product, category, service = (frozenset([name] if name else []) for name in rule.logsource.attributes())
    return product, category, service


def test_the_best_feed_counts_and_other_log_sources_do_not() -> None:
    rule = plan("sel: {a: 1, b: 2}\nf: {c: 1}\ncondition: sel and not f")
    other = Feed("linux", (frozenset({"linux"}), frozenset(), frozenset()), frozenset("abc"))
    [best] = cover_rules([rule], [feed("a"), feed("a", "b"), other])
    assert (best.verdict, best.missing) == (Verdict.PARTIAL, ("c",))
    [elsewhere] = cover_rules([rule], [other])
    assert elsewhere.verdict is Verdict.ELSEWHERE
    assert cover_rules([rule], [])[0].verdict is Verdict.ELSEWHERE


@pytest.mark.parametrize(("fields", "missing"), [(("Image", "x"), ()), (("process.executable", "ecs.version"), ())])
def test_a_rule_of_both_taxonomies_is_judged_by_the_one_of_the_data(fields: tuple[str, ...], missing: object) -> None:
    head = "title: A\nid: 11111111-1111-4111-8111-111111111111\nlogsource: {category: process_creation}\n"
    rule = compile_detection(document("sel: {Image: x}\ncondition: sel", head), {}, "both")
    found = cover_rule(rule, feed(*fields))
    assert (found.verdict, found.missing) == (Verdict.FULL, missing)
    assert cover_rule(rule, feed("CommandLine")).needed == ("Image",)
    assert cover_rule(rule, feed("ecs.version")).needed == ("process.executable",)


def test_feeds_are_learnt_by_data_set_and_log_source() -> None:
    sysmon = {"event.dataset": "windows.sysmon", "winlog.channel": "Microsoft-Windows-Sysmon/Operational"}
    found = learn_feeds(
        [
            {**sysmon, "event.code": "1", "a": 1},
            {**sysmon, "event.code": "1", "b": 1},
            {**sysmon, "event.code": "3", "c": 1},
            {"product": "linux", "service": "auditd"},
            {"x": 1, "jointsoc.logsource.category": "proxy"},
            {"y": 1},
        ]
    )
    assert [(one.dataset, sorted(one.fields & frozenset("abcxy"))) for one in found] == [
        ("linux.auditd", []),
        ("proxy", ["x"]),
        ("unknown", ["y"]),
        ("windows.sysmon", ["c"]),
        ("windows.sysmon", ["a", "b"]),
    ]


def test_the_sample_is_left_as_it_is() -> None:
    event: Fields = {"event.dataset": "nginx.access"}
    learn_feeds([event])
    assert event == {"event.dataset": "nginx.access"}
