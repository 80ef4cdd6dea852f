"""What the job's workers say about the rule packs they use: the newest report of each, from the topic `health`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from kafka import KafkaConsumer, TopicPartition
from pydantic import ValidationError

from connectors.kafka import open_consumer
from deploy.local.kafka_access import ADMIN, kafka_connection
from deploy.local.settings import StackSettings
from pipeline.jobs.active_pack import REPEAT_SECONDS
from schemas.errors import ConfigError
from schemas.health import HEALTH_TOPIC, PackReport, health_from_json
from schemas.times import from_rfc3339, now_ms

_SPARE_SECONDS: Final = 10.0
_STAGES: Final = frozenset({"detect", "correlate"})

Reports = dict[str, PackReport]
"""Worker -> its newest report."""


@contextmanager
def open_health(settings: StackSettings) -> Iterator[KafkaConsumer]:
    """A consumer of `health`, placed where every living worker has reported since.

    Raises:
        ConnectionError_: the broker does not answer.
    """
    with open_consumer(kafka_connection(settings, ADMIN), group_id=None) as consumer:
        numbers = consumer.partitions_for_topic(HEALTH_TOPIC) or ()
        partitions = [TopicPartition(HEALTH_TOPIC, number) for number in numbers]
        consumer.assign(partitions)
        # A worker repeats its report with the first batch after REPEAT_SECONDS; a tick sees to it that there is one.
        since = now_ms() - int(1000 * (REPEAT_SECONDS + settings.tick + _SPARE_SECONDS))
        starts = consumer.offsets_for_times(dict.fromkeys(partitions, since)) if partitions else {}
        for partition in partitions:
            if (start := starts.get(partition)) is not None:
                consumer.seek(partition, start.offset)
            else:
                consumer.seek_to_end(partition)
                consumer.position(partition)  # seeking is lazy: settle it before the workers speak
        yield consumer


def read_reports(consumer: KafkaConsumer, known: Reports, workers: int, timeout_ms: int = 500) -> None:
    """Add what has been reported since the last call.

    Args:
        consumer: from `open_health`.
        known: is brought up to date.
        workers: of each stage; what others say was said by workers that are gone.
        timeout_ms: how long to wait for the first record.
    """
    for records in consumer.poll(timeout_ms=timeout_ms).values():
        for record in records:
            try:
                message = health_from_json(record.value)
            except ValidationError:
                continue  # of another release
            if isinstance(message, PackReport) and message.worker in _workers(workers):
                known[message.worker] = message


def newest_reports(settings: StackSettings) -> Reports:
    """What every living worker has said last.

    Raises:
        ConnectionError_: the broker does not answer.
    """
    known: Reports = {}
    with open_health(settings) as consumer:
        partitions = list(consumer.assignment())
        ends = consumer.end_offsets(partitions)
        deadline = time.monotonic() + _SPARE_SECONDS
        while any(consumer.position(each) < ends[each] for each in partitions) and time.monotonic() < deadline:
            read_reports(consumer, known, settings.taskmanagers)
    return known


def is_taken(reports: Mapping[str, PackReport], version: str, since: int) -> bool:
    """Whether the workers of both stages use this pack, and none uses another.

    Args:
        reports: worker -> its newest report.
        version: of the pack.
        since: ms; when the pack was put in place. A refusal before that was about another one.

    Raises:
        ConfigError: a worker refuses it.
    """
    for report in reports.values():
        if report.refused and report.version != version and from_rfc3339(report.timestamp) >= since:
            raise ConfigError(
                f"rule pack {version[:12]}",
                f"worker {report.worker} refuses it, and all go on with the one before",
                got=report.refused,
            )
    stages = {report.stage for report in reports.values()}
    return stages == _STAGES and all(report.version == version for report in reports.values())


def _workers(count: int) -> frozenset[str]:
    return frozenset(f"{stage}/{number}" for stage in _STAGES for number in range(count))
