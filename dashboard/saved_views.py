"""Views of the queue that people keep under a name: for themselves, or for everybody."""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Final
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from connectors.documents import Conflict, Documents, Kind
from dashboard.answers import away
from dashboard.language import say
from dashboard.site import Person, Reader, SiteOf, address_of, needs
from schemas.alert import RFC3339
from schemas.errors import ConnectionError_
from schemas.times import now_ms, to_rfc3339

router = APIRouter(prefix="/api/v1", tags=["views"])

FILTERS: Final = (
    "status",
    "level",
    "state",
    "rule",
    "member",
    "tactic",
    "since",
    "assignee",
    "waiting",
    "reopened",
    "drill",
    "tag",
    "q",
    "group",
    "order",
)
EVERYBODY: Final = ""


class SavedView(BaseModel):
    """One view."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=40)
    owner: str = Field(default=EVERYBODY, description="a user name; empty: everybody's")
    query: str = Field(default="", max_length=2000, description="the filters as they stand in the address")
    made: str = Field(pattern=RFC3339)
    removed: bool = False


VIEWS: Final = Kind("workflow-views", SavedView)


class ViewBody(BaseModel):
    """A view to keep."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]+$")
    query: str = Field(default="", max_length=2000)
    shared: bool = False


def views_of(documents: Documents, user: str) -> list[SavedView]:
    """The user's views and everybody's, by name."""
    found = documents.find(VIEWS, {"owner": (user, EVERYBODY)}, limit=100)
    views = [SavedView.model_validate(one.body) for one in found]
    return sorted((view for view in views if not view.removed), key=lambda view: (view.owner, view.name))


def only_filters(query: str) -> str:
    """The part of a query that a view may keep.

    >>> only_filters("?level=high&next=//evil&level=low")
    'level=high&level=low'
    """
    pairs = parse_qsl(query.removeprefix("?"), max_num_fields=60)
    return urlencode([(name, value) for name, value in pairs if name in FILTERS])


@router.get("/views", responses={503: {}})
def list_views(site: SiteOf, person: Reader) -> Response:
    """Your views and everybody's."""
    try:
        return JSONResponse([view.model_dump(mode="json") for view in views_of(site.documents, person.name)])
    except ConnectionError_:
        return away()


@router.put("/views", responses={503: {}})
def save_view(request: Request, site: SiteOf, person: Annotated[Person, needs("triage")], body: ViewBody) -> Response:
    """Keep a view under a name; one of the same name is replaced."""
    owner = EVERYBODY if body.shared else person.name
    try:
        view = SavedView(name=body.name, owner=owner, query=only_filters(body.query), made=to_rfc3339(now_ms()))
        _write(site.documents, view)
    except (ConnectionError_, ValueError, Conflict):
        return JSONResponse({"error": say("the view cannot be kept now")}, 503)
    site.audit.note(person.name, "save_view", body.name, view.query, address_of(request))
    return JSONResponse(view.model_dump(mode="json"))


@router.delete("/views", responses={404: {}, 503: {}})
def remove_view(
    request: Request, site: SiteOf, person: Annotated[Person, needs("triage")], name: str, *, shared: bool = False
) -> Response:
    """Forget a view of yours, or one of everybody's."""
    owner = EVERYBODY if shared else person.name
    try:
        view = next((v for v in views_of(site.documents, person.name) if (v.owner, v.name) == (owner, name)), None)
        if view is None:
            return JSONResponse({"error": say("no such view")}, 404)
        _write(site.documents, view.model_copy(update={"removed": True}))
    except (ConnectionError_, Conflict):
        return JSONResponse({"error": say("the view cannot be removed now")}, 503)
    site.audit.note(person.name, "remove_view", name, view.query, address_of(request))
    return JSONResponse({"removed": name})


def _write(documents: Documents, view: SavedView) -> None:
    identity = blake2b(f"{view.owner}\0{view.name}".encode(), digest_size=12).hexdigest()
    known = documents.get(VIEWS, identity)
    documents.put(VIEWS, identity, view.model_dump(mode="json"), known.version if known else None)
