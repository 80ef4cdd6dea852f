"""Administration of a Kafka cluster: topics, users, what each user may do, and how far a group has read.

Every function can be repeated: it brings the cluster to the state asked for and leaves what is so already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    OffsetSpec,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)
from kafka.errors import KafkaError, TopicAlreadyExistsError

from schemas.errors import ConnectionError_

SCRAM_ITERATIONS: Final = 8192

Operation = Literal["READ", "WRITE", "DESCRIBE"]
Resource = Literal["TOPIC", "GROUP", "TRANSACTIONAL_ID"]


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it should be made."""

    name: str
    partitions: int = 1
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Grant:
    """One user may do one thing to one resource, or to all whose names begin so. READ and WRITE imply DESCRIBE."""

    user: str
    operation: Operation
    resource: Resource
    name: str
    prefixed: bool = False


def open_admin_with_certificate(address: str, ca_file: Path, pem_file: Path) -> KafkaAdminClient:
    """An administration client that shows a certificate instead of a password; the PEM file holds key and certificate.

    Raises:
        ConnectionError_: the broker cannot be reached or refuses the certificate.
    """
    try:
        return KafkaAdminClient(
            bootstrap_servers=[address],
            security_protocol="SSL",
            ssl_cafile=str(ca_file),
            ssl_certfile=str(pem_file),
            ssl_keyfile=str(pem_file),
            bootstrap_timeout_ms=4000,
        )
    except KafkaError as error:
        raise ConnectionError_(
            f"kafka {address}",
            f"cannot connect with the certificate {pem_file.name} ({type(error).__name__})",
            hint="check that the broker runs: jsoc status",
        ) from error


def ensure_topics(admin: KafkaAdminClient, topics: Iterable[Topic]) -> list[str]:
    """Make the topics that are missing and wait until each partition has a leader; returns their names."""
    there = set(admin.list_topics())
    wanted = [topic for topic in topics if topic.name not in there]
    if not wanted:
        return []
    new = {
        topic.name: {
            "num_partitions": topic.partitions,
            "replication_factor": 1,
            "configs": dict(topic.config),
        }
        for topic in wanted
    }
    try:
        admin.create_topics(new, wait_for_metadata=True)
    except TopicAlreadyExistsError:
        return ensure_topics(admin, wanted)  # somebody made one meanwhile
    return [topic.name for topic in wanted]


def ensure_users(admin: KafkaAdminClient, passwords: Mapping[str, str]) -> None:
    """Set each user's password (SCRAM-SHA-512); makes users that are new.

    Raises:
        ConnectionError_: the broker refuses one.
    """
    changes = [
        UserScramCredentialUpsertion(user, ScramMechanism.SCRAM_SHA_512, password, iterations=SCRAM_ITERATIONS)
        for user, password in passwords.items()
    ]
    _raise_refused("user", admin.alter_user_scram_credentials(changes) if changes else {})


def remove_user(admin: KafkaAdminClient, user: str) -> None:
    """Take away a user's grants, then its password; no such user is fine."""
    _delete_acls(admin, _all_acls(f"User:{user}"))
    if admin.describe_user_scram_credentials([user])[user]["error"] is None:
        deletion = UserScramCredentialDeletion(user, ScramMechanism.SCRAM_SHA_512)
        _raise_refused("user", admin.alter_user_scram_credentials([deletion]))


def ensure_grants(admin: KafkaAdminClient, grants: Iterable[Grant]) -> None:
    """Allow each of these; what is allowed already stays.

    Raises:
        ConnectionError_: the broker refuses one.
    """
    entries = [_acl(grant) for grant in grants]
    if entries:
        failed = admin.create_acls(entries)["failed"]  # failures are returned, not raised
        _raise_refused("grant", {str(entry): error for entry, error in failed})


def withdraw_other_grants(admin: KafkaAdminClient, grants: Iterable[Grant]) -> None:
    """Take from the users of these grants whatever else they are allowed.

    Raises:
        ConnectionError_: the broker refuses.
    """
    wanted = {_acl(grant) for grant in grants}
    users = {acl.principal for acl in wanted}
    granted, _ = admin.describe_acls(_all_acls(None))
    for acl in granted:
        if acl.principal in users and acl not in wanted:
            _delete_acls(admin, acl)


def topic_partitions(admin: KafkaAdminClient, prefix: str) -> list[TopicPartition]:
    """All partitions of the topics whose names begin so."""
    names = [name for name in admin.list_topics() if name.startswith(prefix)]
    if not names:
        return []
    return [
        TopicPartition(topic["name"], partition["partition_index"])
        for topic in admin.describe_topics(names)
        for partition in topic["partitions"]
    ]


def group_lag(admin: KafkaAdminClient, group: str, partitions: list[TopicPartition]) -> int:
    """Records between what the group has committed and the partitions' ends; uncommitted counts from the start.

    Raises:
        kafka.errors.KafkaError: the broker is away or refuses.
    """
    if not partitions:
        return 0
    ends = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
    starts = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
    committed = admin.list_group_offsets({group: partitions}).get(group, {})
    lag = 0
    for partition in partitions:
        position = committed.get(partition)
        begin = starts[partition].offset
        reached = position.offset if position is not None and position.offset >= 0 else begin
        lag += max(0, ends[partition].offset - max(reached, begin))
    return lag


def _all_acls(principal: str | None) -> ACLFilter:
    """All entries of one user, or of everybody."""
    return ACLFilter(
        principal=principal,
        host=None,
        operation=ACLOperation.ANY,
        permission_type=ACLPermissionType.ANY,
        resource_pattern=ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY),
    )


def _delete_acls(admin: KafkaAdminClient, which: ACLFilter) -> None:
    for _, _, error in admin.delete_acls([which]):
        _raise_refused("grants of user", {str(which.principal): error if _is_error(error) else None})


def _acl(grant: Grant) -> ACL:
    pattern = ACLResourcePatternType.PREFIXED if grant.prefixed else ACLResourcePatternType.LITERAL
    return ACL(
        f"User:{grant.user}",
        "*",
        ACLOperation[grant.operation],
        ACLPermissionType.ALLOW,
        ResourcePattern(ResourceType[grant.resource], grant.name, pattern),
    )


def _is_error(error: Any) -> bool:
    """kafka-python reports success as `NoError`, an error class like the others."""
    return error is not None and getattr(error, "errno", 0) != 0


def _raise_refused(kind: str, answers: Mapping[str, Any]) -> None:
    refused = {name: error for name, error in answers.items() if error}
    if refused:
        name, error = next(iter(refused.items()))
        raise ConnectionError_(f"kafka: {kind} {name}", "the broker refused the change", got=str(error))
