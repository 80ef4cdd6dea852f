"""The indexer on the real servers: Kafka, Elasticsearch with security on, and what happens when they fail."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
import pytest

from connectors.alert_index import AlertIndex
from connectors.alert_query import AlertQuery
from connectors.elasticsearch import open_client
from connectors.kafka import open_producer
from schemas.alert import SETTLED_REVISION, SUPERSEDED_REVISION, Alert
from schemas.dead_letter import DeadLetter
from schemas.errors import ConnectionError_
from schemas.index_template import INDEX_PATTERN
from schemas.times import now_ms, to_rfc3339
from tests.alert_samples import alert_id, make_alert
from tests.conditions import eventually
from tests.running_stack import RunningStack

pytestmark = pytest.mark.stack

LONG_AGO = 1_577_836_800_000
"""2020-01-01: out of the way of everything else the stack is asked to find."""


def publish(stack: RunningStack, values: Iterable[tuple[str, bytes]]) -> None:
    producer = open_producer(stack.kafka("pipeline"))
    futures = [producer.send("alerts", key=key.encode(), value=value) for key, value in values]
    producer.flush()
    for future in futures:
        future.get(30)
    producer.close()


def send(stack: RunningStack, *alerts: Alert) -> None:
    publish(stack, [(alert.id, alert.to_json()) for alert in alerts])


def stored(stack: RunningStack, name: str) -> Alert | None:
    index = AlertIndex(stack.elasticsearch("operator"))
    try:
        return index.get(alert_id(name))
    except ConnectionError_:  # away, or a new index that is not ready yet
        return None
    finally:
        index.close()


def revision(stack: RunningStack, name: str) -> int:
    alert = stored(stack, name)
    return alert.jointsoc.alert.revision if alert else -1


def letter_for(stack: RunningStack, raw: bytes) -> DeadLetter | None:
    return next((letter for letter in stack.dead_letters() if letter.raw_bytes() == raw), None)


def test_repeated_and_late_revisions_in_any_order_leave_the_newest_once(stack: RunningStack) -> None:
    name = f"order {now_ms()}"
    settled = SETTLED_REVISION + 4
    for number in (3, 1, settled, 2, 3, 1):
        send(stack, make_alert(name, start=LONG_AGO, revision=number, message=f"revision {number}"))
    send(stack, make_alert(f"{name} after", start=LONG_AGO))
    eventually(lambda: stored(stack, f"{name} after"))
    assert eventually(lambda: revision(stack, name) == settled)
    with open_client(stack.elasticsearch("operator")) as client:
        query = {"term": {"event.id": alert_id(name)}}
        assert eventually(lambda: client.count(index=INDEX_PATTERN, query=query)["count"]) == 1


def test_a_tombstone_keeps_its_content_and_takes_the_last_successor(stack: RunningStack) -> None:
    name = f"tombstone {now_ms()}"
    send(stack, make_alert(name, start=LONG_AGO))
    for successor in ("b", "c"):
        send(stack, make_alert(name, start=LONG_AGO, state="superseded", superseded_by=alert_id(successor)))
    send(stack, make_alert(name, start=LONG_AGO, revision=99))

    def is_final() -> bool:
        alert = stored(stack, name)
        return alert is not None and alert.jointsoc.alert.superseded_by == alert_id("c")

    eventually(is_final)
    alert = stored(stack, name)
    assert alert is not None
    assert alert.jointsoc.alert.revision == SUPERSEDED_REVISION
    assert len(alert.jointsoc.members) == 2


def test_the_index_has_the_mapping_of_the_model_and_is_named_by_the_id(stack: RunningStack) -> None:
    name = f"mapping {now_ms()}"
    send(stack, make_alert(name, start=LONG_AGO))
    eventually(lambda: stored(stack, name))
    with open_client(stack.elasticsearch("operator")) as client:
        mapping = client.indices.get_mapping(index="alerts-centre-2026.11")["alerts-centre-2026.11"]["mappings"]
    assert mapping["dynamic"] == "false"
    assert mapping["properties"]["@timestamp"]["type"] == "date"


def test_what_elasticsearch_refuses_and_what_is_no_alert_become_dead_letters_and_the_rest_goes_on(
    stack: RunningStack,
) -> None:
    name = f"letters {now_ms()}"
    impossible = orjson.loads(make_alert(f"{name} bad", start=LONG_AGO).to_json())
    impossible["@timestamp"] = "2020-99-99T99:99:99.999Z"
    refused, garbage = orjson.dumps(impossible), b'{"no": "alert", "run": "%d"' % now_ms()
    publish(stack, [("x", garbage), ("y", refused)])
    send(stack, make_alert(name, start=LONG_AGO))
    eventually(lambda: stored(stack, name))
    letter = eventually(lambda: letter_for(stack, refused))
    assert (letter.reason, letter.topic) == ("index-refused", "alerts")
    assert letter.detail.startswith("400")
    other = eventually(lambda: letter_for(stack, garbage))
    assert "not an alert of this version" in other.detail
    assert stored(stack, f"{name} bad") is None


def test_an_outage_of_elasticsearch_and_a_killed_indexer_lose_nothing(stack: RunningStack) -> None:
    word = f"outage{now_ms()}"
    alerts = [make_alert(f"{word} {number}", start=LONG_AGO, message=word) for number in range(300)]
    stack.stop("elasticsearch")
    send(stack, *alerts[:150])
    stack.kill("indexer")
    stack.start("indexer")
    send(stack, *alerts[150:])
    stack.start("elasticsearch")
    index = AlertIndex(stack.elasticsearch("operator"))

    def found() -> set[str]:
        try:
            return {alert.id for alert in index.find(AlertQuery(text=word, limit=1000)).alerts}
        except ConnectionError_:
            return set()

    eventually(lambda: found() == {alert.id for alert in alerts}, seconds=60)
    index.close()


def test_questions_find_alerts_by_words_keys_members_and_level(stack: RunningStack) -> None:
    run = f"run{now_ms()}"
    address = f"198.51.100.{now_ms() % 250}"
    send(
        stack,
        make_alert(f"{run} a", start=LONG_AGO, level="critical", message=f"Spray {run} at two banks"),
        make_alert(f"{run} b", start=LONG_AGO, level="low", message=f"Spray {run} elsewhere", state="settled"),
        make_alert(
            f"{run} c", start=LONG_AGO, message=f"Other {run}", group_by={"source.ip": f"{address}", "run": run}
        ),
    )
    index = AlertIndex(stack.elasticsearch("dashboard"))

    def found(**question: Any) -> list[str]:
        alerts = index.find(AlertQuery(**question)).alerts
        return sorted(next(n for n in "abc" if alert.id == alert_id(f"{run} {n}")) for alert in alerts)

    eventually(lambda: found(text=f"spray {run}") == ["a", "b"])
    eventually(lambda: found(text=run) == ["a", "b", "c"])
    assert found(text=f"spray {run}", levels=("critical",)) == ["a"]
    assert found(text=f"spray {run}", states=("settled",)) == ["b"]
    assert found(text=f"SPRAY {run[:-2]}") == ["a", "b"], "the last word may be cut short"
    by_level = index.find(AlertQuery(text=run, order="level"))
    assert [alert.jointsoc.alert.level for alert in by_level.alerts] == ["critical", "high", "low"]
    assert index.find(AlertQuery(text=run, order="level", brief=True)).alerts == by_level.alerts
    counts = index.counts(AlertQuery(text=run, states=("open",)))
    assert (counts.total, counts.by_level, counts.by_state["settled"]) == (2, {"critical": 1, "high": 1}, 1)
    ages = index.ages(AlertQuery(text=run, order="level"), [to_rfc3339(now_ms()), to_rfc3339(LONG_AGO)])
    assert ages == {level: [0, 1, 0] for level in ("critical", "high", "low")}
    assert index.tally()[("settled", "low")] >= 1
    assert index.find(AlertQuery(text='"}]}} OR *:*')).total == 0
    index.close()
