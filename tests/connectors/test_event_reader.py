from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError

from connectors.event_reader import EventReader
from connectors.settings import KafkaConnection
from schemas.errors import ConnectionError_


class Broker:
    """One partition; `fault` is raised by the next question."""

    def __init__(self, records: dict[int, bytes]) -> None:
        self.records, self.fault, self.connections, self.closed = records, None, 0, 0
        self.at = 0

    def connect(self) -> Broker:
        self.connections += 1
        return self

    def assign(self, places: list[TopicPartition]) -> None:
        if self.fault:
            fault, self.fault = self.fault, None
            raise fault
        self.place = places[0]

    def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, min(self.records))

    def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, max(self.records) + 1)

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.at = offset

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        following = min(offset for offset in self.records if offset >= self.at)
        return {self.place: [SimpleNamespace(offset=following, value=self.records[following])]}

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def broker() -> Broker:
    return Broker({5: b'{"n":0}\n{"n":1}', 6: b'{"n":2}', 8: b"x"})


@pytest.fixture
def reader(broker: Broker, tmp_path: Path) -> EventReader:
    connection = KafkaConnection(bootstrap_servers=["k:1"], username="dashboard", password_file=tmp_path)
    return EventReader(connection, broker.connect)


def test_a_line_is_found_by_its_place(reader: EventReader, broker: Broker) -> None:
    assert reader.line("events.a", 0, 5, 1) == b'{"n":1}'
    assert reader.line("events.a", 0, 6, 0) == b'{"n":2}'
    assert broker.connections == 1


@pytest.mark.parametrize(("offset", "line"), [(4, 0), (9, 0), (5, 2), (5, -1), (7, 0)])
def test_what_kafka_does_not_hold_is_none(reader: EventReader, offset: int, line: int) -> None:
    assert reader.line("events.a", 0, offset, line) is None


def test_a_broken_connection_is_told_and_made_anew(reader: EventReader, broker: Broker) -> None:
    broker.fault = KafkaTimeoutError()  # type: ignore[assignment]
    with pytest.raises(ConnectionError_, match="cannot read"):
        reader.line("events.a", 0, 5, 0)
    assert reader.line("events.a", 0, 5, 0) == b'{"n":0}'
    assert (broker.connections, broker.closed) == (2, 1)
