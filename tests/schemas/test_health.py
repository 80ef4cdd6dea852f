from __future__ import annotations

import pytest

from schemas.health import Heartbeat, PartitionAccount, health_message, health_topic

BEAT = Heartbeat(timestamp="2026-11-23T02:00:00.000Z", member="heron-bank", agent="1", inputs=[])
ACCOUNT = PartitionAccount(timestamp="2026-11-23T02:00:00.000Z", topic="events.a", partition=0, next_offset=1)


def test_whose_heartbeat_it_is_the_topic_tells_and_not_the_message() -> None:
    message = health_message(health_topic("kestrel-bank"), BEAT.to_json())
    assert isinstance(message, Heartbeat)
    assert message.member == "kestrel-bank"


def test_an_account_is_the_jobs_to_give_and_a_heartbeat_is_a_members() -> None:
    assert health_message("health", ACCOUNT.to_json()) == ACCOUNT
    with pytest.raises(ValueError, match="account in the topic"):
        health_message("health.kestrel-bank", ACCOUNT.to_json())
    with pytest.raises(ValueError, match="heartbeat in the topic health"):
        health_message("health", BEAT.to_json())
    with pytest.raises(ValueError, match="kind"):
        health_message("health.kestrel-bank", b'{"kind":"alert"}')
