"""The dashboard over a full index: how fast alerts are indexed, and how long the server takes for each page.

Run `python -m benchmarks.dashboard`; it starts a Kafka and an Elasticsearch of its own and removes them.
`JSOC_BENCH_ALERTS` (200,000) sets how many alerts there are; a tenth of them is closed. With `JSOC_BENCH_KEEP=1` the
servers' data stay, and the next run measures pages over them without indexing anew.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import httpx2
import psutil
from fastapi import FastAPI
from fastapi.testclient import TestClient
from rich.console import Console
from rich.table import Table

from benchmarks.alert_load import Load, close_some, fill, first_of, index, indexed, newer, send
from connectors.kafka import open_producer
from dashboard.app import create_app
from dashboard.settings import DashboardSettings
from dashboard.tokens import Tokens
from deploy.local.configuration import elasticsearch_connection, kafka_connection
from deploy.local.processes import find_processes
from deploy.local.settings import StackSettings, load_stack_settings, project_root
from deploy.local.stack import down, up
from schemas.times import now_ms

ALERTS = int(os.environ.get("JSOC_BENCH_ALERTS", "200000"))
KEEP = bool(os.environ.get("JSOC_BENCH_KEEP"))
CLOSED_PART = 10
MEASURED = min(ALERTS, 300_000)
"""So many go through Kafka and the indexer; the others are filled in."""
ROUNDS = 20
NEWS = 10
ASK_ANEW_SECONDS = 1.1
"""Between two askings of a page: rows are shared for a while, and a figure of shared rows says nothing."""
ANALYSTS = 50
POLL_SECONDS = 1.0
"""How often an open page asks whether anything is new."""
WATCH_SECONDS = 20
DAY_MS = 86_400_000
SERVERS = frozenset({"kafka", "topics", "elasticsearch"})


def main() -> None:
    """Fill, measure, print."""
    base = load_stack_settings()
    settings = replace(base, home=project_root() / ".jointsoc" / "bench-dashboard", port_base=28000)
    table = Table("measurement", "figure", title=f"{ALERTS:,} alerts")
    load = Load(ALERTS, now_ms() // DAY_MS * DAY_MS)
    try:
        up(settings, lambda *_: None, only=SERVERS)
        if indexed(settings) < ALERTS:
            send(settings, load, MEASURED)
            rate, own, servers = index(settings)
            figure = f"{rate:,.0f} alerts/s; for each alert the indexer takes {own / MEASURED * 1e6:,.0f} us of CPU"
            table.add_row("topic to index", f"{figure}, Elasticsearch {servers / MEASURED * 1e6:,.0f} us")
            fill(settings, load, MEASURED)
            close_some(settings, load, CLOSED_PART)
        up(settings, lambda *_: None, only=frozenset({"indexer"}))
        app = dashboard(settings)
        meter = Meter(settings)
        for name, milliseconds, cpu in pages(app, first_of(load), meter):
            p50, best, worst = statistics.median(milliseconds), min(milliseconds), max(milliseconds)
            table.add_row(name, f"p50 {p50:.0f} ms, best {best:.0f}, worst of {ROUNDS} {worst:.0f}; CPU {cpu:.0f} ms")
        waits = news(settings, app)
        figure = f"p50 {statistics.median(waits):.0f} ms, worst of {NEWS} {max(waits):.0f}"
        table.add_row("appended to Kafka -> in the queue", figure)
        begun = meter.seconds()
        taken, refused, cores = asyncio.run(analysts(app))
        p50, p95 = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
        servers = (meter.seconds() - begun) / WATCH_SECONDS - cores
        figure = f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, {refused} of {len(taken)} told to wait; {cores:.2f} cores"
        table.add_row(f"{ANALYSTS} analysts, each asking every second", f"{figure}, Elasticsearch {servers:.2f}")
    finally:
        down(settings, lambda *_: None, wipe=not KEEP)
        Console().print(table)


class Meter:
    """Processor seconds of the dashboard, which is this process, and of Elasticsearch."""

    def __init__(self, settings: StackSettings) -> None:
        self._processes = [psutil.Process()]
        self._processes += [psutil.Process(found.pid) for found in find_processes(settings, "elasticsearch")]

    def seconds(self) -> float:
        """Since they began."""
        return sum(sum(process.cpu_times()[:2]) for process in self._processes)


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
    return {"authorization": f"Bearer {Tokens(app.state.settings.secrets).make('analyst', uuid4().hex, 1)}"}


def news(settings: StackSettings, app: FastAPI) -> list[float]:
    """From the broker's acknowledgement of an alert until the queue holds it, ms; the first one is not counted."""
    producer = open_producer(kafka_connection(settings, "pipeline"), linger_ms=0)
    page = TestClient(app, base_url="http://127.0.0.1:19080", headers=bearer(app))
    taken = []
    for number in range(1 + NEWS):
        identity, source = newer(ALERTS + number)
        producer.send("alerts", key=identity.encode(), value=source).get(30)
        begun = time.perf_counter()
        while identity not in page.get("/api/queue").text:
            time.sleep(0.05)
        taken.append((time.perf_counter() - begun) * 1000)
    producer.close()
    return taken[1:]


async def analysts(app: FastAPI) -> tuple[list[float], int, float]:
    """Everybody has the queue open: time of each answer in ms, how many were told to wait, the cores used here."""
    taken: list[float] = []
    refused = 0
    transport = httpx2.ASGITransport(app)
    base = "http://127.0.0.1:19080"
    async with httpx2.AsyncClient(transport=transport, base_url=base, headers=bearer(app), timeout=60) as client:

        async def watch(number: int) -> None:
            nonlocal refused
            await asyncio.sleep(POLL_SECONDS * number / ANALYSTS)
            end = time.perf_counter() + WATCH_SECONDS
            while (begun := time.perf_counter()) < end:
                answer = await client.get("/api/queue")
                refused += answer.status_code != 200
                taken.append((time.perf_counter() - begun) * 1000)
                await asyncio.sleep(max(0.0, begun + POLL_SECONDS - time.perf_counter()))

        begun, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(watch(number) for number in range(ANALYSTS)))
        return taken, refused, (time.process_time() - cpu) / (time.perf_counter() - begun)


def pages(app: FastAPI, alert: str, meter: Meter) -> Iterator[tuple[str, list[float], float]]:
    """Each page's server time, ms: rendering and every question to the index included, the network not.

    And the processor time for one, ms: what the page takes at most on two cores that have nothing else to do.
    """
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
        while client.get(path).status_code != 200:  # the first one waits for counts
            time.sleep(ASK_ANEW_SECONDS)
        cpu = meter.seconds()
        for _ in range(ROUNDS):
            time.sleep(ASK_ANEW_SECONDS)
            begun = time.perf_counter()
            answer = client.get(path)
            taken.append((time.perf_counter() - begun) * 1000)
            assert answer.status_code in (200, 503), (path, answer.status_code)
        yield name, taken, (meter.seconds() - cpu) / ROUNDS * 1000


if __name__ == "__main__":
    main()
