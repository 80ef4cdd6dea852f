"""The queue: the page, and what keeps it up to date."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, Final, get_args

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import QueryParams

from connectors.alert_index import LEVELS, AlertQuery, Found
from dashboard.rows import Row, row_of, views_of
from dashboard.site import LoggedIn, Site, SiteOf
from dashboard.wording import clock, counted
from schemas.alert import State
from schemas.errors import ConnectionError_
from schemas.times import now_ms

router = APIRouter()

STATES: Final[tuple[State, ...]] = get_args(State)
CURRENT: Final[tuple[State, ...]] = ("open", "settled")
"""What the queue shows unless asked otherwise: a superseded alert lives on under another id."""
PAGE_ROWS: Final = 100
MAX_TEXT: Final = 200


def query_of(parameters: QueryParams) -> AlertQuery:
    """The query an address stands for; values we do not know are left out."""
    text = "".join(char for char in parameters.get("q", "")[:MAX_TEXT] if char.isprintable())
    states = tuple(state for state in STATES if state in parameters.getlist("state"))
    return AlertQuery(
        states=states or CURRENT,
        levels=tuple(level for level in LEVELS if level in parameters.getlist("level")),
        text=text.strip(),
        order="level" if parameters.get("order") == "level" else "newest",
        limit=PAGE_ROWS,
    )


@router.get("/")
def queue_page(request: Request, site: SiteOf, session: LoggedIn) -> Response:
    """The queue as it is now; with a banner instead of the list when the index is away."""
    query = query_of(request.query_params)
    try:
        data, status = _queue(site, query), 200
    except ConnectionError_:
        data, status = _nothing(site), 503
    return site.page(request, "queue.html", session, status, query=query, levels=LEVELS, states=STATES, **data)


@router.get("/api/queue")
def queue_update(request: Request, site: SiteOf, session: LoggedIn) -> Response:  # noqa: ARG001 - guards the page
    """The same rows as JSON."""
    try:
        return JSONResponse(_queue(site, query_of(request.query_params)))
    except ConnectionError_:
        return JSONResponse({"error": "the alert index does not answer"}, 503)


def _queue(site: Site, query: AlertQuery) -> dict[str, Any]:
    now = now_ms()
    names = site.names.names()
    found = site.index.find(replace(query, members=site.names.ids_named(query.text)))
    rows = [row_of(alert, names, site.zone, now) for alert in found.alerts]
    views = views_of(site.index.tally())
    for view in views:
        view["current"] = not query.text and (view["states"], view["levels"]) == (
            list(query.states),
            list(query.levels),
        )
    return {
        "rows": [asdict(row) for row in rows],
        "summary": _summary(found, rows),
        "views": views,
        "by_level": found.by_level,
        "by_state": found.by_state,
        "checked": clock(now, site.zone, seconds=True),
        "institutions": counted(len(names), "institution"),
        "away": False,
    }


def _nothing(site: Site) -> dict[str, Any]:
    return {
        "rows": [],
        "summary": "",
        "views": views_of({}),
        "by_level": {},
        "by_state": {},
        "checked": clock(now_ms(), site.zone, seconds=True),
        "institutions": counted(len(site.names.names()), "institution"),
        "away": True,
    }


def _summary(found: Found, rows: list[Row]) -> str:
    text = counted(found.total, "alert")
    if found.total > len(rows) + found.unreadable:
        text += f", the first {len(rows)} shown"
    if found.unreadable:
        text += f", {found.unreadable} of another version cannot be shown"
    return text
