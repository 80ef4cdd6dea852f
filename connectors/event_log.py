"""What members sent, read back from Kafka up to now: every record of their topics in the order of append times."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from kafka import TopicPartition
from kafka.errors import KafkaError

from connectors.kafka import open_consumer
from connectors.settings import KafkaConnection
from schemas.errors import ConnectionError_
from schemas.member import TOPIC_PREFIX
from schemas.tick import TICK_HEADER

POLL_MS: Final = 500
MAX_SILENCE: Final = 120
"""Polls without a record, a minute, before the broker counts as gone."""
MANY_WAITING: Final = 5_000
"""Records of one partition that wait for slower ones; then it is not asked for more."""


class Stored(NamedTuple):
    """One record of a member; sorts by its append time."""

    append_time: int
    """ms."""
    topic: str
    partition: int
    offset: int
    value: bytes


class EventLog:
    """Reads the topics `events.*` without a group: nothing is committed, nobody's place changes.

    Args:
        connection: a user that may read them.
        connect: makes the consumer.
    """

    def __init__(self, connection: KafkaConnection, connect: Callable[[], Any] | None = None) -> None:
        self._where = f"kafka {','.join(connection.bootstrap_servers)}"
        self._connect = connect or (lambda: open_consumer(connection, group_id=None))

    def members(self) -> list[str]:
        """Ids of the members that have a topic.

        Raises:
            ConnectionError_: the broker is away or refuses.
        """
        with self._consumer() as consumer:
            return sorted(name.removeprefix(TOPIC_PREFIX) for name in consumer.topics() if _is_events(name))

    def records(self, members: Sequence[str], since: int) -> Iterator[Stored]:
        """Their records from a moment (ms) up to what is there now, without ticks.

        Raises:
            ConnectionError_: the broker is away, refuses, or falls silent.
        """
        with self._consumer() as consumer:
            topics = [TOPIC_PREFIX + member for member in members]
            places = [TopicPartition(name, one) for name in topics for one in consumer.partitions_for_topic(name) or ()]
            if not places:
                return
            ends = consumer.end_offsets(places)
            found = consumer.offsets_for_times(dict.fromkeys(places, since))
            consumer.assign(places)
            for place in places:
                at = found.get(place)
                consumer.seek(place, at.offset if at is not None else ends[place])
            yield from self._merged(consumer, ends)

    def _merged(self, consumer: Any, ends: dict[TopicPartition, int]) -> Iterator[Stored]:
        waiting: dict[TopicPartition, deque[Stored]] = {place: deque() for place in ends}
        silence = 0
        while open_places := {place for place in ends if consumer.position(place) < ends[place]}:
            polled = consumer.poll(timeout_ms=POLL_MS)
            silence = 0 if polled else silence + 1
            if silence > MAX_SILENCE:
                raise ConnectionError_(self._where, "the broker sends nothing more", hint="jsoc status")
            for place, records in polled.items():
                waiting[place] += [_stored(one) for one in records if one.offset < ends[place] and not _is_tick(one)]
            yield from _ready(waiting, open_places)
            # One of them has nothing left now, so that there is always one to go on with.
            full = {place for place in open_places if len(waiting[place]) > MANY_WAITING}
            consumer.pause(*full)
            consumer.resume(*(open_places - full))
        yield from sorted(record for records in waiting.values() for record in records)

    def _consumer(self) -> _Closing:
        return _Closing(self._connect, self._where)


class _Closing:
    """A consumer for a while; what goes wrong meanwhile is told in our words."""

    def __init__(self, connect: Callable[[], Any], where: str) -> None:
        self._connect, self._where = connect, where

    def __enter__(self) -> Any:
        self._opened = self._connect()
        return self._opened

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._opened.close()
        if isinstance(error, KafkaError):
            told = f"cannot read the members' topics ({type(error).__name__})"
            raise ConnectionError_(self._where, told, hint="jsoc status; a user that may read events.*") from error


def _ready(waiting: dict[TopicPartition, deque[Stored]], open_places: set[TopicPartition]) -> Iterator[Stored]:
    """Those before which nothing can come any more: none of the partitions that go on is without a record."""
    while all(waiting[place] for place in open_places):
        first = min((place for place, records in waiting.items() if records), key=lambda place: waiting[place][0])
        yield waiting[first].popleft()


def _stored(record: Any) -> Stored:
    return Stored(record.timestamp, record.topic, record.partition, record.offset, record.value or b"")


def _is_tick(record: Any) -> bool:
    return any(key == TICK_HEADER for key, _ in record.headers)


def _is_events(topic: str) -> bool:
    return topic.startswith(TOPIC_PREFIX)
