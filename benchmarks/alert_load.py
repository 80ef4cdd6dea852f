"""Alerts for the dashboard's benchmark: made, sent to the topic `alerts`, indexed by the real indexer, some closed."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import orjson
import psutil
from kafka.admin import OffsetSpec
from kafka.errors import CoordinatorLoadInProgressError, NotCoordinatorError

from connectors.documents import ElasticsearchDocuments
from connectors.elasticsearch import open_client
from connectors.kafka import open_admin, open_producer
from connectors.kafka_admin import group_lag, topic_partitions
from dashboard.desk import WORKFLOW
from dashboard.triage import fresh
from deploy.local.configuration import elasticsearch_connection, kafka_connection
from deploy.local.kafka_access import ADMIN
from deploy.local.processes import find_processes
from deploy.local.settings import StackSettings
from deploy.local.stack import up
from schemas.alert import Alert, alert_from_json
from schemas.index_template import INDEX_PATTERN, index_of
from schemas.times import now_ms, to_rfc3339
from schemas.workflow import WorkflowDocument

MEMBERS = tuple(f"member-{number:02}" for number in range(40))
DAYS = 60


class Load:
    """So many alerts, the same ones each time they are asked for.

    Args:
        count: how many.
        now: ms since 1970; the newest is not later.
    """

    def __init__(self, count: int, now: int) -> None:
        self.count, self._now = count, now

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Id and JSON of each, its time within the last 60 days, its key one of 50,000."""
        draw = random.Random(7)
        for number in range(self.count):
            yield an_alert(number, draw, self._now - draw.randrange(DAYS * 86_400_000))


def an_alert(number: int, draw: random.Random, end: int) -> tuple[str, bytes]:
    """Id and JSON of one."""
    hit = draw.sample(MEMBERS, draw.randint(1, 6))
    at, rule = to_rfc3339(end), draw.randrange(60)
    identity = f"{at[:4]}{at[5:7]}-{number * 0x9E3779B97F4A7C15 % 2**96:024x}"
    address = f"203.0.{draw.randrange(200)}.{draw.randrange(250)}"
    alert: dict[str, Any] = {
        "@timestamp": at,
        "event": {"kind": "alert", "id": identity, "start": to_rfc3339(end - 600_000), "end": at, "created": at},
        "rule": {"uuid": f"rule-{rule}", "name": f"Rule number {rule}"},
        "threat": {"tactic": {"name": [draw.choice(("credential-access", "impact", "initial-access"))]}},
        "organization": {"id": hit},
        "message": f"{address} failed {draw.randrange(2000)} log-ins at {len(hit)} institutions",
        "jointsoc": {
            "alert": {
                "revision": number,
                "state": draw.choice(("open", "settled")),
                "level": draw.choice(("low", "medium", "medium", "high", "critical")),
            },
            "group_by": {"source.ip": address},
            "groups": len(hit),
            "events": 50,
            "members": [{"id": m, "group": m, "first_seen": at, "last_seen": at, "count": 9} for m in hit],
            "evidence": [evidence(number, member, at) for member in hit[:3]],
        },
    }  # fmt: skip
    return identity, orjson.dumps(alert)


def evidence(number: int, member: str, at: str) -> dict[str, Any]:
    """One line of evidence."""
    place = {"topic": f"events.{member}", "partition": 0, "offset": number, "line": 0}
    return {"member": member, "event_id": f"e{number}", "time": at, "rule": ["Log-in failed"]} | place


def send(settings: StackSettings, load: Load, count: int) -> None:
    """So many of them into the topic."""
    producer = open_producer(kafka_connection(settings, "pipeline"))
    for identity, source in islice(load, count):
        producer.send("alerts", key=identity.encode(), value=source)
    producer.flush()
    producer.close()


def index(settings: StackSettings) -> tuple[float, float, float]:
    """Let the indexer store what the topic holds.

    Returns:
        Alerts per second, counted from the first commit on, so that its start is not part of the figure; and the
        processor seconds that it took itself, its start included, and Elasticsearch.
    """
    admin = open_admin(kafka_connection(settings, ADMIN))
    partitions = topic_partitions(admin, "alerts")
    ends = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
    whole = lag = sum(end.offset for end in ends.values())
    up(settings, lambda *_: None, only=frozenset({"indexer"}))
    process = psutil.Process(find_processes(settings, "indexer")[0].pid)
    servers = [psutil.Process(one.pid) for one in find_processes(settings, "elasticsearch")]
    before = sum(sum(one.cpu_times()[:2]) for one in servers)
    begun, first = 0.0, 0
    while lag:
        time.sleep(0.2)
        with suppress(CoordinatorLoadInProgressError, NotCoordinatorError):  # the group is being made
            lag = group_lag(admin, "indexer", partitions)
        if not begun and lag < whole:
            begun, first = time.monotonic(), lag
    admin.close()
    used = process.cpu_times()
    after = sum(sum(one.cpu_times()[:2]) for one in servers)
    return first / (time.monotonic() - begun), used.user + used.system, after - before


def fill(settings: StackSettings, load: Load, count: int) -> None:
    """The others straight into the index, in whatever way is quickest."""
    connection = elasticsearch_connection(settings, "rebuilder")
    client = open_client(connection, request_timeout=120)
    operations: list[bytes] = []
    for number, (identity, source) in enumerate(islice(load, count, None)):
        target = {
            "_index": index_of(identity),
            "_id": identity,
            "version": number + count,
            "version_type": "external_gte",
        }
        operations += [orjson.dumps({"index": target}), source]
        if len(operations) == 6000:
            client.bulk(operations=operations)
            operations = []
    if operations:
        client.bulk(operations=operations)
    client.close()


def close_some(settings: StackSettings, load: Load, part: int) -> None:
    """Close one in so many of them, as an analyst would have."""
    connection = elasticsearch_connection(settings, "dashboard")
    kept, client = ElasticsearchDocuments(connection, request_timeout=60), open_client(connection, request_timeout=60)
    operations: list[bytes] = []
    for number, (identity, source) in enumerate(load):
        if number % part:
            continue
        body = _closed(alert_from_json(source))
        if number == 0:
            kept.put(WORKFLOW, identity, body, None)  # makes the index with its mapping
            continue
        operations += [orjson.dumps({"index": {"_index": WORKFLOW.index, "_id": identity}}), orjson.dumps(body)]
        if len(operations) == 4000:
            client.bulk(operations=operations)
            operations = []
    if operations:
        client.bulk(operations=operations)
    client.indices.refresh(index=WORKFLOW.index)
    kept.close()
    client.close()


def _closed(alert: Alert) -> dict[str, Any]:
    closed = fresh(alert, alert.timestamp).model_copy(update={"status": "closed", "reason": "duplicate", "revision": 1})
    return WorkflowDocument(workflow=closed).model_dump(mode="json")


def indexed(settings: StackSettings) -> int:
    """How many alerts the index holds; 0 where there is none."""
    with open_client(elasticsearch_connection(settings, "dashboard")) as client:
        return int(client.count(index=INDEX_PATTERN, ignore_unavailable=True)["count"])


def first_of(load: Load) -> str:
    """The id of one that is there."""
    return next(iter(load))[0]


def newer(count: int) -> tuple[str, bytes]:
    """One more, newer than all others."""
    return an_alert(count, random.Random(11), now_ms())
