"""A backlog of records as large as the broker takes: the TaskManager's heap holds what it reads of it at a time."""

from __future__ import annotations

import random
from collections.abc import Iterator

import orjson
import pytest

from connectors.kafka import MAX_RECORD_BYTES, open_producer
from schemas.times import now_ms, to_rfc3339
from tests.conditions import wait_for
from tests.e2e.accounts import accounts, settled_accounts
from tests.running_stack import RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

MEMBER = "kestrel-bank"
EVENT_BYTES = 1_024
BACKLOG_BYTES = 400_000_000
"""About as much as the TaskManager's heap; as logs do, it compresses well, so that a fetch brings much of it."""


def record(draw: random.Random, number: int, size: int) -> Iterator[bytes]:
    """Lines of one record, together about so many bytes."""
    for line in range(size // EVENT_BYTES):
        filler = f"{draw.getrandbits(64):x} GET /index.html HTTP/1.1 " * 19
        known = {"event.id": f"large-{size}-{number}-{line}", "event.original": filler}
        yield orjson.dumps({"@timestamp": to_rfc3339(now_ms()), **known})


@pytest.mark.parametrize("size", [100_000, MAX_RECORD_BYTES - 100_000])
def test_a_backlog_of_large_records_does_not_fill_the_taskmanagers_heap(stack: RunningStack, size: int) -> None:
    before = settled_accounts(stack)
    stack.kill("taskmanager-1")
    draw, sent = random.Random(size), 0
    producer = open_producer(stack.kafka(MEMBER))
    for number in range(BACKLOG_BYTES // size):
        lines = list(record(draw, number, size))
        sent += len(lines)
        producer.send(f"events.{MEMBER}", value=b"\n".join(lines))
    producer.close()
    stack.start("taskmanager-1")
    process = stack.status()["taskmanager-1"].pid

    def read() -> int:
        told = [(key, account) for key, account in accounts(stack).items() if account.topic == f"events.{MEMBER}"]
        return sum(account.lines - before[key].lines for key, account in told)

    wait_for(lambda: read() == sent, lambda: (read(), sent))
    assert stack.status()["taskmanager-1"].pid == process, "it ended, and was started anew"
