"""What the queue shows of an alert: one row, and the preview beside it; the same for the page and for its updates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final
from zoneinfo import ZoneInfo

from dashboard.language import say
from dashboard.matrix import mini
from dashboard.spread import Bar
from dashboard.triage import is_reopened
from dashboard.vocabulary import label
from dashboard.wording import clock, counted, duration, key_text, number, safe, sentence, span, state_note, tenths
from schemas.alert import Alert, MemberHit
from schemas.times import from_rfc3339
from schemas.workflow import Workflow

NAMES_FIT: Final = 18
"""Letters of the first names that fit above the drawing."""


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
    level_label: str
    state: str
    state_note: str
    status: str
    status_label: str
    status_note: str
    """The close reason."""
    owner: str
    """Two letters of who works on it."""
    owner_name: str
    workflow: int
    """Revision of the workflow."""
    tags: list[str]
    group: str
    """The heading the row stands under; empty without grouping."""
    group_note: str
    """How many alerts, institutions and corporate groups stand under the heading."""
    message: str
    rule: str
    rule_note: str
    """The rule, unless the sentence names it."""
    key: str
    """The shared key, unless the sentence tells it."""
    key_title: str
    members: int
    names: str
    more: str
    hits: str
    age: str
    when: str
    drill: str
    """The word for it; empty if it is none."""
    strip: list[Bar]
    groups: str
    order: list[OrderItem]
    member_ids: list[str]
    """Those that can be told."""
    needed: int
    """How many corporate groups the rule wants; 0 where it is not known."""


def plain(row: Row) -> dict[str, Any]:
    """The row as JSON has it; `dataclasses.asdict` copies each bar, and takes as long as reading the alerts."""
    order = [{name: getattr(item, name) for name in _ITEM_FIELDS} for item in row.order]
    return {name: getattr(row, name) for name in _ROW_FIELDS} | {"order": order}


_ROW_FIELDS: Final = tuple(one.name for one in fields(Row))
_ITEM_FIELDS: Final = tuple(one.name for one in fields(OrderItem))


def row_of(
    alert: Alert,
    workflow: Workflow,
    names: Mapping[str, str],
    zone: ZoneInfo,
    now: int,
    groups: Sequence[str] = (),
    needed: int = 0,
) -> Row:
    """The row for an alert.

    Args:
        alert: as it stands in the index.
        workflow: what people did with it.
        names: member id -> institution's name; an unknown id stands for itself.
        zone: in which times are told.
        now: ms since 1970; other days are told with their date.
        groups: what the queue is grouped by.
        needed: how many corporate groups the rule wants.
    """
    body = alert.jointsoc
    status = _status(workflow)
    first, last = from_rfc3339(alert.event.start), from_rfc3339(alert.event.end)
    shown = [names.get(member.id, safe(member.id, 60)) for member in body.members[:2]]
    shown = shown if sum(map(len, shown)) <= NAMES_FIT else shown[:1]
    return Row(
        id=alert.id,
        revision=str(body.alert.revision),
        level=body.alert.level,
        level_label=label(body.alert.level),
        state=body.alert.state,
        state_note=state_note(body.alert.state),
        status=status,
        status_label=label(status),
        status_note=label(workflow.reason) if workflow.reason else "",
        owner=initials(safe(workflow.assignee, 60)),
        owner_name=safe(workflow.assignee, 60) or say("nobody"),
        workflow=workflow.revision,
        tags=[safe(tag, 40) for tag in workflow.tags],
        group=" · ".join(_group_of(alert, workflow, group, names) for group in groups),
        group_note="",
        message=sentence(alert.message),
        rule=safe(alert.rule.name, 120),
        rule_note="" if alert.rule.name in alert.message else safe(alert.rule.name, 120),
        key="" if _says_key(alert) else key_text(body.group_by, short=True),
        key_title=", ".join(f"{safe(name, 80)} {safe(value)}" for name, value in body.group_by.items()),
        members=len(body.members),
        names=" \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} ".join(shown),
        more=f"+{len(body.members) - len(shown)}" if len(body.members) > len(shown) else "",
        hits=number(body.events, exact=body.alert.exact),
        age=say("once") if body.events == 1 else duration(last - first),
        when=span(first, last, zone, now),
        drill=say("Drill") if body.drill else "",
        strip=mini(alert),
        groups=counted(body.groups, "corporate group"),
        order=order_of(body.members, names, zone),
        member_ids=[member.id for member in body.members if member.id in names],
        needed=needed,
    )


def _says_key(alert: Alert) -> bool:
    return all(value in alert.message for value in alert.jointsoc.group_by.values())


def _status(workflow: Workflow) -> str:
    """As people see it."""
    if workflow.status == "moved":
        return "superseded"
    return "reopened" if is_reopened(workflow) else workflow.status


def _group_of(alert: Alert, workflow: Workflow, group: str, names: Mapping[str, str]) -> str:
    body = alert.jointsoc
    match group:
        case "rule":
            return safe(alert.rule.name, 120)
        case "key":
            fields = ", ".join(safe(name, 60) for name in body.group_by)
            return f"{fields} {key_text(body.group_by, short=True)}" if fields else say("no shared key")
        case "member":
            first = alert.organization.id[0] if alert.organization.id else ""
            return names.get(first, safe(first, 60))
        case "tactic":
            return safe(", ".join(alert.threat.tactic.name), 120) or say("no tactic")
        case "level":
            return label(body.alert.level)
        case _:
            return label(workflow.status)


def initials(name: str) -> str:
    """Two letters that stand for a person.

    >>> initials("mei.lin"), initials("wei"), initials("")
    ('ML', 'WE', '')
    """
    words = [word for word in re.split(r"[^\w]+", name) if word]
    return ("".join(word[0] for word in words[:2]) if len(words) > 1 else name[:2]).upper()


def in_groups(rows: list[Row], alerts: Mapping[str, Alert]) -> list[Row]:
    """Rows of one group together, groups in the order of their first row; each row knows what its group holds."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    return [replace(row, group_note=_note(group, alerts)) for group in groups.values() for row in group]


def _note(rows: list[Row], alerts: Mapping[str, Alert]) -> str:
    hit = {member.id: member.group for row in rows for member in alerts[row.id].jointsoc.members}
    parts = (counted(len(rows), "alert"), counted(len(hit), "institution"),
             counted(len(set(hit.values())), "corporate group"))  # fmt: skip
    return say(", ").join(parts)


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
        (
            say("Institutions"),
            str(len(body.members)),
            say("in {groups}", groups=counted(body.groups, "corporate group")),
        ),
        (
            say("Hits"),
            number(body.events, exact=body.alert.exact),
            "" if body.alert.exact else say("a cap was reached"),
        ),
    ]
    if len(body.members) > 1:
        spread = [from_rfc3339(member.first_seen) for member in body.members]
        facts.append((say("Spread, first to last institution"), duration(max(spread) - min(spread)),
                      span(min(spread), max(spread), zone, now)))  # fmt: skip
    facts.append((say("First to last hit"), duration(last - first), span(first, last, zone, now)))
    if body.alert.state == "open":
        made = from_rfc3339(alert.event.created) - from_rfc3339(alert.timestamp)
        facts.append((say("Last hit to alert"), tenths(max(0, made)), say("on arrival")))
    return facts


@dataclass(frozen=True, slots=True)
class OpenTally:
    """What is not closed."""

    to_do: int
    urgent: int
    superseded: int


def open_tally(alerts: Mapping[tuple[str, str], int], closed: Mapping[str, int]) -> OpenTally:
    """Counts by subtraction: a closed alert has one document of its own, which knows its level.

    Args:
        alerts: number of alerts for each (state, level).
        closed: number of closed ones for each level; none of them is superseded, for then it has moved.

    >>> open_tally({("open", "high"): 5, ("settled", "low"): 3, ("superseded", "low"): 1}, {"high": 2})
    OpenTally(to_do=6, urgent=3, superseded=1)
    """
    current: dict[str, int] = {}
    for (state, level), number_of in alerts.items():
        if state != "superseded":
            current[level] = current.get(level, 0) + number_of
    late = sum(n for (state, _), n in alerts.items() if state == "superseded")
    rest = {level: max(0, n - closed.get(level, 0)) for level, n in current.items()}
    return OpenTally(sum(rest.values()), rest.get("critical", 0) + rest.get("high", 0), late)


def views_of(tally: OpenTally, counts: Mapping[str, int | None]) -> list[dict[str, Any]]:
    """The views above the queue that everybody has, each with its filter and its count.

    Args:
        tally: what is not closed.
        counts: how many of those to do are `mine`, `assigned`, `reopened`, `drills` or have an answer `awaited`; how
            many alerts are `acknowledged` and `closed`.
    """
    views = (
        (say("To do"), "", tally.to_do),
        (say("Critical and high"), "level=critical&level=high", tally.urgent),
        (say("Mine"), "assignee=me", counts.get("mine", 0)),
        (say("Unassigned"), "assignee=nobody", max(0, tally.to_do - (counts.get("assigned") or 0))),
        (say("Waiting for institutions"), "waiting=answers", counts.get("awaited", 0)),
        (say("Reopened"), "reopened=yes", counts.get("reopened", 0)),
        (say("Drills"), "drill=yes", counts.get("drills", 0)),
        (say("Acknowledged"), "status=acknowledged", counts.get("acknowledged", 0)),
        (say("Closed"), "status=closed", counts.get("closed", 0)),
        (say("Superseded"), "state=superseded", tally.superseded),
    )
    return [{"name": name, "query": query, "count": count} for name, query, count in views]
