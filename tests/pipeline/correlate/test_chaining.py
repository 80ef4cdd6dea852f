"""Correlations of correlations: the laws of a single one hold for all that are built on each other."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.correlate.correlation import Comparison, Correlation, Reference
from pipeline.correlate.project import shard_of
from pipeline.correlate.shard import Shard
from pipeline.correlate.store import DictStore
from schemas.errors import RuleError
from schemas.hit import GroupHit
from tests.pipeline.correlate.naive import naive_alerts
from tests.pipeline.correlate.rule_files import compile_text
from tests.pipeline.correlate.streams import (
    REGISTRY,
    Outcome,
    clauses,
    correlation,
    deliver,
    examples,
    expected,
    hit,
    streams,
)
from tests.pipeline.correlate.test_shard import check_life, settled_documents

GROUPS = REGISTRY.groups()


def _at_least(number: int) -> tuple[Comparison, ...]:
    return (Comparison("gte", number),)


LOWER: dict[str, dict[str, Any]] = {
    "count": {"kind": "event_count", "comparisons": _at_least(2)},
    "count at groups": {"kind": "event_count", "comparisons": _at_least(2), "min_organizations": 2},
    "values": {"kind": "value_count", "values": ("a",), "comparisons": _at_least(2)},
    "ordered": {"kind": "temporal_ordered", "references": 2},
    "few": {"kind": "event_count", "comparisons": (Comparison("lte", 2),)},
    "absence": {"kind": "temporal", "references": 2, "clauses": clauses(((0,), (1,)))},
}
UPPER: dict[str, dict[str, Any]] = {
    "count": {"kind": "event_count", "comparisons": _at_least(3)},
    "count at groups": {"kind": "event_count", "comparisons": _at_least(2), "min_organizations": 3},
    "count of all": {"kind": "event_count", "comparisons": _at_least(4), "group_by": ()},
    "members": {"kind": "value_count", "values": ("organization.id",), "comparisons": _at_least(3)},
    "addresses": {"kind": "value_count", "values": ("source.ip",), "comparisons": _at_least(2), "group_by": ()},
    "by member": {"kind": "event_count", "comparisons": _at_least(2), "group_by": ("organization.id",)},
    "temporal": {"kind": "temporal", "references": 2},
    "ordered": {"kind": "temporal_ordered", "references": 2},
    "ordered at groups": {"kind": "temporal_ordered", "references": 2, "min_organizations": 2},
    "absence": {"kind": "temporal", "references": 2, "clauses": clauses(((1,), (0,)))},
    "few": {"kind": "event_count", "comparisons": (Comparison("lt", 3),)},
}


def _made(parts: dict[str, Any], **more: Any) -> Correlation:
    parts = parts | more
    return correlation(parts.pop("kind"), **parts)


def _chain(lower: str, upper: str, suppress: int, *, alerts: bool) -> list[Correlation]:
    child = _made(LOWER[lower], id="lower", suppress=suppress, alerts=alerts)
    parent = _made(UPPER[upper], id="upper", span=15, suppress=suppress)
    references = Reference("lower", "The lower one"), *parent.references[1:]
    return [child, replace(parent, references=references)]


@st.composite
def _cases(draw: st.DrawFn, upper: str) -> tuple[list[Correlation], list[GroupHit], Random]:
    lower = draw(st.sampled_from(sorted(LOWER)))
    rules = _chain(lower, upper, draw(st.sampled_from([10, 4, 25])), alerts=draw(st.booleans()))
    child, parent = rules
    hits = draw(
        streams("lower", references=len(child.references), values=bool(child.values), least=6, most=18, horizon=40)
    )
    if len(parent.references) == 2:
        direct = draw(streams("upper", references=1, most=8, horizon=50))
        hits += [GroupHit(one.correlation, one.group, replace(one.hit, mask=0b10)) for one in direct]
    return rules, hits, Random(draw(st.integers(0, 2**32)))


@pytest.mark.parametrize("upper", UPPER)
def test_settled_alerts_of_a_chain_are_those_of_the_definitions_whatever_the_order(upper: str) -> None:
    @examples
    @given(_cases(upper))
    def check(case: tuple[list[Correlation], list[GroupHit], Random]) -> None:
        rules, hits, random = case
        wanted = expected(naive_alerts(rules, hits, GROUPS), rules)
        first = deliver(rules, hits, random)
        assert first.settled == wanted
        check_life(first)
        second = deliver(rules, hits, random, shuffle=random.choice((0.0, 0.1)))
        assert settled_documents(second) == settled_documents(first)

    check()


@pytest.mark.parametrize("upper", ["count", "members", "ordered at groups"])
def test_an_eager_chain_alerts_with_the_completing_hit(upper: str) -> None:
    @examples
    @given(_cases(upper))
    def check(case: tuple[list[Correlation], list[GroupHit], Random]) -> None:
        rules, hits, random = case
        if not rules[0].eager:
            return

        def look(outcome: Outcome, delivered: Any) -> None:
            wanted = expected(naive_alerts(rules, delivered, GROUPS), rules)
            assert outcome.live() == {one.id for one in wanted}

        deliver(rules, hits, random, moves=0, look=look)

    check()


def test_chains_may_be_built_on_chains() -> None:
    @examples
    @given(streams("lower", least=10, most=24, horizon=40), st.integers(0, 2**32))
    def check(hits: list[GroupHit], seed: int) -> None:
        lower = _made(LOWER["count"], id="lower")
        middle = replace(_made(UPPER["count"], id="middle"), references=(Reference("lower", "Lower"),))
        top = replace(_made(UPPER["members"], id="top", span=20), references=(Reference("middle", "Middle"),))
        rules = [lower, middle, top]
        outcome = deliver(rules, hits, Random(seed))
        assert outcome.settled == expected(naive_alerts(rules, hits, GROUPS), rules)

    check()


def test_the_evidence_of_a_chain_leads_to_base_events() -> None:
    rules = _chain("count", "count at groups", 10, alerts=True)
    shard = Shard({rule.id: rule for rule in rules}, REGISTRY, DictStore())
    said = shard.feed([hit(n, member=n, name=str(n), rule="lower") for n in (0, 2, 3)])
    [top] = [alert for alert in said if alert.rule.uuid == "upper"]
    assert [(one.event_id, one.rule) for one in top.jointsoc.evidence] == [
        ("2@2", ["The lower one"]),
        ("3@3", ["The lower one"]),
    ]
    assert top.organization.id == ["ash-bank", "birch", "cedar"]


RULES = """
    title: Many failures
    id: many
    name: many_failures
    correlation:
      type: event_count
      rules: login_failed
      group-by: [source.ip, user.name]
      timespan: 5m
      condition: {gte: 10}
    ---
    title: Then a login
    id: then
    correlation:
      type: temporal_ordered
      rules: [many_failures, login]
      group-by: [address]
      aliases:
        address: {many_failures: source.ip, login: client.ip}
      timespan: 1h
"""


def test_a_correlation_that_another_refers_to_is_silent_unless_it_or_the_other_says_otherwise(tmp_path: Path) -> None:
    many, then = compile_text(tmp_path, RULES)
    assert (many.alerts, then.alerts) == (False, True)
    assert (then.references[0].id, then.references[0].title) == ("many", "Many failures")
    many, _ = compile_text(tmp_path, RULES.replace("timespan: 1h", "timespan: 1h\n      generate: true"))
    assert many.alerts
    many, _ = compile_text(tmp_path, RULES.replace("    ---", "    federation: {alert: true}\n    ---"))
    assert many.alerts
    many, then = compile_text(tmp_path, RULES.replace("timespan: 1h", "timespan: 1h\n    generate: true"))
    assert (many.alerts, then.generate) == (True, True)


def test_a_family_lives_in_one_shard_for_each_value_that_all_of_it_group_by(tmp_path: Path) -> None:
    many, then = compile_text(tmp_path, RULES)
    ann, bob = shard_of(many, ("192.0.2.1", "ann")), shard_of(many, ("192.0.2.1", "bob"))
    assert ann == bob == shard_of(then, ("192.0.2.1",))
    assert len({shard_of(many, (f"192.0.2.{number}", "ann")) for number in range(50)}) > 5


def test_a_family_without_a_shared_value_lives_in_one_shard(tmp_path: Path) -> None:
    many, then = compile_text(
        tmp_path,
        RULES.replace("group-by: [address]", "group-by: [user.name]").replace(
            """aliases:
        address: {many_failures: source.ip, login: client.ip}""",
            "aliases: {user.name: {login: source.user.name}}",
        ),
    )
    assert shard_of(many, ("192.0.2.1", "ann")) == shard_of(then, ("ann",))
    text = RULES.replace("group-by: [address]", "").replace(
        """aliases:
        address: {many_failures: source.ip, login: client.ip}""",
        "",
    )
    many, then = compile_text(tmp_path, text)
    assert len({shard_of(many, (f"192.0.2.{number}", "ann")) for number in range(50)} | {shard_of(then, ())}) == 1


def test_what_a_change_below_means_above(tmp_path: Path) -> None:
    plain = compile_text(tmp_path, RULES)
    changed = compile_text(tmp_path, RULES.replace("gte: 10", "gte: 11"))
    louder = compile_text(tmp_path, RULES.replace("    ---", "    level: critical\n    ---"))
    assert [one.fingerprint for one in plain] == [one.fingerprint for one in louder]
    assert not {one.fingerprint for one in plain} & {one.fingerprint for one in changed}


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("group-by: [address]", "group-by: [host.id]", 16, "does not carry a field that is asked of it; got host.id"),
        ("rules: [many_failures, login]", "rules: [many_failures, login, then]", 15, "got then -> then"),
        ("type: temporal_ordered", "type: value_sum\n      condition: {field: n, gte: 1}", 14, "holds no numbers"),
        ("rules: login_failed", "rules: then", 6, "refers to itself, directly or through others"),
        ("rules: [many_failures, login]", "rules: [many_failures, login, many]", 15, "refers to one rule twice"),
        ("timespan: 1h", "timespan: 1h\n      generate: often", 20, "`generate` is not yes or no; got often"),
        ("timespan: 1h", "timespan: 1h\n      generate: true\n    generate: false", 20, "the other way round"),
    ],
)
def test_chains_that_cannot_be_are_refused_with_file_and_line(
    tmp_path: Path, old: str, new: str, line: int, words: str
) -> None:
    aliases = "aliases:\n        address: {many_failures: source.ip, login: client.ip}\n      "
    text = RULES.replace(old, new) if old != "group-by: [address]" else RULES.replace(old, new).replace(aliases, "")
    text = text if old != "type: temporal_ordered" else text.replace(", login]", "]").replace(", login: client.ip", "")
    with pytest.raises(RuleError) as caught:
        compile_text(tmp_path, text)
    assert words in str(caught.value)
    assert f"rule.yml:{line}:" in str(caught.value)


def test_a_chain_without_end_is_refused(tmp_path: Path) -> None:
    def rule(number: int) -> str:
        below = f"r{number - 1}" if number else "login"
        block = f"{{type: event_count, rules: {below}, timespan: 1h, condition: {{gte: 2}}}}"
        return f"title: R\nid: r{number}\ncorrelation: {block}\n"

    assert len(compile_text(tmp_path, "---\n".join(rule(number) for number in range(8)))) == 8
    with pytest.raises(RuleError, match="a chain of too many correlations; got 9; expected at most 8"):
        compile_text(tmp_path, "---\n".join(rule(number) for number in reversed(range(2000))))
