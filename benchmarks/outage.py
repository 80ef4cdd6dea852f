"""An outage of the broker on this machine: what arrives meanwhile, whether it is all there, in order, and how soon.

Starts a Kafka of its own and a forwarder, takes Kafka away, writes as many lines as an hour at 2,000 events/s brings
(rotating the log as it grows), brings Kafka back while lines keep coming at that rate, and reads the topic to its end.
`python -m benchmarks.outage [--lines N] [--live]`: the lines come at once, or live, in the hour they stand for.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple

from kafka import TopicPartition
from rich.console import Console
from rich.table import Table

from benchmarks.forwarder import MEMBER, STATE, broker, configured, quiet, resident, run_command
from connectors.kafka import open_consumer
from connectors.settings import KafkaConnection
from deploy.local import stack
from deploy.local.kafka_access import ADMIN, kafka_connection

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
        """Lines at the usual rate, until told to stop."""
        begun, before = time.monotonic(), self.lines
        while not stop.wait(0.05):
            self.write(before + int((time.monotonic() - begun) * RATE) - self.lines)

    def grow_live(self, count: int) -> None:
        """So many lines at the usual rate, rotated now and then."""
        begun, before = time.monotonic(), self.lines
        for last in range(ROTATE_LINES, count + ROTATE_LINES, ROTATE_LINES):
            while (written := self.lines - before) < min(last, count):
                time.sleep(0.05)
                self.write(min(int((time.monotonic() - begun) * RATE), last, count) - written)
            self.rotate()

    def grow_at_once(self, count: int) -> None:
        """So many lines as fast as they can be written, rotated now and then."""
        last = self.lines + count
        while self.lines < last:
            self.write(min(ROTATE_LINES, last - self.lines))
            self.rotate()
            time.sleep(2)  # a rotation is noticed; an hour's rotations are further apart than this


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
    parser = argparse.ArgumentParser(description="An outage of the broker.")
    parser.add_argument("--lines", type=int, default=7_200_000, help="that come while the broker is away")
    parser.add_argument("--live", action="store_true", help=f"at {RATE:,} a second, not at once")
    asked = parser.parse_args()
    table = Table(title="The broker is away (floors: other work shares the machine)")
    for column in ("lines meanwhile", "away", "caught up in", "events/s", "times real time", "per CPU second"):
        table.add_column(column)
    for column in ("lost or out of order", "sent twice", "memory", "state on disk"):
        table.add_column(column)
    with broker() as (settings, connection):
        log = Log(settings.home / "access.log")
        command = run_command(configured(settings.home, settings.home / "access.log", "nginx-access", connection))
        with subprocess.Popen(command, stderr=(settings.home / "forwarder.err").open("wb")) as process:
            _grow_for(log, BEFORE_SECONDS)
            stack.stop(settings, "kafka")
            gone, before = time.monotonic(), log.lines
            (log.grow_live if asked.live else log.grow_at_once)(asked.lines)
            time.sleep(max(0.0, gone + AWAY_SECONDS - time.monotonic()))
            stored, used = disk(settings.home / STATE), cpu_seconds(process.pid)
            stack.start(settings, "kafka", quiet)
            back, backlog = time.monotonic(), log.lines
            stop = threading.Event()
            growing = threading.Thread(target=log.grow, args=(stop,))
            growing.start()
            reader = Reader(kafka_connection(settings, ADMIN))
            reader.read_to(backlog)
            caught_up, sent = time.monotonic() - back, reader.next - before
            used = cpu_seconds(process.pid) - used
            stop.set()
            growing.join()
            reader.read_to(log.lines)
            memory = resident(process.pid)
            process.send_signal(signal.SIGTERM)
        arrived = reader.arrived()
        table.add_row(
            f"{asked.lines:,}",
            f"{back - gone:,.0f} s",
            f"{caught_up:,.0f} s",
            f"{sent / caught_up:,.0f}",
            f"{sent / caught_up / RATE:.1f}",
            f"{sent / used:,.0f}",
            f"{arrived.missing:,}",
            f"{arrived.repeated:,}",
            f"{memory / 2**20:.0f} MiB",
            f"{stored / 2**10:.0f} KiB",
        )
    Console(width=160).print(table)


def disk(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _grow_for(log: Log, seconds: float) -> None:
    stop = threading.Event()
    threading.Timer(seconds, stop.set).start()
    log.grow(stop)


if __name__ == "__main__":
    main()
