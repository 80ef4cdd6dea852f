from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.admin import ACLOperation, OffsetSpec, ResourceType
from kafka.structs import OffsetAndMetadata, OffsetAndTimestamp

from connectors.kafka_admin import (
    Grant,
    Topic,
    ensure_grants,
    ensure_topics,
    ensure_users,
    group_lag,
    topic_partitions,
    withdraw_other_grants,
)
from schemas.errors import ConnectionError_


class Cluster:
    """What the functions ask of an admin client, without a cluster behind it."""

    def __init__(self, *topics: str) -> None:
        self.topics = list(topics)
        self.created: dict[str, Any] = {}
        self.acls: list[Any] = []
        self.refuses: dict[str, str] = {}
        self.offsets: dict[int, int] = {}
        self.committed: dict[TopicPartition, OffsetAndMetadata] = {}

    def list_topics(self) -> list[str]:
        return self.topics

    def describe_topics(self, names: Iterable[str]) -> list[dict[str, Any]]:
        return [{"name": name, "partitions": [{"partition_index": 0}, {"partition_index": 1}]} for name in names]

    def create_topics(self, new: dict[str, Any], *, wait_for_metadata: bool) -> None:
        assert wait_for_metadata
        self.created |= new
        self.topics += new

    def alter_user_scram_credentials(self, changes: Iterable[Any]) -> dict[str, str | None]:
        return {change.user: self.refuses.get(change.user) for change in changes}

    def create_acls(self, acls: list[Any]) -> dict[str, list[Any]]:
        self.acls += acls
        return {"succeeded": acls, "failed": [(acl, "ClusterAuthorizationFailed") for acl in acls if self.refuses]}

    def describe_acls(self, _: Any) -> tuple[list[Any], Any]:
        return list(self.acls), None

    def delete_acls(self, which: list[Any]) -> list[tuple[Any, list[Any], None]]:
        self.acls = [acl for acl in self.acls if acl not in which]
        return [(acl, [acl], None) for acl in which]

    def list_partition_offsets(self, wanted: dict[TopicPartition, int]) -> dict[TopicPartition, OffsetAndTimestamp]:
        return {each: OffsetAndTimestamp(self.offsets[spec], -1, None) for each, spec in wanted.items()}

    def list_group_offsets(self, groups: dict[str, Any]) -> dict[str, dict[TopicPartition, OffsetAndMetadata]]:
        return dict.fromkeys(groups, self.committed)


P0, P1 = TopicPartition("events.a", 0), TopicPartition("events.a", 1)


def test_only_topics_that_are_missing_are_made() -> None:
    cluster = Cluster("alerts")
    assert ensure_topics(cluster, [Topic("alerts", 2), Topic("events.a", 2, {"x": "y"})]) == ["events.a"]
    assert cluster.created == {"events.a": {"num_partitions": 2, "replication_factor": 1, "configs": {"x": "y"}}}
    assert ensure_topics(cluster, [Topic("alerts", 2), Topic("events.a", 2)]) == []


def test_a_refused_user_is_an_error_that_names_the_user_and_not_the_password() -> None:
    cluster = Cluster()
    cluster.refuses = {"bank-b": "not allowed"}
    with pytest.raises(ConnectionError_, match="bank-b") as error:
        ensure_users(cluster, {"bank-a": "word-a", "bank-b": "word-b"})
    assert "word" not in str(error.value)


def test_grants_become_allow_entries_for_that_user() -> None:
    cluster = Cluster()
    ensure_grants(cluster, [Grant("pipeline", "READ", "TOPIC", "events.", prefixed=True)])
    (entry,) = cluster.acls
    assert entry.principal == "User:pipeline"
    assert entry.operation == ACLOperation.READ
    assert (entry.resource_pattern.resource_type, entry.resource_pattern.resource_name) == (
        ResourceType.TOPIC,
        "events.",
    )


def test_what_a_user_was_allowed_beyond_its_grants_is_taken_away() -> None:
    cluster = Cluster()
    foreign = Grant("other", "WRITE", "TOPIC", "health")
    old, new = Grant("bank", "WRITE", "TOPIC", "health"), Grant("bank", "WRITE", "TOPIC", "health.bank")
    ensure_grants(cluster, [foreign, old, new])
    withdraw_other_grants(cluster, [new])
    assert {(acl.principal, acl.resource_pattern.resource_name) for acl in cluster.acls} == {
        ("User:other", "health"),
        ("User:bank", "health.bank"),
    }


def test_a_refused_grant_is_an_error_though_the_client_does_not_raise() -> None:
    cluster = Cluster()
    cluster.refuses = {"x": "y"}
    with pytest.raises(ConnectionError_, match="refused the change"):
        ensure_grants(cluster, [Grant("pipeline", "WRITE", "TOPIC", "alerts")])


def test_only_partitions_of_topics_with_the_prefix_count() -> None:
    assert topic_partitions(Cluster("alerts", "events.a"), "events.") == [P0, P1]
    assert topic_partitions(Cluster("alerts"), "events.") == []


def test_the_lag_is_what_lies_between_commit_and_end_over_all_partitions() -> None:
    cluster = Cluster()
    cluster.offsets = {OffsetSpec.LATEST: 100, OffsetSpec.EARLIEST: 10}
    cluster.committed = {P0: OffsetAndMetadata(70, "", -1), P1: OffsetAndMetadata(-1, "", -1)}
    assert group_lag(cluster, "pipeline", [P0, P1]) == 30 + 90


def test_records_that_retention_removed_do_not_count_as_lag() -> None:
    cluster = Cluster()
    cluster.offsets = {OffsetSpec.LATEST: 100, OffsetSpec.EARLIEST: 90}
    cluster.committed = {P0: OffsetAndMetadata(5, "", -1)}
    assert group_lag(cluster, "pipeline", [P0]) == 10


def test_a_group_without_partitions_has_no_lag() -> None:
    assert group_lag(Cluster(), "pipeline", []) == 0
