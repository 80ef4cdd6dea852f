from __future__ import annotations

import json
from random import Random

from pipeline.correlate.alert import single_alert, threat_of
from pipeline.correlate.correlation import Comparison
from pipeline.detect.plan import AllOf, DetectionPlan, LogSource
from schemas.alert import SETTLED_REVISION, Alert, alert_from_json
from schemas.event import Event, Origin
from schemas.index_template import index_of
from tests.pipeline.correlate.streams import correlation, deliver, hit

TAGS = ("attack.credential-access", "attack.t1110.004", "attack.ta0006", "attack.g0032", "cve.2024-1", "tlp.green")


def _settled() -> Alert:
    rule = correlation(
        "event_count",
        references=2,
        span=60_000,
        comparisons=(Comparison("gte", 3),),
        title="Guessing",
        author="Ann, Bob",
        tags=TAGS,
        tlp="green",
        level="high",
    )
    hits = [hit(12_000 * n, member=n % 3, mask=1 + (n == 0), name=str(n), group="203.0.113.7") for n in range(14)]
    [settled] = [one for one in deliver([rule], hits, Random(1)).alerts if one.jointsoc.alert.state == "settled"]
    return settled


def test_the_sentence_says_who_what_how_much_where_and_how_quickly() -> None:
    assert _settled().message == "203.0.113.7: Guessing, 14 events at 3 institutions (2 groups) in 3 min"


def test_an_alert_is_complete() -> None:
    alert = _settled()
    part = alert.jointsoc
    assert (part.alert.state, part.alert.revision, part.alert.level) == ("settled", SETTLED_REVISION + 14, "high")
    assert (part.group_by, part.groups, part.events, part.tlp) == ({"source.ip": "203.0.113.7"}, 2, 14, "green")
    assert [(one.id, one.group, one.count) for one in part.members] == [
        ("ash-bank", "ash", 5),
        ("ash-broker", "ash", 5),
        ("birch", "birch", 4),
    ]
    assert alert.organization.id == ["ash-bank", "ash-broker", "birch"]
    assert (alert.rule.author, alert.threat.technique.id) == (["Ann", "Bob"], ["T1110.004"])
    assert (alert.event.start, alert.event.end) == (part.members[0].first_seen, alert.timestamp)
    assert alert_from_json(alert.to_json()) == alert


def test_the_document_has_every_field_that_was_agreed_on() -> None:
    document = json.loads(_settled().to_json())
    assert set(document) == {"@timestamp", "ecs", "event", "rule", "threat", "organization", "message", "jointsoc"}
    assert set(document["event"]) == {"kind", "id", "start", "end", "created"}
    rule = {"uuid", "name", "description", "author", "license", "reference", "ruleset", "version"}
    assert set(document["rule"]) == rule
    part = document["jointsoc"]
    own = {"alert", "group_by", "groups", "events", "members", "evidence", "tlp", "drill", "pack"}
    assert set(part) == own | {"without_value", "column_ms"}
    assert set(part["alert"]) == {"revision", "state", "level", "exact"}
    assert set(part["members"][0]) == {"id", "group", "first_seen", "last_seen", "count", "counts"}
    place = {"member", "topic", "partition", "offset", "line", "event_id", "time", "rule"}
    assert set(part["evidence"][0]) == place


def test_the_evidence_is_the_earliest_and_the_latest_hits_with_their_detections() -> None:
    evidence = _settled().jointsoc.evidence
    assert [item.offset // 12_000 for item in evidence] == [0, 1, 2, 3, 4, 9, 10, 11, 12, 13]
    assert evidence[0].rule == ["Detection 1"]
    assert evidence[1].rule == ["Detection 0"]


def test_what_is_settled_does_not_depend_on_the_wall_clock() -> None:
    alert = _settled()
    assert alert.event.created == alert.timestamp


def test_the_id_names_the_index() -> None:
    assert index_of(_settled().id) == "alerts-centre-2023.11"


def test_hostile_text_is_shown_harmless_in_the_sentence_and_kept_as_it_is_in_the_data() -> None:
    rule = correlation("event_count", comparisons=(Comparison("gte", 1),))
    [alert] = [
        one
        for one in deliver([rule], [hit(1, group="\x1b[31m" + "x" * 90)], Random(1)).alerts
        if one.jointsoc.alert.state == "settled"
    ]
    assert "\x1b" not in alert.message
    assert len(alert.message) < 120
    assert alert.jointsoc.group_by["source.ip"].startswith("\x1b[31m")


def test_threats_come_from_the_tags_alone() -> None:
    threat = threat_of(TAGS)
    assert (threat.tactic.id, threat.tactic.name) == (["TA0006"], ["Credential Access"])
    assert (threat.technique.id, threat.technique.name) == (["T1110.004"], [])
    assert threat_of(["attack.command_and-control"]).tactic.name == ["Command and Control"]


def test_a_detection_that_alerts_by_itself_is_settled_at_once_and_repeats_are_the_same_alert() -> None:
    plan = DetectionPlan(
        "d-1", "Web shell", LogSource(), AllOf(()), level="critical", tags=("attack.t1505.003", "tlp.red"), alerts=True
    )

    def alert(offset: int, member: str = "ash-bank") -> Alert:
        event = Event(
            {}, Origin(f"events.{member}", 0, offset, 1_700_000_009_000), 0, member, "e", 1_700_000_000_000, "on_time"
        )
        return single_alert(event, plan, {"ash-bank": "ash"}, "v1")

    one = alert(5)
    assert (one.id, one.message) == (alert(6).id, "Web shell at ash-bank")
    assert one.id != alert(5, "birch").id
    assert index_of(one.id) == "alerts-centre-2023.11"
    part = one.jointsoc
    assert (part.alert.state, part.alert.revision, part.alert.level) == ("settled", SETTLED_REVISION + 1, "critical")
    assert (part.groups, part.events, part.members[0].group, part.tlp, part.pack) == (1, 1, "ash", "red", "v1")
    assert part.evidence[0].rule == ["Web shell"]


def test_values_that_are_no_numbers_are_left_out_of_a_sum_and_counted_on_the_alert() -> None:
    rule = correlation("value_sum", values=("n",), comparisons=(Comparison("gte", 3),), span=60_000)
    values = [1_000_000, None, 2_000_000, None, None]
    hits = [hit(n, value=value, name=str(n), rule=rule.id) for n, value in enumerate(values)]
    [settled] = [one for one in deliver([rule], hits, Random(1)).alerts if one.jointsoc.alert.state == "settled"]
    assert (settled.jointsoc.events, settled.jointsoc.without_value) == (5, 3)
    assert _settled().jointsoc.without_value == 0
