"""What one member may see of an alert: its own part. Nothing here passes on another member's id, name or evidence."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from pydantic import ConfigDict, Field

from schemas.alert import RFC3339, Alert, State
from schemas.finding import OwnEvent, OwnView, others_band

SECRET: Final = frozenset({"red", "amber+strict"})
"""TLP under which even the shared key stays at the centre."""


class MemberPart(OwnView):
    """One member's part of one revision of an alert: the document of `alerts-member.<id>.*`."""

    model_config = ConfigDict(populate_by_name=True)

    timestamp: str = Field(alias="@timestamp", pattern=RFC3339, description="the member's own last hit")
    state: State

    def to_json(self) -> bytes:
        """The part as one line of JSON."""
        return self.model_dump_json(by_alias=True).encode()


def part_of(alert: Alert, member: str) -> MemberPart | None:
    """The member's part of an alert; None if it was not hit.

    The alert's own sentence is left out: it may name others.
    """
    own = next((part for part in alert.jointsoc.members if part.id == member), None)
    if own is None:
        return None
    body = alert.jointsoc
    return MemberPart(
        timestamp=own.last_seen,
        alert=alert.id,
        member=member,
        state=body.alert.state,
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
        tlp=body.tlp,
        drill=body.drill,
    )


def _own_key(alert: Alert, member: str) -> dict[str, str]:
    """The key, but for values that name another member (a rule may group by the institution)."""
    others = {part.id for part in alert.jointsoc.members} | set(alert.organization.id)
    return key_without(alert, others - {member})


def key_without(alert: Alert, members: Collection[str]) -> dict[str, str]:
    """The shared key, but for fields and values that name one of the members, with or without their hyphens.

    >>> _plain("Kestrel-Bank.example")
    'kestrelbankexample'
    """
    named = [_plain(member) for member in members]
    return {
        name: value
        for name, value in alert.jointsoc.group_by.items()
        if not any(member in _plain(value) or member in _plain(name) for member in named)
    }


def _plain(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()
