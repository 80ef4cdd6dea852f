"""Events made to stall the job: the stream goes on, each is evaluated or a dead letter, and no worker goes down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from connectors.kafka import open_producer
from schemas.times import now_ms, to_rfc3339
from tests.conditions import wait_for
from tests.e2e.accounts import accounts, settled_accounts
from tests.running_stack import RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

MEMBER = "kestrel-bank"
UNIQUE = 3_000


def event(name: str, **fields: Any) -> bytes:
    known = {
        "@timestamp": to_rfc3339(now_ms()),
        "event.id": f"hostile-{name}",
        "jointsoc.logsource.product": "jointsoc",
        "jointsoc.logsource.service": "e2e",
    }
    return orjson.dumps(known | fields)


def bearable() -> Iterator[bytes]:
    """What is costly for a matcher that goes back, remembers without bound, or opens groups without bound."""
    yield event("backtracking", **{"process.command_line": "a" * 100_000 + "!"})
    for number in range(UNIQUE):
        text = f"{number:x}" * 50
        yield event(f"unique-{number}", **{"event.action": "probe", "source.ip": text, "process.command_line": text})


def unbearable() -> Iterator[tuple[str, bytes]]:
    """What is refused, and why."""
    yield "too-long", event("text", **{"process.command_line": "a" * 1_000_000})
    yield "too-large", event("line", **{"process.command_line": "a" * 1_100_000})
    yield "too-many-elements", event("array", **{"process.args": ["a"] * 50_000})
    yield "too-many-fields", event("fields", **{f"f{number}": 1 for number in range(50_000)})
    yield "too-deep", event("deep", a=orjson.loads('{"a":' * 100 + "1" + "}" * 100))
    yield "not-json", b"[" * 500_000


def test_hostile_events_neither_stall_the_stream_nor_vanish(stack: RunningStack) -> None:
    before, restarts = settled_accounts(stack), stack.status()["job"].restarts
    letters = Counter(letter.reason for letter in stack.dead_letters())
    refused = Counter(reason for reason, _ in unbearable())
    lines = [*bearable(), *(line for _, line in unbearable()), event("last", **{"event.action": "single"})]
    producer = open_producer(stack.kafka(MEMBER))
    for line in lines:
        producer.send(f"events.{MEMBER}", value=line)
    producer.close()

    def last_alerted() -> bool:
        alerts = stack.alerts(rule_names={"E2E probe that alerts by itself"})
        return any(one["event_id"] == "hostile-last" for each in alerts for one in each["jointsoc"]["evidence"])

    def told() -> tuple[int, int]:
        new = [
            (account.lines - (old.lines if old else 0), account.dead - (old.dead if old else 0))
            for key, account in accounts(stack).items()
            if account.topic == f"events.{MEMBER}"
            for old in [before.get(key)]
        ]
        return sum(lines for lines, _ in new), sum(dead for _, dead in new)

    wait_for(last_alerted)
    wait_for(lambda: told() == (len(lines), refused.total()), told)
    assert Counter(letter.reason for letter in stack.dead_letters()) - letters == refused
    assert stack.status()["job"].restarts == restarts
