"""What the correlations leave out, thin and forget is seen in Flink's own metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from connectors.kafka import open_producer
from deploy.local.flink_rest import ask_flink
from pipeline.correlate.thinning import THIN_ABOVE
from schemas.times import now_ms, to_rfc3339
from tests.conditions import wait_for
from tests.e2e.accounts import settled_accounts
from tests.running_stack import RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

MEMBER = "kestrel-bank"
FLOOD = THIN_ABOVE + 100
"""Hits of one group."""


def line(action: str, name: str, **fields: Any) -> bytes:
    event = {
        "@timestamp": to_rfc3339(now_ms()),
        "event.id": f"metrics-{name}",
        "event.action": action,
        "jointsoc.logsource.product": "jointsoc",
        "jointsoc.logsource.service": "e2e",
    }
    return orjson.dumps(event | fields)


def lines() -> Iterator[bytes]:
    yield b"{no json"
    yield line("probe", "keyless")
    yield line("probe", "many", **{"source.ip": [f"192.0.2.{number}" for number in range(40)]})
    for number in range(FLOOD):
        yield line("probe", f"flood-{number}", **{"source.ip": "192.0.2.200"})
    yield line("knock", "soon-over", **{"source.ip": "192.0.2.201"})


def metrics(stack: RunningStack) -> dict[str, int]:
    """The job's own, by name, over all workers."""
    job = stack.job()
    assert job is not None
    vertices = ask_flink(stack.settings, f"/jobs/{job.id}")["vertices"]
    (correlate,) = [each["id"] for each in vertices if each["name"].startswith("correlate")]
    path = f"/jobs/{job.id}/vertices/{correlate}/subtasks/metrics"
    names = [one["id"] for one in ask_flink(stack.settings, path) if one["id"].startswith("correlate.jointsoc.")]
    if not names:
        return {}
    found = ask_flink(stack.settings, f"{path}?get={','.join(names)}")
    return {one["id"].rpartition(".")[2]: int(one["sum"]) for one in found}


def fresh_metrics(stack: RunningStack) -> dict[str, int]:
    """The metrics as of now or later: Flink shows older ones until it has asked its workers again."""
    shown, found = metrics(stack).get("ticks", 0), dict[str, int]()

    def asked_again() -> bool:
        found.update(metrics(stack))
        return found.get("ticks", 0) > shown

    wait_for(asked_again)
    return found


def test_what_is_left_out_thinned_and_forgotten_raises_a_metric_each(stack: RunningStack) -> None:
    settled_accounts(stack)
    before = fresh_metrics(stack)
    producer = open_producer(stack.kafka(MEMBER))
    for each in lines():
        producer.send(f"events.{MEMBER}", value=each)
    producer.close()

    def risen() -> dict[str, int]:
        return {name: count - before.get(name, 0) for name, count in metrics(stack).items()}

    exact = {"dead": 1, "missing_group_key": 1, "excess_values": 8, "evaluated": FLOOD + 3, "late_after_settle": 0}
    wait_for(lambda: exact.items() <= risen().items(), risen, 60)
    # 32 addresses and the flooded one stay until the lateness is over; the one that knocked, for its own five seconds.
    wait_for(lambda: risen()["thinned_hits"] > 0 and metrics(stack)["groups"] >= 33, risen, 60)
    wait_for(lambda: risen()["ended_groups"] > 0, risen, 60)
