"""Follows topics that come and go: `health.*`, `feedback.*`; new ones are found within seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import structlog
from kafka import TopicPartition
from kafka.errors import KafkaError

from connectors.patience import Patience, Stopped
from schemas.errors import ConnectionError_

log = structlog.get_logger()

LOOK_AGAIN_SECONDS: Final = 10.0
POLL_MS: Final = 500


class TopicRecord(Protocol):
    """What is read of a Kafka record."""

    @property
    def topic(self) -> str:
        """Its topic."""

    @property
    def partition(self) -> int:
        """Its partition."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""

    @property
    def timestamp(self) -> int:
        """When the broker appended it, ms."""

    @property
    def value(self) -> bytes | None:
        """What it carries."""


class TopicFollower:
    """Reads every record of the wanted topics, in a loop that outlives a broker that is away.

    Args:
        connect: makes a consumer; with a group, offsets are committed once the records are handled.
        wanted: whether a topic is read.
        handle: takes one record; what it raises besides `ConnectionError_` is a fault of ours.
        group: whether the consumer has a group.
        since: ms since 1970, asked when a partition is first seen without a group; None: from its beginning.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        wanted: Callable[[str], bool],
        handle: Callable[[TopicRecord], None],
        *,
        group: bool,
        since: Callable[[], int] | None = None,
    ) -> None:
        self._connect, self._wanted, self._handle, self._group, self._since = connect, wanted, handle, group, since
        self._places: set[TopicPartition] = set()
        self._positions: dict[TopicPartition, int] = {}

    def run(self, stop: threading.Event) -> None:
        """Follow until told to stop."""
        patience = Patience(stop)
        try:
            while not stop.is_set():
                try:
                    self._follow(stop, patience)
                except (KafkaError, ConnectionError_) as error:
                    if patience.failed():
                        log.warning("dashboard.waiting_for_kafka", why=str(error) or type(error).__name__)
                    patience.wait()
        except Stopped:
            return

    def _follow(self, stop: threading.Event, patience: Patience) -> None:
        consumer = self._connect()
        self._places = set()
        try:
            looked = float("-inf")
            while not stop.is_set():
                if time.monotonic() - looked > LOOK_AGAIN_SECONDS:
                    self._look(consumer)
                    looked = time.monotonic()
                if not self._places:
                    stop.wait(POLL_MS / 1000)
                    continue
                self._take(consumer, consumer.poll(timeout_ms=POLL_MS))
                patience.over()
        finally:
            consumer.close()

    def _take(self, consumer: Any, batches: dict[TopicPartition, list[TopicRecord]]) -> None:
        for place, records in batches.items():
            for record in records:
                self._handle(record)
                self._positions[place] = record.offset + 1
        if batches and self._group:
            consumer.commit()

    def _look(self, consumer: Any) -> None:
        topics = sorted(topic for topic in consumer.topics() if self._wanted(topic))
        places = {
            TopicPartition(topic, number) for topic in topics for number in consumer.partitions_for_topic(topic) or ()
        }
        new = places - self._places
        if not new and places == self._places:
            return
        consumer.assign(sorted(places))
        self._places = places
        # Where we stopped is known better here than at the broker: a record is handled before it is committed.
        for place in places & self._positions.keys():
            consumer.seek(place, self._positions[place])
        unseen = [place for place in new if place not in self._positions]
        if self._since is not None and unseen and not self._group:
            found = consumer.offsets_for_times(dict.fromkeys(unseen, self._since()))
            ends = consumer.end_offsets(unseen)
            for place in unseen:
                at = found.get(place)
                self._positions[place] = at.offset if at is not None else ends[place]
                consumer.seek(place, self._positions[place])
