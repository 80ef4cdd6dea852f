"""What an address of the queue stands for: filters, grouping, order; values we do not know are left out."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from starlette.datastructures import QueryParams

from connectors.alert_query import LEVELS, MAX_FOUND, AlertQuery
from dashboard.desk import Desk
from dashboard.triage import TO_DO, is_reopened
from dashboard.wording import MINUTE
from schemas.alert import State
from schemas.times import now_ms, to_rfc3339
from schemas.workflow import Status, Workflow

STATES: Final[tuple[State, ...]] = get_args(State)
CURRENT: Final[tuple[State, ...]] = ("open", "settled")
"""What the queue shows unless asked otherwise: a superseded alert lives on under another id."""
STATUSES: Final[tuple[Status, ...]] = ("open", "acknowledged", "closed")
SPANS: Final = {"1h": 3_600_000, "24h": 86_400_000, "7d": 7 * 86_400_000, "30d": 30 * 86_400_000}
Group = Literal["rule", "key", "member", "level", "status", "tactic"]
GROUPS: Final[tuple[Group, ...]] = get_args(Group)
MAX_GROUPS: Final = 3
PAGE_ROWS: Final = 100
MAX_TEXT: Final = 200
WORD: Final = re.compile(r"[A-Za-z0-9 ._-]{1,80}")
"""A rule's uuid, a member's id, a tactic: what can be filtered by."""


@dataclass(frozen=True, slots=True)
class QueueQuery:
    """What the queue is asked for."""

    alerts: AlertQuery
    statuses: tuple[Status, ...] = ()
    """Empty: any."""
    mine: bool = False
    unassigned: bool = False
    reopened: bool = False
    """Only alerts that a new institution opened again."""
    awaited: bool = False
    """Only alerts of which an institution's answer is awaited."""
    tag: str = ""
    span: str = ""
    groups: tuple[Group, ...] = ()


def query_of(parameters: QueryParams) -> QueueQuery:
    """The query an address stands for."""
    states = tuple(state for state in STATES if state in parameters.getlist("state")) or CURRENT
    statuses = tuple(status for status in STATUSES if status in parameters.getlist("status"))
    span = parameters.get("since", "")
    return QueueQuery(
        alerts=AlertQuery(
            states=states,
            levels=tuple(level for level in LEVELS if level in parameters.getlist("level")),
            text=_printable(parameters.get("q", "")),
            rules=_words(parameters.getlist("rule")),
            hit=_words(parameters.getlist("member")),
            tactics=_words(parameters.getlist("tactic")),
            since=to_rfc3339((now_ms() - SPANS[span]) // MINUTE * MINUTE) if span in SPANS else "",
            drill=True if parameters.get("drill") == "yes" else None,
            order="level" if parameters.get("order") == "level" else "newest",
            limit=_rows(parameters.get("show", "")),
        ),
        # What was superseded has moved: nobody has anything to do with it.
        statuses=statuses or (() if "superseded" in states else TO_DO),
        mine=parameters.get("assignee") == "me",
        unassigned=parameters.get("assignee") == "nobody",
        reopened=parameters.get("reopened") == "yes",
        awaited=parameters.get("waiting") == "answers",
        tag=_printable(parameters.get("tag", ""))[:40],
        span=span if span in SPANS else "",
        groups=tuple(dict.fromkeys(g for g in GROUPS for asked in parameters.getlist("group") if asked == g))[
            :MAX_GROUPS
        ],
    )


def with_workflow(query: QueueQuery, desk: Desk, user: str) -> AlertQuery:
    """The question to the alert index, narrowed to what people's own documents say.

    An alert that nobody touched has no document: those with another status are left out by their ids, or, where open
    ones are not asked for, those with the status are the only ones.
    """
    wanted = query.statuses or STATUSES
    if query.mine or query.tag:
        ids = desk.ids(statuses=wanted, assignee=user if query.mine else "", tag=query.tag)
        return replace(query.alerts, only=frozenset(ids))
    if query.reopened:
        return replace(query.alerts, only=desk.reopened())
    if "open" not in wanted:
        taken = desk.assigned() if query.unassigned else frozenset()
        return replace(query.alerts, only=desk.with_status(wanted) - taken)
    others = tuple(status for status in STATUSES if status not in wanted)
    without, of = desk.with_status(others), tuple(map(str, others))
    if query.unassigned:
        without, of = without | desk.assigned(), (*of, "assigned")
    return replace(query.alerts, without=without, without_of=of)


def fits(query: QueueQuery, workflow: Workflow) -> bool:
    """Whether an alert that was found is really wanted: ids are remembered for a second, and not without limit."""
    return (
        (not query.statuses or workflow.status in query.statuses)
        and not (query.unassigned and workflow.assignee)
        and (not query.reopened or is_reopened(workflow))
    )


def _rows(text: str) -> int:
    return min(int(text), MAX_FOUND) if text.isdecimal() and len(text) < 6 and int(text) > 0 else PAGE_ROWS


def _printable(text: str) -> str:
    return "".join(char for char in text[:MAX_TEXT] if char.isprintable()).strip()


def _words(values: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values[:50] if WORD.fullmatch(value)))
