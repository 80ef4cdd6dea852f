"""The pipeline on this machine: Kafka to alert topic, event to searchable alert, start-up. `make bench` prints a table.

Runs a stack of its own beside any other, with its own members and rules. Figures of a shared machine are floors.

With `JSOC_BENCH_RULES` (a folder) and `JSOC_BENCH_LANE` (events, .ndjson.gz) these are added to our rules and sent
instead of our traffic, and rsigma's daemon is given the same, if it is on the path.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import psutil
from kafka import KafkaProducer
from rich.console import Console
from rich.table import Table

from benchmarks.pipeline_peer import daemon_throughput
from benchmarks.traffic import MEMBERS, Figures, background, event, lane
from connectors.elasticsearch import open_client
from connectors.kafka import open_consumer, open_producer
from connectors.settings import KafkaConnection
from deploy.local.configuration import elasticsearch_connection, kafka_connection
from deploy.local.flink_job import stop_job
from deploy.local.members import add_members
from deploy.local.processes import find_processes
from deploy.local.settings import StackSettings, load_stack_settings, project_root
from deploy.local.stack import JOB_STEP, down, start, up
from schemas.health import PartitionAccount, health_from_json
from schemas.member import Member

EVENTS = int(os.environ.get("JSOC_BENCH_EVENTS", "300000"))
SECONDS = int(os.environ.get("JSOC_BENCH_SECONDS", "60"))
RULES = tuple(map(Path, filter(None, [os.environ.get("JSOC_BENCH_RULES")])))
LANE = os.environ.get("JSOC_BENCH_LANE", "")
console = Console(stderr=True)


@contextmanager
def bench_stack() -> Iterator[tuple[StackSettings, float]]:
    """A stack of its own, removed afterwards, and the seconds it took to start."""
    root = project_root()
    base = load_stack_settings()
    rules = (root / "benchmarks" / "rules", *RULES)
    settings = replace(base, home=root / ".jointsoc" / "bench", port_base=27000, rules=rules)
    try:
        begun = time.monotonic()
        up(settings, _quiet)
        seconds = time.monotonic() - begun
        add_members(settings, [Member(id=name, name=name) for name in MEMBERS], _quiet)
        yield settings, seconds
    finally:
        down(settings, _quiet, wipe=True)


def throughput(settings: StackSettings, per_record: int) -> Figures:
    """The job working off a backlog; the processor time is that of broker and TaskManager."""
    stop_job(settings, lambda _: None)
    before = _lines(settings)
    _fill(settings, per_record)
    spent, begun = _cpu(settings), time.monotonic()
    start(settings, JOB_STEP, _quiet)
    samples: list[tuple[float, int]] = []
    for moment, lines in _progress(settings, before):
        samples.append((moment, lines))
        if lines >= EVENTS:
            break
    steady = [(moment, lines) for moment, lines in samples if 0.05 * EVENTS <= lines <= 0.95 * EVENTS]
    slope = 0.0
    if len(steady) > 1:
        slope = (steady[-1][1] - steady[0][1]) / (steady[-1][0] - steady[0][0])
    return Figures(EVENTS / (samples[-1][0] - begun), slope, (_cpu(settings) - spent) / EVENTS)


def _cpu(settings: StackSettings) -> float:
    """Processor seconds so far of the broker, the TaskManager and its Python workers."""
    pids = [one.pid for name in ("kafka", "taskmanager-1") for one in find_processes(settings, name)]
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


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
    answer = client.search(index="alerts-*", query=query, size=500)  # type: ignore[attr-defined]
    now = time.time()
    for hit in answer["hits"]["hits"]:
        address = hit["_source"]["jointsoc"]["group_by"]["source.ip"]
        if address in pending:
            found.append(now - pending.pop(address))


def _fill(settings: StackSettings, per_record: int) -> None:
    lines = traffic(per_record)
    producers = [open_producer(kafka_connection(settings, name)) for name in MEMBERS]
    for number in range(EVENTS // per_record):
        producer, name = producers[number % 4], MEMBERS[number % 4]
        producer.send(f"events.{name}", value=b"\n".join(islice(lines, per_record)))
    for producer in producers:
        producer.close()


def _lines(settings: StackSettings) -> dict[tuple[str, int], int]:
    connection = kafka_connection(settings, "dashboard")
    consumer = open_consumer(connection, "health", group_id=None, consumer_timeout_ms=10_000)
    newest: dict[tuple[str, int], int] = {}
    for record in consumer:  # the job is stopped: nothing comes any more
        _note(record.value, newest)
    consumer.close()
    return newest


def _progress(settings: StackSettings, before: dict[tuple[str, int], int]) -> Iterator[tuple[float, int]]:
    connection: KafkaConnection = kafka_connection(settings, "dashboard")
    consumer = open_consumer(
        connection, "health", group_id=None, auto_offset_reset="latest", consumer_timeout_ms=300_000
    )
    newest = dict(before)
    for record in consumer:
        _note(record.value, newest)
        yield time.monotonic(), sum(newest.values()) - sum(before.values())


def _note(value: bytes, newest: dict[tuple[str, int], int]) -> None:
    message = health_from_json(value)
    if isinstance(message, PartitionAccount):
        newest[message.topic, message.partition] = message.lines


def _quiet(*_: object) -> None:
    """The stack's progress is not wanted here."""


def _told(figures: Figures) -> str:
    rates = f"{figures.steady:,.0f} events/s steady, {figures.whole:,.0f} whole"
    return f"{rates}, {figures.cpu * 1e6:.0f} us of processor each"


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
    with bench_stack() as (settings, seconds):
        table.add_row("stack up, warm", f"{seconds:.0f} s")
        for per_record in (1, 100):
            console.print(f"throughput, {per_record} per record ...")
            figures = _told(throughput(settings, per_record))
            console.print(f"  {figures}")
            what = Path(LANE).name.partition(".")[0] if LANE else "1 KB events"
            table.add_row(f"Kafka to alerts, {what}, {per_record} per record", figures)
        for rate in (1000, 5000):
            console.print(f"latency at {rate} events/s ...")
            times = latency(settings, rate)
            console.print(f"  {len(times)} alerts, p50 {statistics.median(times):.2f} s")
            p99 = times[int(len(times) * 0.99) - 1]
            table.add_row(
                f"append to searchable at {rate:,} events/s", f"p50 {statistics.median(times):.2f} s, p99 {p99:.2f} s"
            )
    Console().print(table)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
