"""The forwarder as a process of its own, against the real broker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from kafka import KafkaConsumer, TopicPartition

from connectors.kafka import open_consumer
from deploy.local.certificates import CertificateAuthority
from schemas.health import Heartbeat, health_from_json
from tests.connectors.forwarder.bench import Bench, until
from tests.running_stack import RunningStack

pytestmark = pytest.mark.stack

TOPIC = "events.kestrel-bank"
ROOT = Path(__file__).parents[3]
INTERNAL = (
    '{{"time":"2026-11-23T02:00:{:02}.{:03}Z","event":"login","result":"success","ip":"10.0.0.9","user":"u{}"}}\n'
)
"""No rule of the stack makes anything of it: other tests see no alert of ours."""


class Reader:
    """Everything that arrives in a topic from now on."""

    def __init__(self, stack: RunningStack, topic: str) -> None:
        self._connection = stack.kafka("admin")
        self.consumer: KafkaConsumer = open_consumer(self._connection, group_id=None)
        partitions = [TopicPartition(topic, number) for number in self.consumer.partitions_for_topic(topic) or ()]
        self.consumer.assign(partitions)
        self.consumer.seek_to_end()
        for partition in partitions:
            self.consumer.position(partition)
        self.records: list[Any] = []
        self.events: list[dict[str, Any]] = []
        self.ids: set[str] = set()

    def reconnect(self) -> None:
        """Go on with a new consumer: the old one may take minutes to notice that the broker came back."""
        places = {partition: self.consumer.position(partition) for partition in self.consumer.assignment()}
        self.consumer.close()
        self.consumer = open_consumer(self._connection, group_id=None)
        self.consumer.assign(list(places))
        for partition, offset in places.items():
            self.consumer.seek(partition, offset)

    def count(self) -> int:
        """How many different events have arrived."""
        for batch in self.consumer.poll(timeout_ms=200).values():
            new = [record for record in batch if not any(key == "tick" for key, _ in record.headers)]
            self.records += new
            self.events += [orjson.loads(line) for record in new for line in record.value.split(b"\n")]
        self.ids = {event["event.id"] for event in self.events if "event.id" in event}
        return len(self.ids)


@pytest.fixture
def reader(stack: RunningStack) -> Iterator[Reader]:
    made = Reader(stack, TOPIC)
    yield made
    made.consumer.close()


@pytest.fixture
def bench(stack: RunningStack, tmp_path: Path) -> Bench:
    made = Bench(tmp_path, stack.kafka("kestrel-bank").model_dump(mode="json"))
    made.settings()
    return made


class ForwarderProcess:
    """`jsoc forward run`."""

    def __init__(self, bench: Bench) -> None:
        self.log = bench.folder / "forwarder.log"
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.cli", "forward", "run", "--config", str(bench.config)],
                cwd=ROOT,
                stdout=out,
                stderr=out,
            )

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(30) == 0, self.log.read_text(encoding="utf-8")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def memory(self) -> int:
        """Resident bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def log_internal(bench: Bench, numbers: range) -> None:
    bench.log("".join(INTERNAL.format(number // 1000 % 60, number % 1000, number) for number in numbers))


def test_lines_arrive_as_ndjson_batches_with_their_schema_and_a_heartbeat(
    stack: RunningStack, bench: Bench, reader: Reader
) -> None:
    health = Reader(stack, "health.kestrel-bank")
    log_internal(bench, range(1000))
    process = ForwarderProcess(bench)
    until(lambda: reader.count() == 1000, 60)
    assert process.memory() < 120 * 1024 * 1024
    process.stop()
    assert len(reader.events) == 1000
    assert len(reader.records) < 50
    assert all(record.key == b"portal" and dict(record.headers) == {"schema": b"1"} for record in reader.records)
    until(lambda: acknowledged(health) == 1000, 60)
    health.consumer.close()


def acknowledged(health: Reader) -> int:
    """What the newest heartbeat says."""
    health.count()
    beats = [health_from_json(record.value) for record in health.records]
    ours = [beat for beat in beats if isinstance(beat, Heartbeat) and beat.member == "kestrel-bank"]
    return ours[-1].inputs[0].acknowledged if ours else 0


def starts(process: ForwarderProcess) -> int:
    return process.log.read_bytes().count(b"forwarder.started")


def test_killed_again_and_again_it_loses_nothing(bench: Bench, reader: Reader) -> None:
    for turn in range(3):
        log_internal(bench, range(turn * 5000, turn * 5000 + 5000))
        process = ForwarderProcess(bench)
        before = reader.count()
        until(lambda before=before: reader.count() > before, 60)
        until(lambda process=process, turn=turn: starts(process) > turn, 60)  # what was read may be of the one before
        process.kill()
    process = ForwarderProcess(bench)
    until(lambda: reader.count() >= 15_000, 60)
    until(lambda: starts(process) == 4, 60)
    process.stop()
    assert reader.count() == len({event["user.hash"] for event in reader.events}) == 15_000


def test_an_outage_of_the_broker_loses_nothing_and_keeps_the_order(
    stack: RunningStack, bench: Bench, reader: Reader
) -> None:
    process = ForwarderProcess(bench)
    log_internal(bench, range(500))
    until(lambda: reader.count() == 500, 60)
    stack.stop("kafka")
    log_internal(bench, range(500, 5000))
    stack.start("kafka")
    reader.reconnect()
    log_internal(bench, range(5000, 5500))
    until(lambda: reader.count() == 5500, 240)
    process.stop()
    arrived: dict[str, str] = {}
    for event in reader.events:
        arrived.setdefault(event["event.id"], event["@timestamp"])  # of what came twice, the first
    times = list(arrived.values())
    assert times == sorted(times)
    assert len({event["user.hash"] for event in reader.events}) == 5500


def test_a_member_may_show_a_certificate_in_place_of_a_password(
    stack: RunningStack, bench: Bench, reader: Reader
) -> None:
    certificate = CertificateAuthority(stack.settings.secrets).ensure("kestrel-bank")
    connection = {
        "bootstrap_servers": [f"127.0.0.1:{stack.settings.port('kafka-internal')}"],
        "security_protocol": "SSL",
        "ca_file": bench.data["kafka"]["ca_file"],
        "certificate_file": str(certificate),
        "key_file": str(certificate),
    }
    bench.data["kafka"] = connection
    bench.settings()
    log_internal(bench, range(100))
    process = ForwarderProcess(bench)
    until(lambda: reader.count() == 100, 60)
    process.stop()


def test_a_member_cannot_forward_as_another(stack: RunningStack, bench: Bench) -> None:
    foreign = Reader(stack, "events.heron-bank")
    bench.data["member"] = "heron-bank"
    bench.settings()
    log_internal(bench, range(10))
    process = ForwarderProcess(bench)
    until(lambda: b"TopicAuthorizationFailed" in process.log.read_bytes(), 60)
    process.stop()
    assert foreign.count() == 0
    foreign.consumer.close()
