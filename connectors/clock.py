"""Writes a tick into every `events.*` partition each few seconds, so that no idleness timeout is needed."""

from __future__ import annotations

import threading

import structlog
from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError
from pydantic import BaseModel, ConfigDict

from connectors.kafka import open_admin, open_producer
from connectors.settings import KafkaConnection
from schemas.member import TOPIC_PREFIX
from schemas.tick import TICK_HEADER, Tick, encode_tick

log = structlog.get_logger()


class ClockSettings(BaseModel):
    """Configuration of the clock process."""

    model_config = ConfigDict(extra="forbid")

    kafka: KafkaConnection
    interval_seconds: float = 10.0


def member_partitions(admin: KafkaAdminClient) -> dict[str, int]:
    """Every member topic and its number of partitions."""
    topics = [name for name in admin.list_topics() if name.startswith(TOPIC_PREFIX)]
    if not topics:
        return {}
    return {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics(topics)}


def write_ticks(admin: KafkaAdminClient, producer: KafkaProducer) -> int:
    """Write one tick into every member partition and wait until all are acknowledged; returns how many.

    Raises:
        kafka.errors.KafkaError: the broker is away or refuses.
    """
    partitions = member_partitions(admin)
    value = encode_tick(Tick(partitions))
    futures = [
        producer.send(topic, value=value, partition=partition, headers=[(TICK_HEADER, b"1")])
        for topic, count in partitions.items()
        for partition in range(count)
    ]
    producer.flush()
    for future in futures:
        future.get(timeout=30)
    return len(futures)


def run_clock(settings: ClockSettings, stop: threading.Event) -> None:
    """Tick until told to stop; a broker that is away is tried again at the next tick."""
    admin, producer = open_admin(settings.kafka), open_producer(settings.kafka, linger_ms=0)
    log.info("clock.started", interval_seconds=settings.interval_seconds)
    while not stop.is_set():
        try:
            write_ticks(admin, producer)
        except KafkaError as error:
            log.warning("clock.tick_failed", error=type(error).__name__)
        stop.wait(settings.interval_seconds)
    producer.close()
    admin.close()
