"""The pipeline on this machine: Kafka to alert topic, event to searchable alert, start-up. `make bench` prints a table.

Runs a stack of its own beside any other, with its own members and rules. Figures of a shared machine are floors.

With `JSOC_BENCH_RULES` (a folder) and `JSOC_BENCH_LANE` (events, .ndjson.gz) these are added to our rules and sent
instead of our traffic, and rsigma's daemon is given the same, if it is on the path.
"""

from __future__ import annotations

import http
import os
import random
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from elasticsearch import ApiError
from kafka import KafkaProducer
from rich.console import Console
from rich.table import Table

from benchmarks.pipeline_peer import daemon_throughput
from benchmarks.running_job import bench_stack, work_off
from benchmarks.traffic import MEMBERS, Figures, background, event, lane
from connectors.elasticsearch import open_client
from connectors.kafka import open_producer
from deploy.local.configuration import elasticsearch_connection, kafka_connection
from deploy.local.settings import StackSettings

EVENTS = int(os.environ.get("JSOC_BENCH_EVENTS", "300000"))
SECONDS = int(os.environ.get("JSOC_BENCH_SECONDS", "60"))
RULES = tuple(map(Path, filter(None, [os.environ.get("JSOC_BENCH_RULES")])))
LANE = os.environ.get("JSOC_BENCH_LANE", "")
console = Console(stderr=True)


def traffic(seed: int) -> Iterator[bytes]:
    """What is sent."""
    return lane(Path(LANE)) if LANE else background(seed)


def latency(settings: StackSettings, rate: int) -> list[float]:
    """Seconds from append of the completing event to its alert searchable, at `rate` events/s of background."""
    producers = {name: open_producer(kafka_connection(settings, name), linger_ms=5) for name in MEMBERS}
    client = open_client(elasticsearch_connection(settings, "operator"))
    draw, lines = random.Random(rate), background(rate)
    pending: dict[str, float] = {}
    found: list[float] = []
    begun = time.monotonic()
    sent = probes = 0
    while time.monotonic() < begun + SECONDS or (pending and time.monotonic() < begun + SECONDS + 60):
        elapsed = time.monotonic() - begun
        while elapsed < SECONDS and sent < elapsed * rate:
            producers[MEMBERS[sent % 4]].send(f"events.{MEMBERS[sent % 4]}", value=next(lines))
            sent += 1
        if elapsed < SECONDS and probes < elapsed * 2:
            probes += 1
            address = f"198.19.{rate // 100 % 256}.{probes}"
            pending[address] = _probe(producers, probes, address, draw)
        _collect(client, pending, found)
    for producer in producers.values():
        producer.close()
    if pending:
        console.print(f"[red]{len(pending)} alerts were not seen[/red]")
    return sorted(found)


def _probe(producers: dict[str, KafkaProducer], number: int, address: str, draw: random.Random) -> float:
    futures = [
        producers[name].send(f"events.{name}", value=event(number, "probe", address, draw)) for name in MEMBERS[:3]
    ]
    for name in MEMBERS[:3]:
        producers[name].flush()
    return max(future.get(30).timestamp for future in futures) / 1000


def _collect(client: object, pending: dict[str, float], found: list[float]) -> None:
    if not pending:
        return
    query = {"terms": {"jointsoc.group_by.source.ip": list(pending)}}
    try:
        answer = client.search(index="alerts-*", query=query, size=500)  # type: ignore[attr-defined]
    except ApiError as error:
        if error.meta.status != http.HTTPStatus.SERVICE_UNAVAILABLE:
            raise
        return  # an index that has just been made: its shard is not there yet, and the next question comes at once
    now = time.time()
    for hit in answer["hits"]["hits"]:
        address = hit["_source"]["jointsoc"]["group_by"]["source.ip"]
        if address in pending:
            found.append(now - pending.pop(address))


def _told(figures: Figures) -> str:
    rates = f"{figures.steady:,.0f} events/s steady, {figures.whole:,.0f} whole"
    shares = ", ".join(f"{name} {seconds * 1e6:.0f}" for name, seconds in figures.spent.items())
    return f"{rates}, {figures.cpu * 1e6:.0f} us of processor each ({shares})"


def main() -> None:
    """Measure and print."""
    table = Table(title="pipeline on this machine (floors: other work shares it)")
    for column in ("measurement", "figure"):
        table.add_column(column)
    rsigma = shutil.which("rsigma")
    if RULES and LANE and rsigma:
        peer = _told(daemon_throughput(rsigma, RULES[0], list(islice(lane(Path(LANE)), EVENTS))))
        table.add_row("rsigma's daemon over HTTP, the same rules and events", peer)
        console.print(f"rsigma: {peer}")
    with bench_stack(*RULES) as (settings, seconds):
        table.add_row("stack up, warm", f"{seconds:.0f} s")
        for per_record in (1, 100):
            console.print(f"throughput, {per_record} per record ...")
            figures = _told(work_off(settings, traffic(per_record), EVENTS, per_record))
            console.print(f"  {figures}")
            what = Path(LANE).name.partition(".")[0] if LANE else "1 KB events"
            table.add_row(f"Kafka to alerts, {what}, {per_record} per record", figures)
        for rate in (1000, 5000):
            console.print(f"latency at {rate} events/s ...")
            times = latency(settings, rate)
            console.print(f"  {len(times)} alerts, p50 {statistics.median(times):.2f} s")
            p95, p99 = (times[int(len(times) * share) - 1] for share in (0.95, 0.99))
            told = f"p50 {statistics.median(times):.2f} s, p95 {p95:.2f} s, p99 {p99:.2f} s"
            table.add_row(f"append to searchable at {rate:,} events/s", told)
    Console().print(table)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
