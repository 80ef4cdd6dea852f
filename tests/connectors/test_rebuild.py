"""Which indices may be removed before they are made anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from kafka import TopicPartition

from connectors.rebuild import NOTHING_EXPIRED, _horizon
from schemas.times import from_rfc3339, now_ms
from tests.alert_samples import make_alert


@dataclass
class Topic:
    """A consumer of the topic `alerts`: partition -> its records; `gone`: how many expired before them."""

    partitions: Mapping[int, list[bytes]]
    gone: Mapping[int, int] = field(default_factory=dict)
    positions: dict[TopicPartition, int] = field(default_factory=dict)

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(self.partitions)

    def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: self.gone.get(place.partition, 0) for place in places}

    def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        begins = self.beginning_offsets(places)
        return {place: begins[place] + len(self.partitions[place.partition]) for place in places}

    def assign(self, places: list[TopicPartition]) -> None:
        self.positions = dict.fromkeys(places, -1)

    def seek_to_beginning(self, *places: TopicPartition) -> None:
        self.positions |= self.beginning_offsets(list(places))

    def position(self, place: TopicPartition) -> int:
        return self.positions[place]

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[SimpleNamespace]]:
        ends = self.end_offsets(list(self.positions))
        self.positions = ends
        return {place: [SimpleNamespace(value=value) for value in self.partitions[place.partition]] for place in ends}


def made(at: int) -> bytes:
    alert = make_alert(str(at))
    alert.event.created = f"2026-11-23T00:00:{at:02}.000Z"
    return alert.to_json()


def test_while_kafka_holds_everything_every_index_may_go() -> None:
    assert _horizon(Topic({0: [made(3)], 1: []})) == NOTHING_EXPIRED  # type: ignore[arg-type]


@pytest.mark.parametrize("gone", [{0: 1}, {0: 1, 1: 5}])
def test_what_was_made_after_the_first_record_of_every_partition_is_surely_there(gone: dict[int, int]) -> None:
    topic = Topic({0: [b"no alert", made(3), made(9)], 1: [made(5)]}, gone)
    expected = max(3 if 0 in gone else 0, 5 if 1 in gone else 0)
    assert _horizon(topic) == f"2026-11-23T00:00:{expected:02}.000Z"  # type: ignore[arg-type]


def test_a_partition_from_which_everything_expired_proves_nothing() -> None:
    begun = now_ms()
    horizon = _horizon(Topic({0: [made(3)], 1: []}, {1: 9}))  # type: ignore[arg-type]
    assert from_rfc3339(horizon) >= begun
