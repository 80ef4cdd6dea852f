"""What one member may see of an alert: its own part. Nothing here passes on another member's id, name or evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from schemas.alert import Alert, Level
from schemas.finding import Finding, OwnEvent, finding_id, others_band
from schemas.times import to_rfc3339

HOUR_MS: Final = 3_600_000
DEADLINE_HOURS: Final[Mapping[Level, int]] = {"critical": 1, "high": 4, "medium": 24, "low": 72, "informational": 168}
SECRET: Final = frozenset({"red", "amber+strict"})
"""TLP under which even the shared key stays at the centre."""


def finding_of(
    alert: Alert,
    member: str,
    now: int,
    asked: str = "",
    hours: Mapping[Level, int] = DEADLINE_HOURS,
    revision: int = 0,
) -> Finding | None:
    """The member's part of an alert; None if it was not hit.

    The alert's own sentence is left out: it may name others.

    Args:
        alert: the newest revision.
        member: its id.
        now: ms since 1970.
        asked: what the centre wants of the member, in an analyst's words.
        hours: time to answer, by level.
        revision: counts how often the member was told of this alert.
    """
    own = next((part for part in alert.jointsoc.members if part.id == member), None)
    if own is None:
        return None
    body = alert.jointsoc
    return Finding(
        id=finding_id(alert.id, member),
        revision=revision,
        alert=alert.id,
        member=member,
        made=to_rfc3339(now),
        level=body.alert.level,
        rule=alert.rule.uuid,
        title=alert.rule.name,
        key={} if body.tlp in SECRET else _own_key(alert, member),
        hits=own.count,
        first_seen=own.first_seen,
        last_seen=own.last_seen,
        others=others_band(len({part.id for part in body.members} - {member})),
        events=[
            OwnEvent(event_id=item.event_id, time=item.time, detections=item.rule)
            for item in body.evidence
            if item.member == member and item.topic == f"events.{member}"
        ],
        asked=asked,
        tlp=body.tlp,
        drill=body.drill,
        deadline=to_rfc3339(now + hours[body.alert.level] * HOUR_MS),
    )


def _own_key(alert: Alert, member: str) -> dict[str, str]:
    """The key, but for values that name another member (a rule may group by the institution)."""
    others = {part.id for part in alert.jointsoc.members} | set(alert.organization.id)
    return {
        name: value
        for name, value in alert.jointsoc.group_by.items()
        if not any(other in value or other in name for other in others - {member})
    }
