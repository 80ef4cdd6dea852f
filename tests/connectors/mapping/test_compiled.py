from __future__ import annotations

from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.mapping.compiled import MAX_VALUE_CHARS, CompiledMapping, Dropped, Refused, Surroundings
from connectors.mapping.library import find_mapping, shipped_names
from schemas.errors import ConfigError
from tests.connectors.mapping.mapping_files import KEYS, compiled

TIME = "2026-11-23T02:00:00.000Z"


def line(**fields: object) -> bytes:
    return orjson.dumps({"time": "2026-11-23T02:00:00Z"} | fields)


def test_only_listed_fields_leave(tmp_path: Path) -> None:
    mapping = compiled(tmp_path, "rules: [{name: all, map: {event.action: what}}]")
    assert mapping.apply(line(what="x", password="hunter2", nested={"secret": 1})) == {
        "@timestamp": TIME,
        "event.action": "x",
    }


def test_the_first_rule_that_matches_decides(tmp_path: Path) -> None:
    mapping = compiled(
        tmp_path,
        """
        rules:
          - {name: a, match: {what: [x, y], n: 1}, set: {event.action: first}}
          - {name: b, match: {what: x}, set: {event.action: second}}
          - {name: c, match: {what: noise}, drop: noise}
        """,
    )
    assert mapping.apply(line(what="y", n=1)) == {"@timestamp": TIME, "event.action": "first"}
    assert mapping.apply(line(what="x", n=2)) == {"@timestamp": TIME, "event.action": "second"}
    assert mapping.apply(line(what="noise")) == Dropped("noise")
    assert mapping.apply(line(what="other")) == Refused("no-rule", "no rule of the mapping matches")


def test_groups_of_a_matching_pattern_become_fields(tmp_path: Path) -> None:
    rules = "rules: [{name: a, match: {what: {regex: 'from (?P<who>\\S+)'}}, map: {event.reason: who}}]"
    assert compiled(tmp_path, rules).apply(line(what="hello from eve")) == {"@timestamp": TIME, "event.reason": "eve"}


def test_what_a_rule_sets_goes_before_what_all_rules_set(tmp_path: Path) -> None:
    mapping = compiled(
        tmp_path,
        """
        set: {event.kind: event, event.outcome: unknown}
        map: {event.action: what}
        rules: [{name: a, set: {event.action: fixed}, map: {event.outcome: result}}]
        """,
    )
    assert mapping.apply(line(what="x", result="good")) == {
        "@timestamp": TIME,
        "event.kind": "event",
        "event.action": "fixed",
        "event.outcome": "good",
    }


@pytest.mark.parametrize(
    "data", [{"a": {"b": {"c": "x"}}}, {"a.b.c": "x"}, {"a": {"b.c": "x"}}, {"a.b": {"c": "x"}}, {"a": 5, "a.b.c": "x"}]
)
def test_a_path_finds_its_value_however_it_is_nested(tmp_path: Path, data: dict[str, object]) -> None:
    mapping = compiled(tmp_path, "rules: [{name: all, map: {event.action: a.b.c}}]")
    assert mapping.apply(line(**data)) == {"@timestamp": TIME, "event.action": "x"}


def test_the_first_source_with_a_value_is_taken(tmp_path: Path) -> None:
    mapping = compiled(tmp_path, "rules: [{name: all, map: {event.action: [a, b, c]}}]")
    assert mapping.apply(line(a="-", b=None, c="x")) == {"@timestamp": TIME, "event.action": "x"}


def test_identifiers_leave_as_pseudonyms_with_their_key_epoch(tmp_path: Path) -> None:
    rules = "rules: [{name: all, hmac: {user.hash: {from: user, key: federation, kind: customer}}}]"
    mapping = compiled(tmp_path, rules, around=Surroundings(KEYS, epoch=3))
    assert mapping.apply(line(user="Alice")) == {
        "@timestamp": TIME,
        "jointsoc.key_epoch": 3,
        "user.hash": KEYS.of("federation", "customer", "alice"),
    }


def test_an_opt_in_field_leaves_only_if_it_is_included(tmp_path: Path) -> None:
    rules = "rules: [{name: all, map: {process.command_line: {from: cmd, as: command_line, opt_in: true}}}]"
    assert compiled(tmp_path, rules).apply(line(cmd="x")) == {"@timestamp": TIME}
    included = Surroundings(KEYS, include=frozenset({"process.command_line"}))
    assert compiled(tmp_path, rules, around=included).apply(line(cmd="x")) == {
        "@timestamp": TIME,
        "process.command_line": "x",
    }
    with pytest.raises(ConfigError, match="opt-in"):
        compiled(tmp_path, rules, around=Surroundings(KEYS, include=frozenset({"user.name"})))


def test_a_very_long_value_is_cut_and_said_to_be_cut(tmp_path: Path) -> None:
    event = compiled(tmp_path, "rules: [{name: all, map: {event.action: what}}]").apply(line(what="x" * 100_000))
    assert isinstance(event, dict)
    assert event["event.action"] == "x" * MAX_VALUE_CHARS
    assert event["jointsoc.truncated"] == ["event.action"]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"no json", "not-json"),
        (b"{}", "bad-time"),
        (b'{"time":"yesterday"}', "bad-time"),
        (b'{"time":{"a":1}}', "bad-time"),
        (b'{"time":"2026-11-23T02:00:00Z","n":"many"}', "bad-value"),
        (b'{"time":"9999-12-31T23:59:59-10:00","n":1}', "bad-time"),
    ],
)
def test_what_it_does_not_understand_it_refuses_with_the_reason(tmp_path: Path, raw: bytes, reason: str) -> None:
    outcome = compiled(tmp_path, "rules: [{name: all, map: {event.severity: {from: n, as: integer}}}]").apply(raw)
    assert isinstance(outcome, Refused)
    assert outcome.reason == reason


def test_explain_says_of_each_field_where_it_comes_from(tmp_path: Path) -> None:
    mapping = compiled(
        tmp_path,
        """
        set: {event.kind: event}
        rules:
          - {name: a, match: {what: x}, map: {event.action: {from: [what, why], as: lower}},
             hmac: {user.hash: {from: user, key: institution, kind: user}}}
          - {name: b, hmac: {user.hash: {from: other, key: federation, kind: customer}}}
        """,
    )
    outcome, origins = mapping.explain(line(what="x", user="u"))
    assert outcome == mapping.apply(line(what="x", user="u"))
    assert origins == {
        "@timestamp": "time",
        "event.kind": "set by the mapping",
        "event.action": "lower of what or why",
        "user.hash": "hmac(institution, user) of user",
        "jointsoc.key_epoch": "set by the mapping",
    }


def test_a_classic_syslog_time_is_read_in_the_zone_of_the_input() -> None:
    around = Surroundings(KEYS, zone=ZoneInfo("Asia/Taipei"), now=lambda: 1_798_675_200_000)
    mapping = find_mapping("sshd-auth").compile(around)
    event = mapping.apply(b"Nov 23 10:00:00 h sshd[1]: Failed password for root from 203.0.113.5 port 1 ssh2")
    assert isinstance(event, dict)
    assert event["@timestamp"] == TIME


@pytest.mark.parametrize("name", shipped_names())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=200), cut=st.integers(0, 400), seed=st.integers(0, 20))
def test_no_line_whatever_makes_a_shipped_mapping_fall_over(name: str, raw: bytes, cut: int, seed: int) -> None:
    mapping = _compiled_once(name)
    samples = mapping.document.samples
    sample = samples[seed % len(samples)].line.encode()
    for hostile in (raw, sample[:cut] + raw + sample[cut:], sample[cut:], sample[:cut]):
        outcome = mapping.apply(hostile)
        assert isinstance(outcome, dict | Dropped | Refused)
        if isinstance(outcome, dict):
            assert orjson.loads(orjson.dumps(outcome))["@timestamp"].endswith("Z")


@cache
def _compiled_once(name: str) -> CompiledMapping:
    return find_mapping(name).compile(Surroundings(KEYS))
