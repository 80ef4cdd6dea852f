from __future__ import annotations

import pytest

from connectors.settings import read_secret
from deploy.local.kafka_access import (
    GRANTS,
    RESERVED,
    SERVICES,
    TOPICS,
    check_member_ids,
    kafka_connection,
    member_grants,
    member_topics,
    password_file,
)
from deploy.local.settings import StackSettings
from schemas.errors import ConfigError
from schemas.member import Member

KESTREL = Member(id="kestrel-bank", name="Kestrel Bank")


def may(user: str, operation: str) -> set[str]:
    return {
        grant.name for grant in GRANTS if (grant.user, grant.operation, grant.resource) == (user, operation, "TOPIC")
    }


def test_of_the_services_only_the_clock_writes_to_member_topics() -> None:
    assert {user for user in SERVICES if "events." in may(user, "WRITE")} == {"clock"}


def test_only_the_job_writes_alerts() -> None:
    assert {user for user in SERVICES if "alerts" in may(user, "WRITE")} == {"pipeline"}


def test_the_dashboard_writes_findings_and_nothing_else() -> None:
    assert may("dashboard", "WRITE") == {"findings."}


def test_no_service_is_granted_anything_by_a_wildcard() -> None:
    assert all(len(grant.name) > 3 for grant in GRANTS)


def test_every_topic_that_is_granted_exists() -> None:
    names = {topic.name for topic in TOPICS} | {"events.", "health.", "findings.", "feedback."}
    assert {grant.name for grant in GRANTS if grant.resource == "TOPIC"} == names


def test_a_member_may_write_and_read_its_own_topics_and_nothing_else() -> None:
    grants = {(grant.operation, grant.resource, grant.name, grant.prefixed) for grant in member_grants(KESTREL)}
    assert grants == {
        ("WRITE", "TOPIC", "events.kestrel-bank", False),
        ("WRITE", "TOPIC", "health.kestrel-bank", False),
        ("WRITE", "TOPIC", "feedback.kestrel-bank", False),
        ("READ", "TOPIC", "findings.kestrel-bank", False),
        ("READ", "GROUP", "findings.kestrel-bank", False),
    }


def test_the_broker_stamps_a_members_records_itself() -> None:
    assert {topic.name for topic in member_topics(KESTREL)} == {
        f"{kind}.kestrel-bank" for kind in ("events", "health", "findings", "feedback")
    }
    assert all(topic.config["message.timestamp.type"] == "LogAppendTime" for topic in member_topics(KESTREL))


def test_only_the_job_writes_the_topic_of_its_accounts_and_no_service_a_members_heartbeat() -> None:
    assert {user for user in SERVICES if "health" in may(user, "WRITE")} == {"pipeline"}
    assert not any(name.startswith("health.") for user in SERVICES for name in may(user, "WRITE"))


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_member_cannot_take_the_name_of_a_service(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        check_member_ids([Member(id=name, name="X")])


def test_every_user_has_a_password_of_its_own(settings: StackSettings) -> None:
    users = ["admin", *SERVICES, "kestrel-bank", "heron-bank"]
    words = {read_secret(kafka_connection(settings, user).password_file) for user in users}
    assert len(words) == len(users)


def test_passwords_of_members_are_in_a_folder_of_their_own(settings: StackSettings) -> None:
    assert password_file(settings, "kestrel-bank").parent != password_file(settings, "pipeline").parent
