"""What the queue shows of an alert: one row, and the preview beside it; the same for the page and for its updates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from dashboard.spread import Bar, strip
from dashboard.wording import clock, counted, duration, key_text, number, safe, span, state_note
from schemas.alert import Alert, MemberHit
from schemas.times import from_rfc3339


@dataclass(frozen=True, slots=True)
class OrderItem:
    """One member in the order of spread."""

    name: str
    at: str
    lag: str
    """Time since the first member was hit; empty for the first."""
    hits: str
    counted_with: str
    """The institution of the same corporate group that was hit before; empty if this one counts itself."""


@dataclass(frozen=True, slots=True)
class Row:
    """One alert in the queue, as text."""

    id: str
    revision: str
    """As text: it is larger than a number may be in JavaScript."""
    level: str
    state: str
    state_note: str
    message: str
    rule: str
    key: str
    key_title: str
    members: int
    names: str
    more: str
    hits: str
    age: str
    when: str
    drill: bool
    strip: list[Bar]
    groups: str
    order: list[OrderItem]


def row_of(alert: Alert, names: Mapping[str, str], zone: ZoneInfo, now: int) -> Row:
    """The row for an alert.

    Args:
        alert: as it stands in the index.
        names: member id -> institution's name; an unknown id stands for itself.
        zone: in which times are told.
        now: ms since 1970; other days are told with their date.
    """
    body = alert.jointsoc
    first, last = from_rfc3339(alert.event.start), from_rfc3339(alert.event.end)
    shown = [names.get(member.id, safe(member.id, 60)) for member in body.members[:2]]
    return Row(
        id=alert.id,
        revision=str(body.alert.revision),
        level=body.alert.level,
        state=body.alert.state,
        state_note=state_note(body.alert.state),
        message=safe(alert.message),
        rule=safe(alert.rule.name, 120),
        key=key_text(body.group_by, short=True),
        key_title=", ".join(f"{safe(name, 80)} {safe(value)}" for name, value in body.group_by.items()),
        members=len(body.members),
        names=" \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} ".join(shown),
        more=f"+{len(body.members) - 2}" if len(body.members) > 2 else "",
        hits=number(body.events, exact=body.alert.exact),
        age="once" if body.events == 1 else duration(last - first),
        when=span(first, last, zone, now),
        drill=body.drill,
        strip=strip(body.members),
        groups=counted(body.groups, "corporate group"),
        order=order_of(body.members, names, zone),
    )


def order_of(members: list[MemberHit], names: Mapping[str, str], zone: ZoneInfo) -> list[OrderItem]:
    """The members in order of spread; one whose corporate group came before does not count again."""
    items: list[OrderItem] = []
    first_of_group: dict[str, str] = {}
    for member in members:
        name = names.get(member.id, safe(member.id, 60))
        first = from_rfc3339(member.first_seen)
        lag = first - from_rfc3339(members[0].first_seen)
        items.append(
            OrderItem(
                name=name,
                at=clock(first, zone, seconds=True),
                lag=f"+{duration(lag)}" if items else "",
                hits=number(member.count),
                counted_with=first_of_group.get(member.group, ""),
            )
        )
        first_of_group.setdefault(member.group, name)
    return items


def facts_of(alert: Alert, zone: ZoneInfo, now: int) -> list[tuple[str, str, str]]:
    """Label, value and a word of context: the numbers for the phone call."""
    body = alert.jointsoc
    first, last = from_rfc3339(alert.event.start), from_rfc3339(alert.event.end)
    facts: list[tuple[str, str, str]] = [
        ("Institutions", str(len(body.members)), f"in {counted(body.groups, 'corporate group')}"),
        ("Hits", number(body.events, exact=body.alert.exact), "" if body.alert.exact else "a cap was reached"),
    ]
    if len(body.members) > 1:
        spread = [from_rfc3339(member.first_seen) for member in body.members]
        facts.append(("Spread, first to last institution", duration(max(spread) - min(spread)),
                      span(min(spread), max(spread), zone, now)))  # fmt: skip
    facts.append(("First to last hit", duration(last - first), span(first, last, zone, now)))
    return facts


def views_of(tally: Mapping[tuple[str, str], int]) -> list[dict[str, Any]]:
    """The saved views above the queue, each with its filter and its count.

    Args:
        tally: number of alerts for each (state, level).
    """
    current = ("open", "settled")
    urgent = ("critical", "high")
    views: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
        ("Current", current, ()),
        ("Critical and high", current, urgent),
        ("Still open", ("open",), ()),
        ("Settled", ("settled",), ()),
        ("Superseded", ("superseded",), ()),
    )
    return [
        {
            "name": name,
            "states": list(states),
            "levels": list(levels),
            "count": sum(
                n for (state, level), n in tally.items() if state in states and (not levels or level in levels)
            ),
        }
        for name, states, levels in views
    ]
