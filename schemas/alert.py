"""What an analyst sees: one JSON object per revision, the same in Kafka, in Elasticsearch and from `jsoc replay`."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

ECS_VERSION: Final = "9.4.0"
"""The pinned release of the Elastic Common Schema."""

Level = Literal["informational", "low", "medium", "high", "critical"]
State = Literal["open", "settled", "superseded"]
Tlp = Literal["red", "amber+strict", "amber", "green", "clear"]

SETTLED_REVISION: Final = 1 << 61
"""A settled alert's revision is this plus its number of hits: later than any open one (correlation.md section 4)."""
SUPERSEDED_REVISION: Final = 1 << 62
"""A tombstone's revision: later than any other."""

RFC3339 = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Ecs(_Part):
    """ECS `ecs.*`."""

    version: str = ECS_VERSION


class AlertEvent(_Part):
    """ECS `event.*` of the alert itself."""

    kind: Literal["alert"] = "alert"
    id: str
    start: str = Field(pattern=RFC3339, description="first hit in evidence")
    end: str = Field(pattern=RFC3339, description="last hit in evidence")
    created: str = Field(pattern=RFC3339, description="when this revision was made")


class AlertRule(_Part):
    """ECS `rule.*`: the Sigma rule that fired; author and licence are kept as its licence wants."""

    uuid: str
    name: str
    description: str = ""
    author: list[str] = []
    license: str = ""
    reference: list[str] = []
    ruleset: str = ""
    version: str = ""


class ThreatItem(_Part):
    """One ATT&CK tactic or technique."""

    id: list[str] = []
    name: list[str] = []


class Threat(_Part):
    """ECS `threat.*`, from the rule's ATT&CK tags."""

    framework: str = "MITRE ATT&CK"
    tactic: ThreatItem = ThreatItem()
    technique: ThreatItem = ThreatItem()


class Organizations(_Part):
    """ECS `organization.*`: the members hit."""

    id: list[str]


class AlertState(_Part):
    """Where this alert stands in its life."""

    revision: int
    state: State
    superseded_by: str | None = None
    level: Level = "medium"
    exact: bool = Field(default=True, description="false where a cap was reached and counts are estimates")


class MemberHit(_Part):
    """One member's part in an alert."""

    id: str
    group: str
    first_seen: str = Field(pattern=RFC3339)
    last_seen: str = Field(pattern=RFC3339)
    count: int
    counts: list[int] = Field(default=[], description="hits in each column of `column_ms`, from `event.start` on")


class Evidence(_Part):
    """One base event, fetchable from Kafka by topic, partition, offset and line."""

    member: str
    topic: str
    partition: int
    offset: int
    line: int
    event_id: str
    time: str = Field(pattern=RFC3339)
    rule: list[str] = Field(description="titles of the detections that matched this event")


class SharePolicy(_Part):
    """Under which conditions all members may learn of the alert: its rule's `federation.share`."""

    k: int = Field(description="least number of corporate groups hit")
    tlp: Tlp


class JointSoc(_Part):
    """What ECS has no home for."""

    alert: AlertState
    group_by: dict[str, str] = {}
    groups: int = Field(default=0, description="distinct corporate groups")
    events: int = Field(default=0, description="number of hits")
    without_value: int = Field(default=0, description="hits whose value, or number, could not be used")
    column_ms: int = Field(
        default=0, description="width of a column of `members.counts`; columns are aligned to the epoch; 0: none"
    )
    members: list[MemberHit] = Field(default=[], description="in order of spread")
    evidence: list[Evidence] = []
    tlp: Tlp = "amber"
    share: SharePolicy | None = None
    drill: bool = False
    pack: str = Field(default="", description="version of the rule pack")


class Alert(_Part):
    """One revision of one alert (DESIGN 3.4)."""

    timestamp: str = Field(alias="@timestamp", pattern=RFC3339, description="the last satisfied instant")
    ecs: Ecs = Ecs()
    event: AlertEvent
    rule: AlertRule
    threat: Threat = Threat()
    organization: Organizations
    message: str = Field(description="one sentence a person reads first")
    jointsoc: JointSoc

    @property
    def id(self) -> str:
        """The alert's id: the Kafka key and the document id."""
        return self.event.id

    def to_json(self) -> bytes:
        """The alert as one line of JSON."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


def alert_from_json(value: bytes | str) -> Alert:
    """Read one revision.

    Raises:
        pydantic.ValidationError: not an alert.
    """
    return Alert.model_validate_json(value)
