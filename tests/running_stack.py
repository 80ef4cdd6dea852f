"""The stack that tests marked `stack` share: one for the whole run, in a folder and on ports of its own."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import psutil
from elasticsearch import ApiError, TransportError
from elasticsearch.helpers import scan
from kafka import KafkaAdminClient, TopicPartition

from connectors.elasticsearch import open_client
from connectors.kafka import open_admin, open_consumer
from connectors.settings import ElasticsearchConnection, KafkaConnection
from deploy.local import flink_job, members, processes, stack
from deploy.local.configuration import registry_of
from deploy.local.elasticsearch_users import elasticsearch_connection
from deploy.local.flink_job import Job
from deploy.local.kafka_access import ADMIN, kafka_connection
from deploy.local.services import services
from deploy.local.settings import LOOPBACK, StackSettings, project_root
from deploy.local.status import ProcessStatus, stack_status
from schemas.dead_letter import DeadLetter
from schemas.member import Member

LATENESS: Final = 300
"""Seconds; longer than a producer waits while the broker restarts on a busy machine."""
TICK: Final = 2
"""Seconds."""

MEMBERS: Final = (
    Member(id="kestrel-bank", name="Kestrel Bank", kind="bank"),
    Member(id="heron-bank", name="Heron Bank", kind="bank", group="heron"),
    Member(id="heron-life", name="Heron Life", kind="insurer", group="heron"),
    Member(id="osprey-securities", name="Osprey Securities", kind="securities"),
    Member(id="merlin-payments", name="Merlin Payments", kind="payments"),
)
"""Registered before the stack starts; two of them in one corporate group."""


def _quiet(name: str, progress: str, detail: str) -> None:
    """An observer that shows nothing."""


class RunningStack:
    """A running stack and what tests do to it."""

    def __init__(self, settings: StackSettings, lease: socket.socket) -> None:
        self.settings = settings
        self._lease = lease

    def kafka(self, user: str) -> KafkaConnection:
        """How a service, a member or `admin` reaches the broker."""
        return kafka_connection(self.settings, user)

    def elasticsearch(self, user: str) -> ElasticsearchConnection:
        """How `indexer`, `dashboard` or `operator` reaches Elasticsearch."""
        return elasticsearch_connection(self.settings, user)

    def admin(self) -> KafkaAdminClient:
        """A super user's client; close it."""
        return open_admin(self.kafka(ADMIN))

    def up(self) -> None:
        """Start what is missing and wait until all works."""
        stack.up(self.settings, _quiet)

    def down(self) -> list[int]:
        """Stop everything; data and logs stay for a look until the next run."""
        return stack.down(self.settings, _quiet)

    def start(self, name: str) -> None:
        """Start one process and wait until it is ready."""
        stack.start(self.settings, self._full(name), _quiet)

    def stop(self, name: str) -> None:
        """Stop one process."""
        stack.stop(self.settings, self._full(name))

    def restart(self, name: str) -> None:
        """Stop one process and start it again."""
        self.stop(name)
        self.start(name)

    def kill(self, name: str) -> list[int]:
        """SIGKILL one process, as a crash would."""
        return processes.kill_process(self.settings, self._full(name))

    def python_workers(self) -> list[psutil.Process]:
        """What the first TaskManager's operators run their Python in, oldest first."""
        found = []
        for running in processes.find_processes(self.settings, "taskmanager-1"):
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(running.pid)
                if "pyflink.fn_execution.beam.beam_boot" in process.cmdline():
                    found.append(process)
        return found

    def rescale(self, taskmanagers: int) -> None:
        """Stop the job with a savepoint and go on with so many TaskManagers, one slot each."""
        assert flink_job.stop_job(self.settings, lambda _: None), "no savepoint"
        for number in range(taskmanagers + 1, self.settings.taskmanagers + 1):
            self.stop(f"taskmanager-{number}")
        self.settings = replace(self.settings, taskmanagers=taskmanagers)
        self.up()

    def add_members(self, new: Iterable[Member]) -> None:
        """Register institutions; restarts the job from a savepoint."""
        members.add_members(self.settings, new, _quiet)

    def outage(self, name: str, seconds: float) -> None:
        """Stop one process for a while."""
        self.stop(name)
        time.sleep(seconds)
        self.start(name)

    @property
    def members(self) -> tuple[str, ...]:
        """Ids of the registered institutions."""
        return tuple(member.id for member in registry_of(self.settings).members)

    def alerts(self, rule_names: Iterable[str]) -> list[dict[str, Any]]:
        """The alerts of these rules that can be found in Elasticsearch now; none while it is away."""
        query = {"terms": {"rule.name": sorted(rule_names)}}
        try:
            with open_client(self.elasticsearch("operator")) as client:
                hits = scan(client, index="alerts-*", query={"query": query}, size=1000)
                return [hit["_source"] for hit in hits]
        except (ApiError, TransportError):
            return []

    def records(self, topic: str) -> list[bytes]:
        """The values of everything committed in a topic by now."""
        consumer = open_consumer(self.kafka(ADMIN), group_id=None, max_partition_fetch_bytes=2**23)
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        consumer.seek_to_beginning(*partitions)
        values = []
        while any(consumer.position(each) < ends[each] for each in partitions):
            for records in consumer.poll(timeout_ms=500).values():
                values += [record.value for record in records]
        consumer.close()
        return values

    def dead_letters(self) -> list[DeadLetter]:
        """Everything in the topic `dead-letters`."""
        return [DeadLetter.model_validate_json(value) for value in self.records("dead-letters")]

    def job(self) -> Job | None:
        """The Flink job."""
        return flink_job.find_job(self.settings)

    def status(self) -> dict[str, ProcessStatus]:
        """`jsoc status`, by process."""
        return {row.process: row for row in stack_status(self.settings)}

    def log(self, name: str) -> str:
        """All that a process wrote."""
        return processes.log_file(self.settings, self._full(name)).read_text(encoding="utf-8", errors="replace")

    def tails(self, lines: int = 15) -> str:
        """The last lines of every log, for a failed test's report; Flink's first, which say the most."""
        paths = sorted(self.settings.logs.glob("*.log"), key=lambda path: ("manager" not in path.stem, path.stem))
        return "\n".join("\n".join([f"--- {path.stem}", *processes.tail(path, lines)]) for path in paths)

    def _full(self, name: str) -> str:
        return "taskmanager-1" if name == "taskmanager" else name


def fresh_stack() -> RunningStack:
    """A stack with `MEMBERS`, not started yet; what a killed earlier run left behind is removed first."""
    root = project_root() / ".jointsoc"
    home = Path(os.environ.get("JSOC_TEST_HOME") or root / "test-stack").resolve()
    jvm_home = Path(os.environ.get("JSOC_JVM_HOME") or root / "jvm").resolve()
    stack.down(StackSettings(home, jvm_home), _quiet, wipe=True)
    rules = (project_root() / "tests" / "e2e" / "rules",)
    lease = lease_ports()
    base = lease.getsockname()[1]
    settings = StackSettings(
        home, jvm_home, base, lateness=LATENESS, tick=TICK, rules=rules, audiences=("members", "shared")
    )
    running = RunningStack(settings, lease)
    running.settings.save()
    running.add_members(MEMBERS)
    return running


def lease_ports() -> socket.socket:
    """Take a base of which every port of the stack is free; nobody else gets it while the socket is open.

    The socket holds the base itself, which no process of the stack uses: two runs that look at the same moment
    cannot both have it.
    """
    taken: list[int] = []
    for base in random.sample(range(12_000, 32_000, 400), 50):
        lease = _bound(base)
        if lease is None:
            taken.append(base)
            continue
        settings = StackSettings(Path("/nowhere"), Path("/nowhere"), base)
        busy = [port for service in services(settings) for port in service.ports if not _is_free(port)]
        if not busy:
            return lease
        lease.close()
        taken += busy
    raise RuntimeError(f"no free ports found; taken: {sorted(taken)}")


def free_port_base() -> int:
    """A base that is free at this moment; hold `lease_ports()` instead where other runs may be starting."""
    with lease_ports() as lease:
        return int(lease.getsockname()[1])


def _is_free(port: int) -> bool:
    probe = _bound(port)
    if probe is not None:
        probe.close()
    return probe is not None


def _bound(port: int) -> socket.socket | None:
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: it may rest from its last use
    try:
        probe.bind((LOOPBACK, port))
        probe.listen()
    except OSError:
        probe.close()
        return None
    return probe
