"""The running dashboard with real members: original events, findings out, answers in, health on the board."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx2
import orjson
import pytest

from connectors.kafka import open_consumer, open_producer
from dashboard.wording import NOTHING
from schemas.alert import Alert
from schemas.finding import Answer
from schemas.times import now_ms, to_rfc3339
from tests.alert_samples import make_alert
from tests.conditions import eventually
from tests.running_stack import RunningStack

pytestmark = pytest.mark.stack

MEMBER = "kestrel-bank"


def send(stack: RunningStack, user: str, topic: str, value: bytes) -> Any:
    producer = open_producer(stack.kafka(user))
    metadata = producer.send(topic, value=value).get(30)
    producer.close()
    return metadata


def an_alert(stack: RunningStack) -> Alert:
    """One alert whose first evidence is an event that the member really sent."""
    word = uuid4().hex
    event = {"@timestamp": to_rfc3339(now_ms()), "event": {"id": word}, "message": "sent by the member"}
    sent = send(stack, MEMBER, f"events.{MEMBER}", b'{"line": 0}\n' + orjson.dumps(event))
    alert = make_alert(word, spread=((MEMBER, 0, 0, 1), ("heron-bank", 1, 1, 1)), start=now_ms() - 120_000)
    item = alert.jointsoc.evidence[0]
    item.partition, item.offset, item.line, item.event_id = sent.partition, sent.offset, 1, word
    send(stack, "pipeline", "alerts", alert.to_json())
    return alert


def test_an_alert_is_worked_on_told_to_a_member_and_answered(stack: RunningStack, program: httpx2.Client) -> None:
    alert = an_alert(stack)
    address = f"/api/v1/alerts/{alert.id}"
    eventually(lambda: program.get(address).status_code == 200)
    assert "sent by the member" in program.get(f"{address}/evidence/0").json()["pretty"]
    assert program.post(f"{address}/workflow", json={"act": "acknowledge"}).json()["done"]
    eventually(  # a search sees what was written a refresh later
        lambda: (
            alert.id
            in [one["alert"]["event"]["id"] for one in program.get("/api/v1/alerts?assignee=me").json()["alerts"]]
        )
    )

    told = program.post(f"{address}/findings", json={"members": [MEMBER], "asked": "Was it you?"}).json()
    consumer = open_consumer(stack.kafka(MEMBER), f"findings.{MEMBER}", group_id=f"findings.{MEMBER}")
    received: list[dict[str, Any]] = []

    def arrived() -> bool:
        for records in consumer.poll(timeout_ms=500).values():
            received.extend(orjson.loads(record.value) for record in records)
        return told[0]["id"] in [one["id"] for one in received]

    eventually(arrived)
    consumer.close()
    mine = next(one for one in received if one["id"] == told[0]["id"])
    assert mine["asked"] == "Was it you?"
    assert "heron" not in orjson.dumps(mine).decode()

    answer = Answer(finding=mine["id"], verdict="confirmed", incident="INC-1")
    send(stack, MEMBER, f"feedback.{MEMBER}", answer.model_dump_json().encode())
    answered = eventually(
        lambda: [one for one in program.get(f"{address}/findings").json() if one["state"] == "answered"]
    )
    assert answered[0]["answers"][0]["answer"]["incident"] == "INC-1"
    assert answered[0]["sent"]
    history = program.get(address).json()["workflow"]["history"]
    assert [entry["deed"] for entry in history] == ["acknowledged", "notified", "answered"]


def test_a_superseded_alert_hands_over_what_people_said(stack: RunningStack, program: httpx2.Client) -> None:
    alert = an_alert(stack)
    eventually(lambda: program.get(f"/api/v1/alerts/{alert.id}").status_code == 200)
    program.post(f"/api/v1/alerts/{alert.id}/workflow", json={"act": "tag", "value": "handed-over"})
    later = an_alert(stack)
    tombstone = alert.model_copy(deep=True)
    tombstone.jointsoc.alert.state, tombstone.jointsoc.alert.superseded_by = "superseded", later.id
    tombstone.jointsoc.alert.revision = 1 << 62
    tombstone.event.created = to_rfc3339(now_ms())
    send(stack, "pipeline", "alerts", tombstone.to_json())
    heir = eventually(
        lambda: (now := program.get(f"/api/v1/alerts/{later.id}").json().get("workflow", {})).get("tags") and now
    )
    assert heir["tags"] == ["handed-over"]


def test_the_job_s_accounts_reach_the_boards(stack: RunningStack, program: httpx2.Client) -> None:
    an_alert(stack)

    def counted() -> bool:
        cells = program.get("/api/boards/members").json()["cells"]
        return cells[f"{MEMBER}.dead"][0] != NOTHING and cells[f"{MEMBER}.health"][0] != "Never heard of"

    eventually(counted)
    assert program.get("/api/boards/operations").json()["cells"]["difference"][0] == "0"
    assert program.get("/api/boards/rules").json()["cells"]["rules"][0] != "0"
