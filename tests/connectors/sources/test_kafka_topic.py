from __future__ import annotations

from typing import Any, NamedTuple

from kafka import TopicPartition
from kafka.errors import KafkaConnectionError

from connectors.forwarder.input_settings import KafkaInput
from connectors.sources import kafka_topic
from connectors.sources.kafka_topic import KafkaTopic
from connectors.sources.line import Line
from schemas.errors import ConnectionError_
from tests.connectors.forwarder.bench import until

SETTINGS = KafkaInput.model_validate(
    {
        "type": "kafka",
        "name": "bus",
        "mapping": "payments",
        "topic": "audit",
        "kafka": {"bootstrap_servers": ["127.0.0.1:1"], "security_protocol": "PLAINTEXT"},
    }
)


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    value: bytes | None


class Topic:
    """A consumer over records in memory."""

    def __init__(self, *records: Record) -> None:
        self.records = records
        self.places: dict[TopicPartition, int] = {}
        self.broken = False
        self.away = False

    def connect(self) -> Topic:
        if self.away:
            raise ConnectionError_("kafka", "away")
        self.broken = False
        return self

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {record.partition for record in self.records if record.topic == topic}

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.places = dict.fromkeys(partitions, 0)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.places[partition] = offset

    def seek_to_beginning(self, partition: TopicPartition) -> None:
        self.places[partition] = 0

    def seek_to_end(self, partition: TopicPartition) -> None:
        self.places[partition] = 10**6

    def position(self, partition: TopicPartition) -> int:
        return self.places[partition]

    def poll(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Record]]:
        if self.broken:
            raise KafkaConnectionError("gone")
        found: dict[TopicPartition, list[Record]] = {}
        for record in self.records:
            place = TopicPartition(record.topic, record.partition)
            if record.offset >= self.places[place]:
                found.setdefault(place, []).append(record)
        for place, records in found.items():
            self.places[place] = records[-1].offset + 1
        return found

    def close(self, **_: Any) -> None:
        pass


RECORDS = (
    Record("audit", 0, 5, b"one\ntwo\n"),
    Record("audit", 0, 6, None),
    Record("audit", 1, 5, b"three"),
    Record("audit", 0, 7, b"four"),
)


def read(source: KafkaTopic, count: int) -> list[Line]:
    lines: list[Line] = []

    def enough() -> bool:
        lines.extend(source.read())
        return len(lines) >= count

    until(enough)
    return lines


def test_records_of_one_or_several_lines_are_lines_with_a_place_of_their_own() -> None:
    source = KafkaTopic(SETTINGS, connect=Topic(*RECORDS).connect)
    lines = read(source, 4)
    assert [line.raw for line in lines] == [b"one", b"two", b"four", b"three"]
    assert len({(line.stream, line.start) for line in lines}) == 4


def test_it_goes_on_at_the_record_whose_last_line_was_not_acknowledged() -> None:
    topic = Topic(*RECORDS)
    source = KafkaTopic(SETTINGS, connect=topic.connect)
    lines = read(source, 4)
    source.acknowledge(lines[0].stream, lines[0].end)  # the first of two lines of a record
    assert [line.raw for line in read(KafkaTopic(SETTINGS, source.state(), topic.connect), 4)][:2] == [b"one", b"two"]
    source.acknowledge(lines[1].stream, lines[1].end)
    assert read(KafkaTopic(SETTINGS, source.state(), topic.connect), 2)[0] == lines[2]


def test_a_broken_connection_gives_the_same_lines_at_the_same_places_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(kafka_topic, "RETRY_SECONDS", 0.0)
    topic = Topic(*RECORDS)
    source = KafkaTopic(SETTINGS, connect=topic.connect)
    lines = read(source, 4)
    topic.broken = True
    assert source.read() == []
    assert "KafkaConnectionError" in source.trouble
    assert read(source, 4) == lines


def test_a_broker_that_is_away_or_a_topic_that_is_not_there_is_told_and_waited_for(monkeypatch: Any) -> None:
    monkeypatch.setattr(kafka_topic, "RETRY_SECONDS", 0.0)
    topic = Topic()
    topic.away = True
    source = KafkaTopic(SETTINGS, connect=topic.connect)
    until(lambda: source.read() == [] and "away" in source.trouble)
    topic.away = False
    until(lambda: source.read() == [] and "not there" in source.trouble)
    topic.records = RECORDS
    assert len(read(source, 4)) == 4
    assert source.trouble == ""
