"""What one member is told of an alert: its own part, what is asked of it, and until when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from schemas.alert import Alert, Level
from schemas.finding import Finding, finding_id
from schemas.member_part import part_of
from schemas.times import to_rfc3339

HOUR_MS: Final = 3_600_000
DEADLINE_HOURS: Final[Mapping[Level, int]] = {"critical": 1, "high": 4, "medium": 24, "low": 72, "informational": 168}


def finding_of(
    alert: Alert,
    member: str,
    now: int,
    asked: str = "",
    hours: Mapping[Level, int] = DEADLINE_HOURS,
    revision: int = 0,
) -> Finding | None:
    """The member's part of an alert; None if it was not hit.

    Args:
        alert: the newest revision.
        member: its id.
        now: ms since 1970.
        asked: what the centre wants of the member, in an analyst's words.
        hours: time to answer, by level.
        revision: counts how often the member was told of this alert.
    """
    part = part_of(alert, member)
    if part is None:
        return None
    return Finding(
        id=finding_id(alert.id, member),
        revision=revision,
        made=to_rfc3339(now),
        asked=asked,
        deadline=to_rfc3339(now + hours[part.level] * HOUR_MS),
        **part.model_dump(exclude={"timestamp", "state"}),
    )
