"""A stack for the benchmarks, a backlog for its job, and how fast the job works it off."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.traffic import MEMBERS, Figures
from connectors.kafka import open_consumer, open_producer
from connectors.settings import KafkaConnection
from deploy.local.configuration import kafka_connection
from deploy.local.flink_job import stop_job
from deploy.local.members import add_members
from deploy.local.processes import find_processes
from deploy.local.settings import StackSettings, load_stack_settings, project_root
from deploy.local.stack import JOB_STEP, down, start, up
from schemas.health import PartitionAccount, health_from_json
from schemas.member import Member


@contextmanager
def bench_stack(*rules: Path) -> Iterator[tuple[StackSettings, float]]:
    """A stack of its own with our rules and these, removed afterwards, and the seconds it took to start."""
    root = project_root()
    base = load_stack_settings()
    settings = replace(
        base, home=root / ".jointsoc" / "bench", port_base=27000, rules=(root / "benchmarks" / "rules", *rules)
    )
    try:
        begun = time.monotonic()
        up(settings, _quiet)
        seconds = time.monotonic() - begun
        add_members(settings, [Member(id=name, name=name) for name in MEMBERS], _quiet)
        yield settings, seconds
    finally:
        down(settings, _quiet, wipe=True)


def work_off(settings: StackSettings, lines: Iterator[bytes], events: int, per_record: int) -> Figures:
    """The job working off a backlog; the processor time is that of broker and TaskManager.

    Args:
        settings: the stack.
        lines: one event each, dealt out to the members record by record.
        events: how many of them.
        per_record: events in one Kafka record.
    """
    stop_job(settings, lambda _: None)
    before = _lines(settings)
    _fill(settings, lines, events, per_record)
    begun = time.monotonic()
    start(settings, JOB_STEP, _quiet)
    samples: list[_Sample] = []
    for moment, done in _progress(settings, before):
        samples.append(_Sample(moment, done, _cpu(settings)))
        if done >= events:
            break
    whole = events / (samples[-1].moment - begun)
    steady = [sample for sample in samples if 0.5 * events <= sample.done <= 0.95 * events]
    if len(steady) < 2:
        return Figures(whole, 0.0, {})
    first, last = steady[0], steady[-1]
    done = last.done - first.done
    spent = {name: (seconds - first.cpu.get(name, 0.0)) / done for name, seconds in last.cpu.items()}
    return Figures(whole, done / (last.moment - first.moment), spent)


class _Sample(NamedTuple):
    moment: float
    done: int
    cpu: dict[str, float]


def _cpu(settings: StackSettings) -> dict[str, float]:
    """Processor seconds so far of the broker, the TaskManager, and its Python workers, oldest first."""
    seconds: dict[str, float] = {}
    for name in ("kafka", "taskmanager-1"):
        for one in find_processes(settings, name):
            process = psutil.Process(one.pid)
            if one.leads:
                told = name
            elif "pyflink.fn_execution.beam.beam_boot" in process.cmdline():
                told = f"python {sum(each.startswith('python') for each in seconds) + 1}"
            else:
                continue
            seconds[told] = sum(process.cpu_times()[:2])
    return seconds


def _fill(settings: StackSettings, lines: Iterator[bytes], events: int, per_record: int) -> None:
    producers = [open_producer(kafka_connection(settings, name)) for name in MEMBERS]
    for number in range(events // per_record):
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
