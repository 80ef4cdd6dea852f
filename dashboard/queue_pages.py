"""The queue: the page, and what keeps it up to date."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from connectors.alert_index import Counts, Found
from connectors.alert_query import LEVELS, AlertQuery
from dashboard.answers import away, no_such_alert
from dashboard.beside import before_text, others_text, told_text
from dashboard.language import current, say
from dashboard.queue_query import (
    CURRENT,
    GROUPS,
    SPANS,
    STATES,
    STATUSES,
    WORD,
    QueueQuery,
    fits,
    query_of,
    with_workflow,
)
from dashboard.rows import in_groups, open_tally, plain, row_of, views_of
from dashboard.saved_views import EVERYBODY, only_filters
from dashboard.saved_views import views_of as saved_views
from dashboard.site import Anyone, Person, Reader, Site, SiteOf
from dashboard.triage import REASONS, TO_DO
from dashboard.vocabulary import label
from dashboard.wording import MINUTE, clock, counted, duration, safe, shortened
from schemas.alert import Alert
from schemas.errors import ConnectionError_, EventError
from schemas.times import now_ms

router = APIRouter()


@router.get("/")
def queue_page(request: Request, site: SiteOf, person: Anyone) -> Response:
    """The queue as it is now; with a banner instead of the list when the index is away."""
    if not person.may("read"):
        return RedirectResponse("/own", 303)
    query = query_of(request.query_params)
    try:
        data, status = _queue(site, person, query, request.url.query), 200
    except ConnectionError_:
        data, status = _nothing(site), 503
    return site.page(
        request, "queue.html", person, status,
        query=query, levels=LEVELS, states=STATES, statuses=STATUSES, spans=tuple(SPANS), group_names=GROUPS,
        reasons=REASONS, label=label, to_do=TO_DO, group_titles=_group_titles(), proof=_proof(site),
        address=only_filters(request.url.query), **data,
    )  # fmt: skip


@router.get("/api/queue")
def queue_update(request: Request, site: SiteOf, person: Reader) -> Response:
    """The same rows as JSON."""
    try:
        data = _queue(site, person, query_of(request.query_params), request.url.query)
        return JSONResponse(data | site.pulse_words())
    except ConnectionError_:
        return away()


@router.get("/api/alerts/{alert_id}/beside")
def beside(site: SiteOf, person: Reader, alert_id: str) -> Response:  # noqa: ARG001 - guards the page
    """What the preview says beside the row: everyone else, what was seen before, what institutions answered."""
    try:
        alert = site.index.get(alert_id)
        if alert is None:
            return no_such_alert()
        return JSONResponse(
            {
                "others": others_text(site, alert, now_ms()),
                "before": before_text(site.desk.precedents(alert), alert),
                "told": told_text(site, alert.id),
                "about": safe(" ".join(alert.rule.description.split()), 280),
            }
        )
    except (ConnectionError_, EventError):
        return away()


def _queue(site: Site, person: Person, query: QueueQuery, address: str) -> dict[str, Any]:
    now = now_ms()
    names = site.names.names()
    asked = with_workflow(query, site.desk, person.name)
    if query.awaited:
        asked = replace(asked, only=frozenset(_awaited(site)))
    asked = replace(asked, members=site.names.ids_named(asked.text))
    found, counts = site.index.find(replace(asked, brief=True)), site.index.counts(asked, patient=False)
    rows = _rows(site, found, query, now)
    return {
        "rows": rows,
        "summary": _summary(found, counts, rows, forgets=site.desk.forgets),
        "views": _views(site, person, address),
        "by_level": counts.by_level,
        "by_state": counts.by_state,
        "rules": _facet(counts.by_rule, _rule_names(found.alerts)),
        "tactics": _facet(counts.by_tactic, {}),
        "members": _facet(counts.by_member, names),
        "checked": clock(now, site.zone, seconds=True),
        "away": False,
    }


def _rows(site: Site, found: Found, query: QueueQuery, now: int) -> list[dict[str, Any]]:
    """Made once from an answer that everybody gets, until somebody does something.

    The answer is kept with its rows, so that no other one can have its identity meanwhile.
    """

    def make() -> tuple[Found, list[dict[str, Any]]]:
        names, workflows = site.names.names(), site.desk.of_many(found.alerts)
        rows = [
            row_of(alert, workflows[alert.id], names, site.zone, now, query.groups, site.rules.needed(alert.rule.uuid))
            for alert in found.alerts
            if fits(query, workflows[alert.id])
        ]
        grouped = in_groups(rows, {alert.id: alert for alert in found.alerts}) if query.groups else rows
        return found, [plain(row) for row in grouped]

    key = (id(found), query, current(), site.desk.changes)
    rows: list[dict[str, Any]] = site.rows.once(key, make)[1]
    return rows


def _views(site: Site, person: Person, address: str) -> list[dict[str, Any]]:
    desk = site.desk
    closed = desk.with_status(("closed",))
    drills = AlertQuery(states=CURRENT, drill=True, without=closed, without_of=("closed",))
    in_drills = site.index.counts(drills, patient=False)
    counts = {
        "mine": len(desk.ids(statuses=TO_DO, assignee=person.name)),
        "assigned": len(desk.assigned()),
        "awaited": len(_awaited(site)),
        "reopened": len(desk.reopened()),
        "drills": in_drills.total if in_drills.known else None,
        "acknowledged": len(desk.with_status(("acknowledged",))),
        "closed": len(closed),
    }
    views = views_of(open_tally(site.index.tally(), desk.counts("level", "closed")), counts)
    views += [
        {"name": safe(view.name, 40), "query": view.query, "count": None, "shared": view.owner == EVERYBODY}
        for view in saved_views(site.documents, person.name)
    ]
    now = _ungrouped(only_filters(address))
    for view in views:
        view["current"] = now == _ungrouped(view["query"])
    return views


def _group_titles() -> dict[str, str]:
    return {
        "rule": say("Rule"), "key": say("Shared key"), "member": say("First institution"), "level": say("Level"),
        "status": say("Status"), "tactic": say("Tactic"),
    }  # fmt: skip


def _proof(site: Site) -> dict[str, str]:
    """What an empty queue has to show for itself: silence must be proved."""
    now, pack = now_ms(), site.rules.pack()
    lines = site.health.lines(site.names.registry().members, now)
    reporting = sum(line.health == "reporting" for line in lines)
    return {
        "reporting": say("{n} of {m}", n=reporting, m=len(lines)),
        "lines": f"{site.health.lines_between(now - 5 * MINUTE, now):,}",
        "newest": say("{time} ago", time=duration(now - site.health.newest)) if site.health.newest else "\N{EN DASH}",
        "pack": shortened(pack.version, 14) if pack else "\N{EN DASH}",
    }


def _ungrouped(address: str) -> str:
    """How the list is grouped and ordered does not make it another view."""
    return "&".join(part for part in address.split("&") if not part.startswith(("group=", "order=")))


def _awaited(site: Site) -> list[str]:
    return list(dict.fromkeys(one.finding.alert for one in site.member_desk.waiting()))


def _facet(counts: dict[str, int], names: dict[str, str]) -> list[tuple[str, str, int]]:
    """Value, name and count; what occurs most comes first."""
    askable = [item for item in counts.items() if WORD.fullmatch(item[0])]
    ranked = sorted(askable, key=lambda item: (-item[1], item[0]))
    return [(value, names.get(value, safe(value, 80)), count) for value, count in ranked[:60]]


def _rule_names(alerts: list[Alert]) -> dict[str, str]:
    return {alert.rule.uuid: safe(alert.rule.name, 80) for alert in alerts}


def _nothing(site: Site) -> dict[str, Any]:
    return {
        "rows": [], "summary": "", "views": views_of(open_tally({}, {}), {}), "by_level": {}, "by_state": {},
        "rules": [], "tactics": [], "members": [],
        "checked": clock(now_ms(), site.zone, seconds=True),
        "away": True,
    }  # fmt: skip


def _summary(found: Found, counts: Counts, rows: Sized, *, forgets: bool) -> str:
    total = counts.total if found.more else found.total  # counts are some seconds old, rows are not
    uncounted = found.more and not counts.known
    text = say("Not counted yet") if uncounted else counted(total, "alert")
    joined = sum(alert.jointsoc.events - 1 for alert in found.alerts)
    if joined > 0:
        text += say(", {n} repeats joined", n=f"{joined:,}")
    if uncounted or total > len(rows) + found.unreadable:
        text += say(", the first {n} shown", n=len(rows))
    if forgets:
        text += say(", those closed longest ago counted as open")
    if found.unreadable:
        text += say(", {n} of another version cannot be shown", n=found.unreadable)
    return text
