"""A second job on the stack's servers, which plays the recorded story; and the way to record a savepoint of it.

`make savepoint NAME=0.1.0` starts a stack of its own, plays the story's first half and leaves `recorded/0.1.0.zip`: the
savepoint, and how far each topic had been read. One for each published release; those that are there stay as they are.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import orjson
import yaml
from kafka import KafkaProducer

from connectors.kafka import open_producer
from connectors.kafka_admin import Topic, ensure_topics
from deploy.local import flink_job
from deploy.local.flink_cluster import checkpoints, savepoints
from deploy.local.java import find_java_home
from deploy.local.kafka_access import ADMIN
from pipeline.jobs.federation_job import ACCOUNT_INTERVAL_MS
from pipeline.jobs.settings import JobSettings
from pipeline.rulepack import RulePack
from schemas.health import PartitionAccount
from schemas.tick import TICK_HEADER, Tick, encode_tick
from tests.conditions import wait_for
from tests.e2e.accounts import accounts, pack_reports
from tests.e2e.recorded_story import BEGAN, TOPICS, first_pack, halves, whole_pack
from tests.local_centre import Arrival
from tests.running_stack import RunningStack, fresh_stack

RECORDED: Final = Path(__file__).parent / "recorded"
_STAMPED_BY_THE_STORY: Final = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
_NAME: Final = "pipeline-recorded"
"""Begins with what the stack's user `pipeline` may use."""

Offsets = dict[str, int]
"""Topic -> the first offset that was not read yet; each has one partition."""


class RecordedJob:
    """A job that reads the story's topics, in the story's time."""

    def __init__(self, stack: RunningStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._pack = folder / "rules.pack"

    def start(self, pack: RulePack, restore: Path | None = None) -> None:
        """Submit it, from a savepoint if there is one, and wait until all of it works."""
        pack.write(self._pack)
        job = JobSettings(
            kafka=self._stack.kafka("pipeline"),
            pack=self._pack,
            topic_pattern=r"events\.recorded-.*",
            group=_NAME,
            transactional_id_prefix=_NAME,
        )
        config = self._folder / "job.yml"
        config.write_text(yaml.safe_dump(job.model_dump(mode="json", exclude_none=True)), encoding="utf-8")
        flink_job.run_job(self._stack.settings, find_java_home(), config, restore)
        self.await_checkpoint()

    def await_checkpoint(self) -> None:
        """Wait for a checkpoint that begins from now on."""
        since = time.time()
        wait_for(lambda: flink_job.job_is_ready(self._stack.settings, since))

    def change_rules(self, pack: RulePack) -> None:
        """Put another pack in force, and wait until it is."""
        pack.write(self._pack)

        def taken() -> bool:
            self.tick(BEGAN)  # a worker looks when something comes
            return pack.version in {report.version for report in pack_reports(self._stack)}

        wait_for(taken)

    def send(self, arrivals: Iterable[Arrival]) -> None:
        """Append the story's events, stamped with its times."""
        with self._producer() as producer:
            for arrival in arrivals:
                line, topic = orjson.dumps(arrival.event), f"events.{arrival.member}"
                producer.send(topic, line, partition=0, timestamp_ms=arrival.appended).get(60)

    def tick(self, time: int) -> None:
        """Append a tick to each topic."""
        value, headers = encode_tick(Tick(dict.fromkeys(TOPICS, 1))), [(TICK_HEADER, b"1")]
        with self._producer() as producer:
            for topic in TOPICS:
                producer.send(topic, value, headers=headers, partition=0, timestamp_ms=time).get(60)

    def fill(self, offsets: Offsets) -> None:
        """Append what stands in for the records that were read before the savepoint; no events."""
        with self._producer() as producer:
            for topic, offset in offsets.items():
                for _ in range(offset):
                    producer.send(topic, b"read before", partition=0, timestamp_ms=BEGAN)

    def accounts(self) -> dict[str, PartitionAccount]:
        """The newest account of each of the story's topics."""
        return {account.topic: account for account in accounts(self._stack).values() if account.topic in TOPICS}

    def await_lines(self, number: int) -> None:
        """Wait until the job has accounted for so many events."""
        wait_for(lambda: sum(account.lines for account in self.accounts().values()) == number, self.accounts)

    def stop(self) -> Path:
        """Stop it with a savepoint; returns the savepoint's folder."""
        before = set(savepoints(self._stack.settings).iterdir())
        assert flink_job.stop_job(self._stack.settings, print), "no savepoint"
        (made,) = set(savepoints(self._stack.settings).iterdir()) - before
        return made

    def _producer(self) -> closing[KafkaProducer]:
        return closing(open_producer(self._stack.kafka(ADMIN), linger_ms=0))


@contextmanager
def recorded_job(stack: RunningStack, folder: Path) -> Iterator[RecordedJob]:
    """The stack's own job and clock make room, and go on afterwards where they were.

    Args:
        stack: a running one.
        folder: for the job's files.
    """
    settings = stack.settings
    stack.stop("clock")  # its ticks are of now
    assert flink_job.stop_job(settings, print), "no savepoint"
    kept = {*savepoints(settings).iterdir(), *checkpoints(settings).iterdir()}
    with closing(stack.admin()) as admin:
        ensure_topics(admin, [Topic(topic, 1, _STAMPED_BY_THE_STORY) for topic in TOPICS])
        try:
            yield RecordedJob(stack, folder)
        finally:
            job = stack.job()
            if job is not None and job.lives:
                flink_job.stop_job(settings, print)
            for left in {*savepoints(settings).iterdir(), *checkpoints(settings).iterdir()} - kept:
                shutil.rmtree(left)
            admin.delete_topics(list(TOPICS))
            wait_for(lambda: not set(TOPICS) & set(admin.list_topics()))
    stack.up()


def unpacked(recording: Path, folder: Path) -> tuple[Path, Offsets]:
    """The savepoint in a recording, and how far its job had read."""
    with zipfile.ZipFile(recording) as archive:
        archive.extractall(folder)
    offsets: Offsets = orjson.loads((folder / "offsets.json").read_bytes())
    return folder / "savepoint", offsets


def record(stack: RunningStack, folder: Path, recording: Path) -> None:
    """Play the story's first half and keep the savepoint."""
    early, later, _ = halves()
    with recorded_job(stack, folder) as job:
        job.start(first_pack())
        job.tick(BEGAN)
        job.send(early)
        job.await_lines(len(early))
        job.change_rules(whole_pack())
        job.send(later)
        job.await_lines(len(early) + len(later))
        offsets = {topic: account.next_offset for topic, account in job.accounts().items()}
        time.sleep(2 * ACCOUNT_INTERVAL_MS / 1000)  # the last accounts are told
        job.await_checkpoint()  # and committed: another broker would not know the transaction
        savepoint = job.stop()
        with zipfile.ZipFile(recording, "x", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("offsets.json", orjson.dumps(offsets))
            for path in sorted(savepoint.iterdir()):
                archive.write(path, f"savepoint/{path.name}")


def main() -> None:
    """Record a savepoint under the name given."""
    recording = RECORDED / f"{sys.argv[1]}.zip"
    stack = fresh_stack()
    try:
        stack.up()
        with tempfile.TemporaryDirectory() as folder:
            record(stack, Path(folder), recording)
    finally:
        stack.down()
    print(f"{recording}: {recording.stat().st_size} bytes")


if __name__ == "__main__":
    main()
