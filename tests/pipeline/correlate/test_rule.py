from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pipeline.correlate.correlation import Clause, Comparison, Correlation
from schemas.errors import RuleError
from schemas.member import MemberRegistry
from tests.pipeline.correlate.rule_files import compile_block, compile_text

COUNT = """
    type: event_count
    rules: login_failed
    group-by: source.ip
    timespan: 5m
    condition: {gte: 10}
"""


def _with(**changes: str | None) -> str:
    """The counting rule with some keys changed, or left out."""
    keys = {
        "type": "event_count",
        "rules": "login_failed",
        "group-by": "source.ip",
        "timespan": "5m",
        "condition": "{gte: 10}",
    }
    keys |= {name.replace("_", "-"): text for name, text in changes.items() if text is not None}
    left_out = {name.replace("_", "-") for name, text in changes.items() if text is None}
    return "\n".join(f"{name}: {text}" for name, text in keys.items() if name not in left_out)


def test_a_counting_rule_is_read_whole(tmp_path: Path) -> None:
    rule = compile_block(
        tmp_path,
        COUNT,
        """
        level: high
        author: A, B
        tags: [attack.t1110.004, tlp.green]
        federation: {min_organizations: 2, suppress: 1d, weight: jointsoc.rollup.count, share: {k: 3, tlp: amber}}
        """,
    )
    assert (rule.kind, rule.timespan, rule.suppress) == ("event_count", 300_000, 86_400_000)
    assert rule.comparisons == (Comparison("gte", 10),)
    assert [reference.id for reference in rule.references] == ["id-1"]
    assert (rule.min_organizations, rule.weight, rule.level, rule.tlp) == (2, "jointsoc.rollup.count", "high", "green")
    assert rule.source == "rule.yml:1"
    assert rule.eager


def test_a_rule_survives_the_pack(tmp_path: Path) -> None:
    rule = compile_block(
        tmp_path, _with(type="temporal", rules="[login, transfer]", condition="login and not transfer")
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(rule), type=Correlation) == rule


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("30s", 30_000),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("3d", 259_200_000),
        ("1w", 604_800_000),
        ("1M", 2_629_746_000),
    ],
)
def test_timespans_have_the_units_of_the_specification(tmp_path: Path, text: str, milliseconds: int) -> None:
    assert compile_block(tmp_path, _with(timespan=text)).timespan == milliseconds


def test_ranges_and_float_thresholds_are_kept(tmp_path: Path) -> None:
    rule = compile_block(tmp_path, _with(type="value_avg", condition="{gt: 0.5, lte: 2.25, field: n}"))
    assert rule.comparisons == (Comparison("gt", 0.5), Comparison("lte", 2.25))
    assert not rule.eager


def test_a_median_is_the_50th_percentile(tmp_path: Path) -> None:
    rule = compile_block(tmp_path, _with(type="value_median", condition="{gt: 5, field: n}"))
    assert (rule.kind, rule.percentile) == ("value_percentile", 50)


def test_temporal_rules_ask_for_all_references_by_default(tmp_path: Path) -> None:
    rule = compile_block(tmp_path, _with(type="temporal", rules="[login_failed, login]", condition=None))
    assert rule.comparisons == (Comparison("gte", 2),)


def test_boolean_conditions_name_their_rules(tmp_path: Path) -> None:
    text = _with(type="temporal", rules=None, condition="login_failed and (login or transfer)")
    rule = compile_block(tmp_path, text)
    assert [reference.id for reference in rule.references] == ["id-1", "id-2", "id-3"]
    assert rule.clauses == (Clause((0, 1)), Clause((0, 2)))
    assert rule.eager


def test_an_alias_belongs_to_the_rule_that_it_names(tmp_path: Path) -> None:
    block = _with(rules="[login_failed, login]", group_by="address") + "\naliases: {address: {login: client.ip}}"
    assert [reference.fields for reference in compile_block(tmp_path, block).references] == [
        {},
        {"address": "client.ip"},
    ]


def test_a_detection_lends_its_title_to_the_evidence(tmp_path: Path) -> None:
    text = f"""
        title: Login failed
        id: id-1
        logsource: {{category: authentication}}
        detection: {{a: {{b: c}}, condition: a}}
        ---
        title: Many
        id: c-1
        correlation: {{{", ".join(_with().splitlines())}}}
        """
    [rule] = compile_text(tmp_path, text)
    assert rule.references[0].title == "Login failed"


def test_the_fingerprint_hashes_what_fires_and_nothing_else(tmp_path: Path) -> None:
    plain = compile_block(tmp_path, COUNT)
    assert compile_block(tmp_path, COUNT, "level: critical\ndescription: more").fingerprint == plain.fingerprint
    assert compile_block(tmp_path, _with(condition="{gte: 11}")).fingerprint != plain.fingerprint
    assert compile_block(tmp_path, COUNT, "federation: {min_organizations: 2}").fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    ("block", "line", "words"),
    [
        (_with(type="event_sum"), 4, "not a correlation type"),
        (_with(rules="no_such_rule"), 5, "a rule that is not here; got no_such_rule"),
        (_with(rules="[login_failed, id-1]"), 5, "one rule twice"),
        (_with(rules="[login, login]"), 5, "names something twice; got login"),
        (_with(rules="[]"), 5, "not a name or a list of names"),
        (_with(rules="c-1"), 5, "refers to itself"),
        (_with(group_by="[a, 5]"), 6, "`group-by` is not a name"),
        (_with(timespan="1h30m"), 7, "not a span of time; got 1h30m"),
        (_with(timespan="60"), 7, "not a span of time"),
        (_with(timespan="0s"), 7, "outside what can be kept"),
        (_with(timespan="90d"), 7, "outside what can be kept; got 90d; expected more than zero, at most 31d"),
        (_with(condition="{gte: '10'}"), 8, "`gte` needs a number"),
        (_with(condition="{gte: .nan}"), 8, "`gte` needs a number"),
        (_with(condition="{gte: 10001}"), 8, "more than one group can hold; got 10001; expected at most 10,000"),
        (_with(condition="{at_least: 10}"), 8, "unknown key in `condition`; got at_least"),
        (_with(condition="{field: a}"), 8, "compares with nothing"),
        (_with(condition="{gte: 10, field: a}"), 8, "`field` means nothing for event_count"),
        (_with(condition=None), 3, "no condition"),
        (_with(condition="{gte: 0}"), 8, "always holds"),
        (_with(condition="{gt: -1}"), 8, "always holds"),
        (_with(condition="{lt: 1}"), 8, "never holds"),
        (_with(condition="{eq: 2.5}"), 8, "never holds"),
        (_with(condition="{gt: 10, lt: 11}"), 8, "never holds"),
        (_with(type="temporal", rules="[login, transfer]", condition="{gte: 3}"), 8, "never holds"),
        (_with(type="temporal", rules="[login, transfer]", condition="{lte: 2}"), 8, "always holds"),
        (_with(type="value_count"), 8, "value_count needs a field"),
        (_with(type="value_sum", condition="{gte: 1, field: [a, b]}"), 8, "too many fields"),
        (_with(type="value_percentile", condition="{gte: 1, field: a}"), 8, "needs a percentile"),
        (_with(type="value_percentile", condition="{gte: 1, field: a, percentile: 101}"), 8, "0 to 100"),
        (_with(type="value_sum", condition="{gte: 1, field: a, percentile: 5}"), 8, "`percentile` means nothing"),
        (_with(condition="login_failed"), 8, "needs a temporal type"),
        (_with(type="temporal", rules="[login, transfer]", condition="login"), 8, "do not name the same rules"),
        (_with(type="temporal", rules="login", condition="not login"), 8, "only says what must be absent"),
        (_with(type="temporal", rules="login", condition="login and not login"), 8, "and for its absence"),
        (_with(type="temporal", rules="login", condition="login and"), 8, "not a condition"),
        (_with(type="temporal", rules="login", condition="(login"), 8, "expected )"),
        (_with(type="temporal", rules="login", condition="login; drop"), 8, "belongs to no rule name; got ;"),
        (_with() + "\nwindow: sliding", 9, "unknown key in `correlation`; got window"),
        (_with() + "\naliases: {ip: {login_failed: a}}", 9, "an alias that nothing uses"),
        (_with(group_by="ip") + "\naliases: {ip: {login: a}}", 9, "a rule that is not listed; got login"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_file_and_line(
    tmp_path: Path, block: str, line: int, words: str
) -> None:
    with pytest.raises(RuleError) as caught:
        compile_block(tmp_path, block)
    message = str(caught.value)
    assert words in message
    assert message.startswith(f"{tmp_path / 'rule.yml'}:{line}:")


@pytest.mark.parametrize(
    ("federation", "words"),
    [
        ("[1]", "not a block"),
        ("{min_members: 2}", "unknown key in `federation`; got min_members"),
        ("{min_organizations: 4}", "more corporate groups than there are members; got 4; expected at most 3"),
        ("{min_organizations: 0}", "not a number of corporate groups"),
        ("{min_organizations: true}", "not a number of corporate groups"),
        ("{suppress: soon}", "suppress is not a span"),
        ("{suppress: 1s}", "suppress is too short"),
        ("{settle_after: soon}", "settle_after is not a span"),
        ("{settle_after: 0s}", "settle_after is outside what can be kept"),
        ("{nonnegative: true}", "means nothing for event_count"),
        ("{weight: [a]}", "not a field name"),
        ("{share: {k: 1, tlp: green}}", "k would single out an institution"),
        ("{share: {k: 2, tlp: blue}}", "not a TLP label"),
        ("{share: {k: 2}}", "not a sharing policy"),
    ],
)
def test_a_federation_block_that_cannot_be_is_refused(tmp_path: Path, federation: str, words: str) -> None:
    with pytest.raises(RuleError, match=words.replace("(", r"\(")) as caught:
        compile_block(tmp_path, COUNT, f"federation: {federation}")
    assert f"{tmp_path / 'rule.yml'}:9:" in str(caught.value)


def test_a_chain_must_have_a_link_for_each_group(tmp_path: Path) -> None:
    ordered = _with(type="temporal_ordered", rules="[login_failed, login]", condition=None)
    assert compile_block(tmp_path, ordered, "federation: {min_organizations: 2}").min_organizations == 2
    with pytest.raises(RuleError, match="more corporate groups than the chain has links; got 3; expected at most 2"):
        compile_block(tmp_path, ordered, "federation: {min_organizations: 3}")


def test_a_rule_may_settle_sooner_than_others_and_means_something_else_then(tmp_path: Path) -> None:
    rule = compile_block(tmp_path, COUNT, "federation: {settle_after: 5m}")
    assert rule.settle_after == 300_000
    assert rule.fingerprint != compile_block(tmp_path, COUNT).fingerprint


@pytest.mark.parametrize(("child", "told"), [("", "expected `settle_after` there"), ("6m", "expected no less than")])
def test_a_rule_settles_no_sooner_than_a_correlation_that_it_refers_to(tmp_path: Path, child: str, told: str) -> None:
    def chain(settle_after: str) -> str:
        below = f"federation: {{settle_after: {settle_after}}}" if settle_after else ""
        block = ", ".join(_with().splitlines())
        over = ", ".join(_with(rules="below", condition="{gte: 2}").splitlines())
        return (
            f"title: Below\nid: below\ncorrelation: {{{block}}}\n{below}\n---\n"
            f"title: Above\nid: above\ncorrelation: {{{over}}}\nfederation:\n  settle_after: 5m\n"
        )

    assert len(compile_text(tmp_path, chain("5m"))) == 2
    with pytest.raises(RuleError, match=f"settles later; got 300s; {told}") as caught:
        compile_text(tmp_path, chain(child))
    assert str(caught.value).startswith(f"{tmp_path / 'rule.yml'}:10:")


def test_without_a_registry_any_number_of_groups_may_be_asked_for(tmp_path: Path) -> None:
    rule = compile_block(tmp_path, COUNT, "federation: {min_organizations: 9}", registry=MemberRegistry())
    assert rule.min_organizations == 9


@pytest.mark.parametrize("more", ["level: severe", "tags: [tlp.blue]", "tags: {a: b}", "references: [5]"])
def test_metadata_that_alerts_cannot_carry_is_refused(tmp_path: Path, more: str) -> None:
    with pytest.raises(RuleError):
        compile_block(tmp_path, COUNT, more)


def test_two_rules_must_not_share_a_name(tmp_path: Path) -> None:
    block = ", ".join(_with().splitlines())
    text = f"title: A\nid: same\ncorrelation: {{{block}}}\n---\ntitle: B\nid: same\ncorrelation: {{{block}}}\n"
    with pytest.raises(RuleError, match="belongs to another rule; got same"):
        compile_text(tmp_path, text)
