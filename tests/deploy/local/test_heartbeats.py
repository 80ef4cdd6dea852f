from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from kafka import TopicPartition

from deploy.local.heartbeats import read_newest
from schemas.health import Heartbeat, PartitionAccount

STAMP = "2026-11-23T02:00:00.000Z"


def beat(waiting: int) -> bytes:
    return Heartbeat(timestamp=STAMP, member="somebody", agent="1", inputs=[], spool_bytes=waiting).to_json()


class Topics:
    """A consumer over topics in memory, one partition each."""

    def __init__(self, **values: list[bytes]) -> None:
        self.values = {name.replace("__", "."): found for name, found in values.items()}
        self.places: dict[TopicPartition, int] = {}

    def topics(self) -> set[str]:
        return set(self.values)

    def partitions_for_topic(self, _: str) -> set[int]:
        return {0}

    def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {each: len(self.values[each.topic]) for each in partitions}

    def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.places = dict.fromkeys(partitions, 0)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.places[partition] = offset

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        return {
            each: [
                SimpleNamespace(topic=each.topic, value=value, timestamp=1000 + offset)
                for offset, value in enumerate(self.values[each.topic])
                if offset >= start
            ]
            for each, start in self.places.items()
        }


def test_the_newest_heartbeat_of_each_member_counts_and_the_topic_says_whose_it_is() -> None:
    account = PartitionAccount(timestamp=STAMP, topic="events.a", partition=0, next_offset=1).to_json()
    topics = Topics(
        health=[account], health__kestrel=[beat(1), beat(2)], health__heron=[], health__owl=[account], events__a=[b"{}"]
    )
    heard = read_newest(topics)
    assert {member: (one.at, one.beat.spool_bytes) for member, one in heard.items()} == {"kestrel": (1001, 2)}


def test_without_members_there_is_nothing_to_hear() -> None:
    assert read_newest(Topics(health=[])) == {}
