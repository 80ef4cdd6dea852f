"""Writes a tick into every `events.*` partition each few seconds, so that no idleness timeout is needed."""

from __future__ import annotations

import threading
from contextlib import suppress

import structlog
from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError
from pydantic import BaseModel, ConfigDict

from connectors.kafka import SERVICE_BLOCK_MS, open_admin, open_producer
from connectors.settings import KafkaConnection
from schemas.errors import ConnectionError_
from schemas.member import TOPIC_PREFIX
from schemas.tick import TICK_HEADER, Tick, encode_tick

log = structlog.get_logger()

_Clients = tuple[KafkaAdminClient, KafkaProducer]


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
    producer.flush(timeout=30)
    for future in futures:
        future.get(timeout=30)
    return len(futures)


def run_clock(settings: ClockSettings, stop: threading.Event) -> None:
    """Tick until told to stop; a broker that is away is tried again at the next tick.

    Raises:
        ConnectionError_: the broker cannot be reached at the start.
    """
    clients: _Clients | None = _open(settings)
    log.info("clock.started", interval_seconds=settings.interval_seconds)
    while not stop.is_set():
        try:
            clients = clients or _open(settings)
            write_ticks(*clients)
        except (KafkaError, ConnectionError_) as error:
            log.warning("clock.tick_failed", error=type(error).__name__)
            _close(clients, seconds=0)  # a client that outlived its broker may never find it again
            clients = None
        stop.wait(settings.interval_seconds)
    _close(clients, seconds=5)


def _open(settings: ClockSettings) -> _Clients:
    admin = open_admin(settings.kafka)
    try:
        return admin, open_producer(settings.kafka, linger_ms=0, max_block_ms=SERVICE_BLOCK_MS)
    except ConnectionError_:
        admin.close()
        raise


def _close(clients: _Clients | None, seconds: float) -> None:
    if clients is not None:
        admin, producer = clients
        with suppress(KafkaError):
            admin.close()
        with suppress(KafkaError):
            producer.close(timeout=seconds)
