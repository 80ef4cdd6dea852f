"""What the job's workers say about the rule packs they use, and about what they did not use, in the topic `health`."""

from __future__ import annotations

import time
from collections import Counter
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
from schemas.health import HEALTH_TOPIC, AnyHealth, PackReport, PartitionAccount, ShardAccount, health_from_json
from schemas.times import from_rfc3339, now_ms

_SPARE_SECONDS: Final = 10.0
_STAGES: Final = frozenset({"detect", "correlate"})

Reports = dict[str, PackReport]
"""Worker -> its newest report."""
Accounts = dict[str, PartitionAccount | ShardAccount]
"""Partition or shard -> its newest account."""


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
    for message in _messages(consumer, timeout_ms):
        if isinstance(message, PackReport) and message.worker in _workers(workers):
            known[message.worker] = message


def newest_of_all(settings: StackSettings) -> tuple[Reports, Accounts]:
    """What every living worker has said last about its pack, and about every partition and shard.

    Raises:
        ConnectionError_: the broker does not answer.
    """
    reports: Reports = {}
    accounts: Accounts = {}
    with open_health(settings) as consumer:
        partitions = list(consumer.assignment())
        ends = consumer.end_offsets(partitions)
        deadline = time.monotonic() + _SPARE_SECONDS
        while any(consumer.position(each) < ends[each] for each in partitions) and time.monotonic() < deadline:
            for message in _messages(consumer, timeout_ms=500):
                if isinstance(message, PackReport) and message.worker in _workers(settings.taskmanagers):
                    reports[message.worker] = message
                elif isinstance(message, PartitionAccount):
                    accounts[f"{message.topic}/{message.partition}"] = message
                elif isinstance(message, ShardAccount):
                    accounts[f"shard/{message.shard}"] = message
    return reports, accounts


def counted(accounts: Accounts) -> dict[str, int]:
    """What the job read and did not use, over all partitions and shards, since it first started; no zeros.

    >>> counted({"a": PartitionAccount(timestamp="", topic="a", partition=0, next_offset=9, lines=8, dead=1)})
    {'lines': 8, 'dead': 1}
    """
    total: Counter[str] = Counter()
    for account in accounts.values():
        if isinstance(account, PartitionAccount):
            total.update(lines=account.lines, dead=account.dead, late=account.late, clock_ahead=account.clock_ahead)
            for each in account.not_counted:
                total[each.reason] += each.count
        else:
            total.update(account.counters)
    return {name: count for name, count in total.items() if count}


def _messages(consumer: KafkaConsumer, timeout_ms: int) -> Iterator[AnyHealth]:
    for records in consumer.poll(timeout_ms=timeout_ms).values():
        for record in records:
            try:
                yield health_from_json(record.value)
            except ValidationError:
                continue  # of another release


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
