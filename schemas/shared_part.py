"""What every member may see of an alert: the attack, and nothing of those it hit but a band of how many there are."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from schemas.alert import RFC3339, Alert, Level, State
from schemas.finding import Band, others_band
from schemas.member_part import key_without

OPEN_LABELS: Final = frozenset({"green", "clear"})
"""TLP under which something goes to every member, whether it was hit or not."""


class SharedPart(BaseModel):
    """One revision of an alert as all members may see it: the document of `alerts-shared-*`."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    timestamp: str = Field(alias="@timestamp", pattern=RFC3339, description="of the last hit, to the hour")
    first_seen: str = Field(pattern=RFC3339, description="of the first hit, to the hour")
    alert: str
    state: State
    level: Level
    rule: str
    title: str
    tactics: list[str] = []
    techniques: list[str] = []
    key: dict[str, str] = Field(default={}, description="the shared key, but for values that name a member")
    groups: Band = Field(description="how many corporate groups were hit")
    tlp: str
    drill: bool = False

    def to_json(self) -> bytes:
        """The part as one line of JSON."""
        return self.model_dump_json(by_alias=True).encode()


def shared_part_of(alert: Alert) -> SharedPart | None:
    """What all members may see of an alert; None where its rule's `share` does not let it out, or too few were hit.

    Times are told to the hour, so that nobody finds a member by what it said in public at that minute.
    """
    body = alert.jointsoc
    policy = body.share
    if policy is None or policy.tlp not in OPEN_LABELS or body.groups < policy.k:
        return None
    return SharedPart(
        timestamp=_to_the_hour(alert.event.end),
        first_seen=_to_the_hour(alert.event.start),
        alert=alert.id,
        state=body.alert.state,
        level=body.alert.level,
        rule=alert.rule.uuid,
        title=alert.rule.name,
        tactics=alert.threat.tactic.name,
        techniques=alert.threat.technique.id,
        key=key_without(alert, {hit.id for hit in body.members} | set(alert.organization.id)),
        groups=others_band(body.groups),
        tlp=policy.tlp,
        drill=body.drill,
    )


def _to_the_hour(at: str) -> str:
    """A time without its minutes.

    >>> _to_the_hour("2026-11-23T09:41:07.500Z")
    '2026-11-23T09:00:00.000Z'
    """
    return at[:13] + ":00:00.000Z"
