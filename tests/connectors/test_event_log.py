from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError

from connectors import event_log
from connectors.event_log import EventLog
from connectors.settings import KafkaConnection
from schemas.errors import ConnectionError_
from schemas.tick import TICK_HEADER

Row = tuple[int, bytes]
"""Append time and value; a tick if the value is empty."""


class Consumer:
    """Partitions in memory; one record of each at a poll, and no more of those that are paused."""

    def __init__(self, rows: dict[TopicPartition, list[Row]], fault: Exception | None = None) -> None:
        self.rows, self.fault = rows, fault
        self.places: dict[TopicPartition, int] = {}
        self.paused: set[TopicPartition] = set()
        self.most_waiting = 0
        self.closed = False

    def topics(self) -> set[str]:
        return {place.topic for place in self.rows} | {"alerts"}

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {place.partition for place in self.rows if place.topic == topic}

    def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: len(self.rows[place]) for place in places}

    def offsets_for_times(self, asked: dict[TopicPartition, int]) -> dict[TopicPartition, Any]:
        first = {
            p: next((n for n, (at, _) in enumerate(self.rows[p]) if at >= since), None) for p, since in asked.items()
        }
        return {place: None if at is None else SimpleNamespace(offset=at) for place, at in first.items()}

    def assign(self, places: list[TopicPartition]) -> None:
        self.places = dict.fromkeys(places, 0)

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.places[place] = offset

    def position(self, place: TopicPartition) -> int:
        return self.places[place]

    def pause(self, *places: TopicPartition) -> None:
        self.paused |= set(places)

    def resume(self, *places: TopicPartition) -> None:
        self.paused -= set(places)

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        if self.fault:
            raise self.fault
        found = {}
        for place, at in self.places.items():
            if at < len(self.rows[place]) and place not in self.paused:
                time, value = self.rows[place][at]
                headers = [] if value else [(TICK_HEADER, b"1")]
                record = SimpleNamespace(timestamp=time, **place._asdict(), offset=at, value=value, headers=headers)
                found[place] = [record]
                self.places[place] += 1
        return found

    def close(self) -> None:
        self.closed = True


HERON, KESTREL = TopicPartition("events.heron-bank", 0), TopicPartition("events.kestrel-bank", 1)
ROWS: dict[TopicPartition, list[Row]] = {
    HERON: [(1, b"early"), (10, b"a"), (15, b""), (30, b"d")],
    KESTREL: [(20, b"b"), (25, b"c"), (40, b"e")],
}
CONNECTION = KafkaConnection(bootstrap_servers=["127.0.0.1:9092"], security_protocol="PLAINTEXT")


def log(consumer: Consumer) -> EventLog:
    return EventLog(CONNECTION, lambda: consumer)


def test_all_members_records_come_in_the_order_in_which_the_broker_took_them() -> None:
    consumer = Consumer(ROWS)
    assert log(consumer).members() == ["heron-bank", "kestrel-bank"]
    records = list(log(consumer).records(["heron-bank", "kestrel-bank", "unheard"], since=10))
    assert [record.value for record in records] == [b"a", b"b", b"c", b"d", b"e"]
    assert consumer.closed


def test_a_partition_that_is_far_ahead_waits_for_the_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "MANY_WAITING", 2)
    fast: list[Row] = [(100 + number, b"later") for number in range(30)]
    consumer = Consumer({HERON: [(number, b"now") for number in range(9)], KESTREL: fast})
    stream = log(consumer).records(["heron-bank", "kestrel-bank"], since=0)
    assert [next(stream).value for _ in range(9)] == [b"now"] * 9
    assert consumer.position(KESTREL) <= 4
    assert [record.value for record in stream] == [b"later"] * 30


def test_what_goes_wrong_is_told_as_a_connection_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConnectionError_, match="KafkaTimeoutError"):
        list(log(Consumer(ROWS, KafkaTimeoutError())).records(["heron-bank"], since=0))
    silent = Consumer(ROWS)
    monkeypatch.setattr(silent, "poll", lambda timeout_ms: {})
    with pytest.raises(ConnectionError_, match="nothing more"):
        list(log(silent).records(["heron-bank"], since=0))
    assert silent.closed


def test_nothing_since_then_is_no_record() -> None:
    assert list(log(Consumer(ROWS)).records(["heron-bank"], since=99)) == []
    assert list(log(Consumer(ROWS)).records(["unheard"], since=0)) == []
