"""The dashboard over a full index: how fast alerts are indexed, and how long the server takes for each page.

Run `python -m benchmarks.dashboard`; it starts an Elasticsearch of its own and removes it. `JSOC_BENCH_ALERTS`
(200,000) sets how many alerts there are; a tenth of them is closed.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b

import httpx
import orjson
from fastapi import FastAPI
from fastapi.testclient import TestClient
from rich.console import Console
from rich.table import Table

from connectors.alert_store import AlertStore, Document
from connectors.documents import ElasticsearchDocuments
from connectors.elasticsearch import open_client
from connectors.patience import Patience
from dashboard.app import create_app
from dashboard.desk import WORKFLOW
from dashboard.settings import DashboardSettings
from dashboard.tokens import Tokens
from dashboard.triage import fresh
from deploy.local.configuration import elasticsearch_connection, kafka_connection
from deploy.local.settings import StackSettings, load_stack_settings, project_root
from deploy.local.stack import down, up
from schemas.alert import (
    Alert,
    AlertEvent,
    AlertRule,
    AlertState,
    JointSoc,
    MemberHit,
    Organizations,
    Threat,
    ThreatItem,
)
from schemas.event import Origin
from schemas.index_template import index_of
from schemas.times import now_ms, to_rfc3339
from schemas.workflow import WorkflowDocument

ALERTS = int(os.environ.get("JSOC_BENCH_ALERTS", "200000"))
ROUNDS = 20
ANALYSTS = 50
POLL_SECONDS = 2.0
"""How often an open page asks whether anything is new."""
WATCH_SECONDS = 20
MEMBERS = tuple(f"member-{number:02}" for number in range(40))


def main() -> None:
    """Fill, measure, print."""
    base = load_stack_settings()
    settings = replace(base, home=project_root() / ".jointsoc" / "bench-dashboard", port_base=28000)
    table = Table("measurement", "figure", title=f"{ALERTS:,} alerts")
    try:
        up(settings, lambda *_: None, only=frozenset({"elasticsearch"}))
        begun = time.monotonic()
        last = fill(settings)
        table.add_row("alerts indexed", f"{ALERTS / (time.monotonic() - begun):,.0f} alerts/s, made on the same cores")
        close_some(settings)
        app = dashboard(settings)
        for name, milliseconds in pages(app, last):
            p50, worst = statistics.median(milliseconds), max(milliseconds)
            table.add_row(name, f"p50 {p50:.0f} ms, worst of {ROUNDS} {worst:.0f} ms")
        table.add_row("acknowledged by the index -> in the queue", f"{news(settings, app):.0f} ms")
        taken, cpu = asyncio.run(analysts(app))
        p50, p95 = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
        figure = f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, {cpu:.2f} cores"
        table.add_row(f"{ANALYSTS} analysts, each asking every {POLL_SECONDS:.0f} s", figure)
    finally:
        down(settings, lambda *_: None, wipe=True)
    Console().print(table)


def an_alert(number: int, draw: random.Random, now: int) -> Alert:
    """One of many: its time within the last 60 days, its key one of 50,000."""
    end = now - draw.randrange(60 * 86_400_000)
    hit = draw.sample(MEMBERS, draw.randint(1, 6))
    at = to_rfc3339(end)
    identity = f"{at[:4]}{at[5:7]}-{blake2b(str(number).encode(), digest_size=12).hexdigest()}"
    level = draw.choice(("low", "medium", "medium", "high", "critical"))
    address = f"203.0.{draw.randrange(200)}.{draw.randrange(250)}"
    rule = draw.randrange(60)
    return Alert(
        timestamp=at,
        event=AlertEvent(id=identity, start=to_rfc3339(end - 600_000), end=at, created=at),
        rule=AlertRule(uuid=f"rule-{rule}", name=f"Rule number {rule}"),
        threat=Threat(tactic=ThreatItem(name=[draw.choice(("credential-access", "impact", "initial-access"))])),
        organization=Organizations(id=hit),
        message=f"{address} failed {draw.randrange(2000)} log-ins at {len(hit)} institutions",
        jointsoc=JointSoc(
            alert=AlertState(revision=number, state=draw.choice(("open", "settled")), level=level),
            group_by={"source.ip": address},
            groups=len(hit),
            events=50,
            members=[MemberHit(id=m, group=m, first_seen=at, last_seen=at, count=9) for m in hit],
        ),
    )


def documents(count: int) -> Iterator[Document]:
    """The alerts as the indexer stores them."""
    draw, now = random.Random(7), now_ms()
    for number in range(count):
        alert = an_alert(number, draw, now)
        source = alert.to_json()
        yield Document(index_of(alert.id), alert.id, number, source, source, Origin("alerts", 0, number, now))


def fill(settings: StackSettings) -> str:
    """Store all alerts; returns the last one's id."""
    connection = elasticsearch_connection(settings, "indexer")
    client = open_client(connection, request_timeout=60)
    store = AlertStore(client, connection, Patience(threading.Event()))
    batch: list[Document] = []
    last = ""
    for document in documents(ALERTS):
        batch.append(document)
        if len(batch) == 2000:
            store.put(batch)
            batch, last = [], document.id
    store.put(batch)
    client.close()
    return last


def close_some(settings: StackSettings) -> None:
    """Close a tenth of them, as an analyst would have."""
    connection = elasticsearch_connection(settings, "dashboard")
    kept, client = ElasticsearchDocuments(connection, request_timeout=60), open_client(connection, request_timeout=60)
    draw, now = random.Random(7), now_ms()
    operations: list[bytes] = []
    for number in range(ALERTS):
        alert = an_alert(number, draw, now)
        if number % 10:
            continue
        closed = fresh(alert, alert.timestamp).model_copy(
            update={"status": "closed", "reason": "duplicate", "revision": 1}
        )
        body = WorkflowDocument(workflow=closed).model_dump(mode="json")
        if not operations and number == 0:
            kept.put(WORKFLOW, alert.id, body, None)  # makes the index with its mapping
            continue
        operations += [orjson.dumps({"index": {"_index": WORKFLOW.index, "_id": alert.id}}), orjson.dumps(body)]
        if len(operations) == 2000:
            client.bulk(operations=operations)
            operations = []
    if operations:
        client.bulk(operations=operations)
    client.indices.refresh(index=WORKFLOW.index)
    kept.close()
    client.close()


def dashboard(settings: StackSettings) -> FastAPI:
    """The application as the stack runs it, over the full index."""
    return create_app(
        DashboardSettings(
            elasticsearch=elasticsearch_connection(settings, "dashboard"),
            kafka=kafka_connection(settings, "dashboard"),
            members_file=settings.home / "members.yml",
            secrets_dir=settings.secrets,
        )
    )


def bearer(app: FastAPI) -> dict[str, str]:
    """The header of a program that may read."""
    return {"authorization": f"Bearer {Tokens(app.state.settings.secrets).make('analyst', 'bench', 1)}"}


def news(settings: StackSettings, app: FastAPI) -> float:
    """From the index's acknowledgement of one alert until the queue holds it, ms."""
    connection = elasticsearch_connection(settings, "indexer")
    client = open_client(connection)
    alert = an_alert(ALERTS, random.Random(11), now_ms() + 60 * 86_400_000)
    source = alert.to_json()
    document = Document(index_of(alert.id), alert.id, ALERTS, source, source, Origin("alerts", 0, ALERTS, now_ms()))
    AlertStore(client, connection, Patience(threading.Event())).put([document])
    begun = time.perf_counter()
    page = TestClient(app, base_url="http://127.0.0.1:19080", headers=bearer(app))
    while alert.id not in page.get("/api/queue").text:
        time.sleep(0.05)
    client.close()
    return (time.perf_counter() - begun) * 1000


async def analysts(app: FastAPI) -> tuple[list[float], float]:
    """Everybody has the queue open: time of each answer in ms, and the cores this process used meanwhile."""
    taken: list[float] = []
    transport = httpx.ASGITransport(app)
    base = "http://127.0.0.1:19080"
    async with httpx.AsyncClient(transport=transport, base_url=base, headers=bearer(app), timeout=60) as client:

        async def watch(number: int) -> None:
            await asyncio.sleep(POLL_SECONDS * number / ANALYSTS)
            end = time.perf_counter() + WATCH_SECONDS
            while (begun := time.perf_counter()) < end:
                answer = await client.get("/api/queue")
                assert answer.status_code == 200, answer.status_code
                taken.append((time.perf_counter() - begun) * 1000)
                await asyncio.sleep(max(0.0, begun + POLL_SECONDS - time.perf_counter()))

        begun, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(watch(number) for number in range(ANALYSTS)))
        return taken, (time.process_time() - cpu) / (time.perf_counter() - begun)


def pages(app: FastAPI, alert: str) -> Iterator[tuple[str, list[float]]]:
    """Each page's server time, ms: rendering and every question to the index included, the network not."""
    client = TestClient(app, base_url="http://127.0.0.1:19080", headers=bearer(app))
    for name, path in (
        ("queue page", "/"),
        ("queue update", "/api/queue"),
        ("queue, critical and high, grouped", "/?level=critical&level=high&group=key"),
        ("queue, text", "/?q=203.0.113"),
        ("closed", "/?status=closed"),
        ("alert page", f"/alerts/{alert}"),
        ("operations board", "/operations"),
    ):
        taken = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            answer = client.get(path)
            taken.append((time.perf_counter() - begun) * 1000)
            assert answer.status_code == 200, (path, answer.status_code)
        yield name, taken


if __name__ == "__main__":
    main()
