"""The newest heartbeat of each member's forwarder, from the topics `health.<member>`."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from kafka import KafkaConsumer, TopicPartition

from connectors.kafka import open_consumer
from deploy.local.kafka_access import ADMIN, kafka_connection
from deploy.local.settings import StackSettings
from schemas.health import HEALTH_PREFIX, Heartbeat, health_message

_WAIT_SECONDS: Final = 5.0


class Heard(NamedTuple):
    """A heartbeat, and when the broker took it."""

    at: int
    """ms"""
    beat: Heartbeat


def newest_heartbeats(settings: StackSettings) -> dict[str, Heard]:
    """Member -> its newest heartbeat; members never heard of are left out.

    Raises:
        ConnectionError_: the broker does not answer.
    """
    with open_consumer(kafka_connection(settings, ADMIN), group_id=None) as consumer:
        return read_newest(consumer)


def read_newest(consumer: KafkaConsumer) -> dict[str, Heard]:
    """The last record of every partition of the members' health topics."""
    partitions = [
        TopicPartition(topic, number)
        for topic in consumer.topics()
        if topic.startswith(HEALTH_PREFIX)
        for number in consumer.partitions_for_topic(topic) or ()
    ]
    ends = consumer.end_offsets(partitions) if partitions else {}
    starts = consumer.beginning_offsets(partitions) if partitions else {}
    waiting = {partition for partition in partitions if ends[partition] > starts[partition]}
    consumer.assign(sorted(waiting))
    for partition in waiting:
        consumer.seek(partition, ends[partition] - 1)
    heard: dict[str, Heard] = {}
    deadline = time.monotonic() + _WAIT_SECONDS
    while waiting and time.monotonic() < deadline:
        for partition, records in consumer.poll(timeout_ms=200).items():
            waiting.discard(partition)
            for record in records:
                try:
                    message = health_message(record.topic, record.value or b"")
                except ValueError:
                    continue
                if isinstance(message, Heartbeat):
                    heard[message.member] = Heard(record.timestamp, message)
    return heard
