"""What the health topics carry: forwarders' heartbeats, and the job's accounts of all it read, left out and uses.

The job writes `health`. Each member writes `health.<member>` and no other: whose heartbeat it is, the topic tells.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

HEALTH_TOPIC: Final = "health"
HEALTH_PREFIX: Final = "health."


class _Health(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    timestamp: str = Field(alias="@timestamp")

    def to_json(self) -> bytes:
        """One line of JSON."""
        return self.model_dump_json(by_alias=True).encode()


class InputCounters(_Health):
    """One input of a forwarder, since it started."""

    timestamp: str = Field(default="", alias="@timestamp", exclude=True)
    name: str
    read: int = 0
    sent: int = 0
    acknowledged: int = 0
    dropped: int = Field(default=0, description="what the mapping says not to send")
    dead: int = Field(default=0, description="what could not be read; kept in the local dead-letter file")
    lost: int = Field(default=0, description="what came by UDP and could not be taken: the only thing that gets lost")
    spool_bytes: int = Field(default=0, description="bytes that wait on the disk")
    spool_oldest: str = Field(default="", description="when the oldest line that waits came; empty: none waits")
    spool_damaged: int = Field(default=0, description="bytes of the spool that could not be read back")
    trouble: str = Field(default="", description="why nothing can be read at present")


class Heartbeat(_Health):
    """A forwarder is alive; each minute."""

    kind: Literal["heartbeat"] = "heartbeat"
    member: str
    agent: str = Field(description="version of the forwarder")
    inputs: list[InputCounters]
    spool_bytes: int = Field(default=0, description="read and not yet acknowledged, in memory and on the disk")
    policy: str = Field(default="", description="hash of the forwarder's mapping policy")
    last_error: str = ""
    certificates: dict[str, str] = Field(default={}, description="file -> until when the certificate in it is valid")
    clock_offset: int | None = Field(default=None, description="ms the member's clock is ahead of the broker's")


class NotCounted(BaseModel):
    """Matched events, or parts of them, that a correlation could not count."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(
        description="missing_group_key, excess_values, not_a_number, negative_value, bad_weight, late_for_rule"
    )
    correlation: str
    field: str
    count: int


class PartitionAccount(_Health):
    """What became of everything read from one partition, since the beginning; a newer one replaces an older one.

    Of records: `records = events_records + ticks`. Of lines: `lines = evaluated + dead`; `late` and `clock_ahead`
    are parts of `evaluated`.
    """

    kind: Literal["account"] = "account"
    topic: str
    partition: int
    next_offset: int
    records: int = 0
    ticks: int = 0
    lines: int = 0
    evaluated: int = 0
    matched: int = Field(default=0, description="evaluated lines that at least one detection matched")
    late: int = Field(default=0, description="evaluated, but too old to be correlated in the stream")
    clock_ahead: int = Field(default=0, description="evaluated with the append time for its own")
    dead: int = 0
    not_counted: list[NotCounted] = Field(default=[], description="what correlations left out, by reason")


class ShardAccount(_Health):
    """What one shard of the correlations did not use or keep, since the beginning; a newer one replaces an older."""

    kind: Literal["shard"] = "shard"
    shard: int
    counters: dict[str, int] = Field(description="the counters of `pipeline.correlate.shard`, and `outdated_hits`")
    refused_hits: dict[str, int] = Field(default={}, description="correlation -> hits beyond its budget of groups")


class PackReport(_Health):
    """Which rule pack a worker of the job uses: said when it changes or is refused, and repeated while records come."""

    kind: Literal["pack"] = "pack"
    stage: Literal["detect", "correlate"]
    worker: str = Field(description="stage and number of the subtask: `detect/0`")
    version: str = Field(description="the pack in force")
    detections: int = 0
    correlations: int = 0
    refused: str = Field(default="", description="why the newest pack file is not in force")


AnyHealth = Heartbeat | PartitionAccount | ShardAccount | PackReport
HealthMessage = Annotated[AnyHealth, Field(discriminator="kind")]
_adapter: TypeAdapter[AnyHealth] = TypeAdapter(HealthMessage)


def health_from_json(value: bytes | str) -> AnyHealth:
    """Read one message of a health topic.

    Raises:
        pydantic.ValidationError: none of these messages.
    """
    return _adapter.validate_json(value)


def health_topic(member: str) -> str:
    """The topic of a member's heartbeats.

    >>> health_topic("kestrel-bank")
    'health.kestrel-bank'
    """
    return HEALTH_PREFIX + member


def health_message(topic: str, value: bytes | str) -> AnyHealth:
    """Read one message of a health topic; a heartbeat's member is the topic's, whatever the message says.

    Raises:
        ValueError: no such message, or not one that belongs into this topic (pydantic.ValidationError is one).
    """
    message = health_from_json(value)
    if isinstance(message, Heartbeat) != topic.startswith(HEALTH_PREFIX):
        raise ValueError(f"a message of kind {message.kind} in the topic {topic}")
    if isinstance(message, Heartbeat):
        return message.model_copy(update={"member": topic.removeprefix(HEALTH_PREFIX)})
    return message
