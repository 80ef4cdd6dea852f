"""Who may do what on the stack's broker: every topic, every user, every grant, in one place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from kafka import KafkaAdminClient

from connectors.clock import write_ticks
from connectors.kafka import MAX_RECORD_BYTES, open_producer
from connectors.kafka_admin import (
    Grant,
    Topic,
    ensure_grants,
    ensure_topics,
    ensure_users,
    remove_user,
    withdraw_other_grants,
)
from connectors.settings import KafkaConnection, read_secret
from deploy.local.secret_files import ensure_password
from deploy.local.settings import StackSettings
from schemas.errors import ConfigError
from schemas.finding import FEEDBACK_PREFIX, FINDINGS_PREFIX
from schemas.health import HEALTH_PREFIX, HEALTH_TOPIC, health_topic
from schemas.member import TOPIC_PREFIX, Member, MemberRegistry

ADMIN: Final = "admin"
"""Super user: used by this package and by tests, by no process of the pipeline."""

PARTITIONS: Final = 2
HEARTBEAT_DAYS: Final = 30
EXCHANGE_DAYS: Final = 90
"""How long findings and answers can be read again; the centre keeps them in its index."""

TOPICS: Final = (
    Topic("alerts", PARTITIONS, {"retention.ms": str(30 * 86_400_000)}),
    # A letter holds a refused record in base64: larger than what was refused.
    Topic("dead-letters", 1, {"max.message.bytes": str(2 * MAX_RECORD_BYTES)}),
    Topic(HEALTH_TOPIC, 1),
)

GRANTS: Final = (
    Grant("pipeline", "READ", "TOPIC", TOPIC_PREFIX, prefixed=True),
    Grant("pipeline", "READ", "GROUP", "pipeline", prefixed=True),
    Grant("pipeline", "WRITE", "TOPIC", "alerts"),
    Grant("pipeline", "WRITE", "TOPIC", "dead-letters"),
    Grant("pipeline", "WRITE", "TOPIC", HEALTH_TOPIC),
    Grant("pipeline", "WRITE", "TRANSACTIONAL_ID", "pipeline", prefixed=True),
    Grant("indexer", "READ", "TOPIC", "alerts"),
    Grant("indexer", "READ", "GROUP", "indexer", prefixed=True),
    Grant("indexer", "WRITE", "TOPIC", "dead-letters"),
    Grant("clock", "WRITE", "TOPIC", TOPIC_PREFIX, prefixed=True),
    # Backtests of rules over what members sent; without a group, so that nothing is committed.
    Grant("operator", "READ", "TOPIC", TOPIC_PREFIX, prefixed=True),
    Grant("dashboard", "READ", "TOPIC", TOPIC_PREFIX, prefixed=True),
    Grant("dashboard", "READ", "TOPIC", "alerts"),
    Grant("dashboard", "READ", "TOPIC", HEALTH_TOPIC),
    Grant("dashboard", "READ", "TOPIC", HEALTH_PREFIX, prefixed=True),
    Grant("dashboard", "WRITE", "TOPIC", FINDINGS_PREFIX, prefixed=True),
    Grant("dashboard", "READ", "TOPIC", FEEDBACK_PREFIX, prefixed=True),
    Grant("dashboard", "READ", "GROUP", "dashboard", prefixed=True),
    Grant("dashboard", "DESCRIBE", "GROUP", "indexer"),
)

SERVICES: Final = tuple(sorted({grant.user for grant in GRANTS}))
RESERVED: Final = frozenset({ADMIN, "broker-1", *SERVICES})
"""Names no member can have: a member's id is also its user name."""


def member_topics(member: Member) -> tuple[Topic, ...]:
    """The member's events, heartbeats, answers and findings.

    The broker stamps every record, so that nobody can bend the trusted clock.
    """
    stamped = {"message.timestamp.type": "LogAppendTime"}
    months = {"retention.ms": str(EXCHANGE_DAYS * 86_400_000)}
    return (
        Topic(member.topic, PARTITIONS, stamped),
        Topic(health_topic(member.id), 1, stamped | {"retention.ms": str(HEARTBEAT_DAYS * 86_400_000)}),
        Topic(FEEDBACK_PREFIX + member.id, 1, stamped | months),
        Topic(FINDINGS_PREFIX + member.id, 1, stamped | months),
    )


def member_grants(member: Member) -> tuple[Grant, ...]:
    """All that a member may do: write its own events, heartbeat and answers, and read what it is told."""
    *written, read = member_topics(member)
    return (
        *(Grant(member.id, "WRITE", "TOPIC", topic.name) for topic in written),
        Grant(member.id, "READ", "TOPIC", read.name),
        Grant(member.id, "READ", "GROUP", read.name),
    )


def password_file(settings: StackSettings, user: str) -> Path:
    """Where a Kafka user's password is; members have a folder of their own."""
    if user in RESERVED:
        return settings.secrets / f"kafka-{user}.password"
    return settings.secrets / "members" / f"{user}.password"


def kafka_connection(settings: StackSettings, user: str) -> KafkaConnection:
    """How a user reaches the broker; makes its password where there is none."""
    return KafkaConnection(
        bootstrap_servers=[settings.kafka_address],
        username=user,
        password_file=ensure_password(password_file(settings, user)),
        ca_file=settings.secrets / "ca.crt",
    )


def check_member_ids(members: Iterable[Member]) -> None:
    """Refuse ids that name a service.

    Raises:
        ConfigError: such an id.
    """
    for member in members:
        if member.id in RESERVED:
            raise ConfigError(
                f"member {member.id}",
                "the id is the name of one of the centre's own users",
                expected=f"none of {', '.join(sorted(RESERVED))}",
            )


def ensure_access(settings: StackSettings, admin: KafkaAdminClient, registry: MemberRegistry) -> list[str]:
    """Bring topics, users and grants to what the table above and the registry say; returns the topics made.

    The order matters to the correlator's clock (schemas/tick.py): a member's topic exists and carries a tick
    before the member can write its first event.
    """
    check_member_ids(registry.members)
    ensure_users(admin, _passwords(settings, (ADMIN, *SERVICES)))
    made = ensure_topics(admin, TOPICS)
    ensure_grants(admin, GRANTS)
    withdraw_other_grants(admin, GRANTS)
    new = ensure_topics(admin, [topic for member in registry.members for topic in member_topics(member)])
    if registry.members:  # each time: an earlier run may have been killed between topic and tick
        producer = open_producer(kafka_connection(settings, ADMIN), linger_ms=0)
        try:
            write_ticks(admin, producer)
        finally:
            producer.close()
    enabled = [member for member in registry.members if member.enabled]
    ensure_users(admin, _passwords(settings, [member.id for member in enabled]))
    grants = [grant for member in enabled for grant in member_grants(member)]
    ensure_grants(admin, grants)
    withdraw_other_grants(admin, grants)
    for member in registry.members:
        if not member.enabled:
            remove_user(admin, member.id)
    return made + new


def revoke_member(settings: StackSettings, admin: KafkaAdminClient, member_id: str) -> None:
    """Take away a member's password and rights; its topic and what it sent stay, as evidence."""
    remove_user(admin, member_id)
    password_file(settings, member_id).unlink(missing_ok=True)


def _passwords(settings: StackSettings, users: Iterable[str]) -> Mapping[str, str]:
    return {user: read_secret(ensure_password(password_file(settings, user))) for user in users}
