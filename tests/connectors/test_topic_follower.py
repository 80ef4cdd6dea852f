from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError

from connectors.topic_follower import TopicFollower
from schemas.errors import ConnectionError_


class Cluster:
    """Topics in memory; consumers of one group share what is committed."""

    def __init__(self) -> None:
        self.topics: dict[str, list[tuple[int, bytes]]] = {}
        self.committed: dict[TopicPartition, int] = {}
        self.faults: list[Exception] = []
        self.connections = 0

    def connect(self) -> Consumer:
        self.connections += 1
        return Consumer(self)


class Consumer:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.positions = cluster, {}  # type: ignore[var-annotated]

    def topics(self) -> set[str]:
        return set(self.cluster.topics)

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0}

    def assign(self, places: list[TopicPartition]) -> None:
        self.positions = {place: self.cluster.committed.get(place, 0) for place in places}

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.positions[place] = offset

    def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: len(self.cluster.topics[place.topic]) for place in places}

    def offsets_for_times(self, asked: dict[TopicPartition, int]) -> dict[TopicPartition, Any]:
        found = {}
        for place, since in asked.items():
            at = next((n for n, (time, _) in enumerate(self.cluster.topics[place.topic]) if time >= since), None)
            found[place] = None if at is None else SimpleNamespace(offset=at)
        return found

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        if self.cluster.faults:
            raise self.cluster.faults.pop(0)
        batches = {}
        for place, at in self.positions.items():
            records = [
                SimpleNamespace(topic=place.topic, partition=0, offset=n, timestamp=time, value=value)
                for n, (time, value) in enumerate(self.cluster.topics[place.topic])
                if n >= at
            ]
            if records:
                batches[place] = records
                self.positions[place] = records[-1].offset + 1
        return batches

    def commit(self) -> None:
        self.cluster.committed |= self.positions

    def close(self) -> None:
        """Nothing to give back."""


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def follow(cluster: Cluster, until: int, *, group: bool, since: int | None = None, refuse: int = 0) -> list[bytes]:
    """Follow until so many records were handled; the first `refuse` handlings fail."""
    stop, seen, failures = threading.Event(), [], [refuse]

    def handle(record: Any) -> None:
        if failures[0]:
            failures[0] -= 1
            raise ConnectionError_("index", "away")
        seen.append(record.value)
        if len(seen) >= until:
            stop.set()

    follower = TopicFollower(
        cluster.connect, lambda t: t.startswith("feedback."), handle, group=group,
        since=(lambda: since) if since is not None else None,
    )  # fmt: skip
    runner = threading.Thread(target=follower.run, args=(stop,), daemon=True)
    runner.start()
    runner.join(60)
    assert not runner.is_alive()
    return seen


def test_only_wanted_topics_are_read_and_a_group_goes_on_where_it_stopped(cluster: Cluster) -> None:
    cluster.topics = {"feedback.a": [(1, b"a0"), (2, b"a1")], "alerts": [(1, b"x")]}
    assert follow(cluster, 2, group=True) == [b"a0", b"a1"]
    cluster.topics["feedback.a"].append((3, b"a2"))
    assert follow(cluster, 1, group=True) == [b"a2"]


def test_without_a_group_only_what_is_recent_is_read(cluster: Cluster) -> None:
    cluster.topics = {"feedback.a": [(1, b"old"), (9, b"new")], "feedback.b": [(1, b"older")]}
    assert follow(cluster, 1, group=False, since=5) == [b"new"]


def test_a_broker_that_fails_is_tried_again_and_nothing_is_read_twice(cluster: Cluster) -> None:
    cluster.topics = {"feedback.a": [(1, b"a0")]}
    cluster.faults = [KafkaTimeoutError(), KafkaTimeoutError()]
    assert follow(cluster, 1, group=True) == [b"a0"]
    assert cluster.connections == 3


def test_a_record_that_could_not_be_handled_comes_again(cluster: Cluster) -> None:
    cluster.topics = {"feedback.a": [(1, b"a0"), (1, b"a1")]}
    assert follow(cluster, 2, group=True, refuse=1) == [b"a0", b"a1"]
