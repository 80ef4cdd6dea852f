"""An outage of the broker on this machine: what arrives meanwhile, whether it is all there, in order, and how soon.

Starts a Kafka of its own and a forwarder, takes Kafka away, writes as many lines as an hour at 2,000 events/s brings
(rotating the log as it grows), brings Kafka back while lines keep coming at that rate, and reads the topic to its end.
`python -m benchmarks.outage [lines]`.
"""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

from kafka import TopicPartition
from rich.console import Console
from rich.table import Table

from benchmarks.forwarder import MEMBER, broker, configured, quiet, resident, run_command
from connectors.kafka import open_consumer
from connectors.settings import KafkaConnection
from deploy.local import stack
from deploy.local.kafka_access import ADMIN, kafka_connection

LINES = int(sys.argv[1]) if len(sys.argv) > 1 else 7_200_000
RATE = 2_000
"""Events a second, before and after the outage."""
AWAY_SECONDS = 120
"""At least: so long that every record under way is given up by the client."""
ROTATE_LINES = 1_000_000
BEFORE_SECONDS = 10
NUMBER = re.compile(rb'"http.response.body.bytes":(\d+)')


class Log:
    """An access log whose lines are numbered, in the field of the response's size."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("w", encoding="utf-8")
        draw = random.Random(7)
        self._beginnings = [
            f"{'.'.join(str(draw.randrange(1, 223)) for _ in range(4))} - - [23/Nov/2026:10:{draw.randrange(60):02}:00 "
            f'+0800] "GET /shop/{draw.randrange(3000)} HTTP/1.1" 200 '
            for _ in range(10_000)
        ]
        self.lines = 0

    def write(self, count: int) -> None:
        """So many more lines."""
        for number in range(self.lines, self.lines + count):
            self._file.write(f'{self._beginnings[number % 10_000]}{number} "-" "Mozilla/5.0 (X11; Linux x86_64)"\n')
        self._file.flush()
        self.lines += count

    def rotate(self) -> None:
        """As logrotate does it: renamed, and a new file in its place."""
        self._file.close()
        self._path.rename(self._path.with_name(f"{self._path.name}.{self.lines}"))
        self._file = self._path.open("w", encoding="utf-8")

    def grow(self, stop: threading.Event) -> None:
        """Lines at the usual rate."""
        begun, written = time.monotonic(), 0
        while not stop.wait(0.05):
            due = int((time.monotonic() - begun) * RATE) - written
            self.write(due)
            written += due


class Arrived(NamedTuple):
    """What the topic holds."""

    events: int
    repeated: int
    """Sent twice, with the same ids."""
    missing: int
    """Numbers that are not there where their turn is: lost, or out of order."""


class Reader:
    """Reads the numbers in the topic, in the topic's order."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._consumer = open_consumer(connection, group_id=None)
        topic = f"events.{MEMBER}"
        self._consumer.assign([TopicPartition(topic, one) for one in self._consumer.partitions_for_topic(topic)])
        self._consumer.seek_to_beginning()
        self.next = self.repeated = self.missing = 0

    def read_to(self, number: int) -> None:
        """Until everything before this number was seen."""
        while self.next < number:
            for records in self._consumer.poll(timeout_ms=500).values():
                for record in records:
                    for found in NUMBER.findall(record.value or b""):
                        self._take(int(found))

    def _take(self, number: int) -> None:
        if number < self.next:
            self.repeated += 1
            return
        self.missing += number - self.next
        self.next = number + 1

    def arrived(self) -> Arrived:
        """The account."""
        self._consumer.close()
        return Arrived(self.next, self.repeated, self.missing)


def main() -> None:
    """Measure and print."""
    table = Table(title="The broker is away (floors: other work shares the machine)")
    for column in ("lines meanwhile", "away", "caught up in", "events/s", "times real time", "lost or out of order"):
        table.add_column(column)
    table.add_column("sent twice")
    table.add_column("memory")
    with broker() as (settings, connection):
        log = Log(settings.home / "access.log")
        command = run_command(configured(settings.home, settings.home / "access.log", "nginx-access", connection))
        with subprocess.Popen(command, stderr=(settings.home / "forwarder.err").open("wb")) as process:
            _grow_for(log, BEFORE_SECONDS)
            stack.stop(settings, "kafka")
            gone, before = time.monotonic(), log.lines
            while log.lines < before + LINES:
                log.write(min(ROTATE_LINES, before + LINES - log.lines))
                log.rotate()
                time.sleep(2)  # a rotation is noticed; an hour's rotations are further apart than this
            time.sleep(max(0.0, gone + AWAY_SECONDS - time.monotonic()))
            stack.start(settings, "kafka", quiet)
            back, backlog = time.monotonic(), log.lines
            stop = threading.Event()
            growing = threading.Thread(target=log.grow, args=(stop,))
            growing.start()
            reader = Reader(kafka_connection(settings, ADMIN))
            reader.read_to(backlog)
            caught_up, sent = time.monotonic() - back, reader.next - before
            stop.set()
            growing.join()
            reader.read_to(log.lines)
            memory = resident(process.pid)
            process.send_signal(signal.SIGTERM)
        arrived = reader.arrived()
        table.add_row(
            f"{LINES:,}",
            f"{back - gone:,.0f} s",
            f"{caught_up:,.0f} s",
            f"{sent / caught_up:,.0f}",
            f"{sent / caught_up / RATE:.1f}",
            f"{arrived.missing:,}",
            f"{arrived.repeated:,}",
            f"{memory / 2**20:.0f} MiB",
        )
    Console(width=140).print(table)


def _grow_for(log: Log, seconds: float) -> None:
    stop = threading.Event()
    threading.Timer(seconds, stop.set).start()
    log.grow(stop)


if __name__ == "__main__":
    main()
