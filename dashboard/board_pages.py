"""The boards: institutions now, rules, operations; each a page and the numbers that keep it up to date."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from dashboard.answers import away
from dashboard.boards import BoardQuery
from dashboard.language import say
from dashboard.members_board import members_data
from dashboard.operations_board import operations_data
from dashboard.rules_board import rules_data
from dashboard.site import Person, Reader, Site, SiteOf, needs
from dashboard.vocabulary import label
from dashboard.wording import day_and_clock, safe
from schemas.errors import ConnectionError_
from schemas.times import from_rfc3339, now_ms

router = APIRouter()

Auditor = Annotated[Person, needs("audit")]


@router.get("/members")
def members_page(request: Request, site: SiteOf, person: Reader) -> Response:
    """Who reports, who is silent, and in which of the two ways."""
    return _page(request, site, person, "members")


@router.get("/rules")
def rules_page(request: Request, site: SiteOf, person: Reader) -> Response:
    """What fired, how right it was, what never fired, and which tactics are covered."""
    return _page(request, site, person, "rules")


@router.get("/operations")
def operations_page(request: Request, site: SiteOf, person: Reader) -> Response:
    """Latency, what waits and how long, and whether every record is accounted for."""
    return _page(request, site, person, "operations")


@router.get("/api/boards/{name}")
def board_update(request: Request, site: SiteOf, person: Reader, name: str) -> Response:  # noqa: ARG001 - guards the page
    """The cells of one board."""
    if name not in BOARDS:
        return JSONResponse({"error": "no such board"}, 404)
    try:
        data = BOARDS[name](site, _asked(request))
    except ConnectionError_:
        return away()
    told = {name: data[name] for name in ("cells", "rows", "checked")}
    return JSONResponse(told | site.pulse_words())


@router.get("/audit")
def audit_page(request: Request, site: SiteOf, person: Auditor, who: str = "") -> Response:
    """Who did what, newest first."""
    now = now_ms()
    try:
        entries = site.audit.newest(200, who[:60])
    except ConnectionError_:
        return _away(request, site, person)
    return site.page(
        request, "audit.html", person, here="audit", entries=entries, safe=safe, who=safe(who, 60),
        when=lambda at: day_and_clock(from_rfc3339(at), site.zone, now, seconds=True),
    )  # fmt: skip


BOARDS: Final[dict[str, Callable[[Site, BoardQuery], dict[str, Any]]]] = {
    "members": members_data,
    "rules": rules_data,
    "operations": operations_data,
}


def _page(request: Request, site: Site, person: Person, name: str) -> Response:
    try:
        data = BOARDS[name](site, _asked(request))
    except ConnectionError_:
        return _away(request, site, person)
    return site.page(request, f"{name}.html", person, here=name, label=label, safe=safe, **data)


def _asked(request: Request) -> BoardQuery:
    return BoardQuery(request.query_params.get("by", ""), request.query_params.get("span", ""))


def _away(request: Request, site: Site, person: Person) -> Response:
    text = say("It is kept, and will be here when the index is back.")
    return site.page(request, "message.html", person, 503, away=True, title=say("This cannot be read now"), text=text)
