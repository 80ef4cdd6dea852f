"""The programs' interface, described: OpenAPI for programs, a page for people; and the list of alerts."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from dashboard.answers import away
from dashboard.queue_query import fits, query_of, with_workflow
from dashboard.site import Anyone, Reader, SiteOf
from dashboard.wording import safe
from schemas.errors import ConnectionError_

router = APIRouter()

PREFIX = "/api/v1/"
_ABOUT = (
    "Everything the screens can do. Send `Authorization: Bearer <token>`; `jsoc user token` makes one. A token has the "
    "rights of its user. Times are RFC 3339 in UTC. A change says which revision it follows; 409 tells who was first."
)
_REFUSALS: Final = {
    "400": {"description": "The body is no text"},
    "401": {"description": "No token, or one that is unknown, withdrawn or expired"},
    "403": {"description": "The role of the token's user does not allow it"},
}


class Filters(BaseModel):
    """As the queue's addresses have them; a value it does not know is left out."""

    status: list[str] = Field(default=[], description="open, acknowledged, closed; default: the first two")
    state: list[str] = Field(default=[], description="open, settled, superseded; default: the first two")
    level: list[str] = Field(default=[], description="critical, high, medium, low, informational")
    rule: list[str] = Field(default=[], description="uuids")
    member: list[str] = Field(default=[], description="ids of institutions, any of which was hit")
    tactic: list[str] = []
    tag: str = ""
    assignee: str = Field(default="", description="`me`, or anybody")
    q: str = Field(default="", description="words, or the beginning of a key")
    since: str = Field(default="", description="1h, 24h, 7d, 30d")
    order: str = Field(default="", description="newest, level")
    show: int = Field(default=100, description="at most 1000")


@router.get("/api/v1/alerts", tags=["triage"], responses={503: {}})
def list_alerts(
    request: Request,
    site: SiteOf,
    person: Reader,
    filters: Annotated[Filters, Query()],  # noqa: ARG001 - read from the address by `query_of`; here for the description
) -> Response:
    """Alerts and their workflow, newest first. Filters in lists can be repeated."""
    query = query_of(request.query_params)
    try:
        found = site.index.find(with_workflow(query, site.desk, person.name))
        workflows = site.desk.of_many(found.alerts)
    except ConnectionError_:
        return away()
    items = [
        {
            "alert": alert.model_dump(mode="json", by_alias=True, exclude_none=True),
            "workflow": workflows[alert.id].model_dump(mode="json"),
        }
        for alert in found.alerts
        if fits(query, workflows[alert.id])
    ]
    return JSONResponse({"total": found.total, "unreadable": found.unreadable, "alerts": items})


@router.get("/api/v1/openapi.json", include_in_schema=False)
def description(request: Request, person: Anyone) -> Response:  # noqa: ARG001 - guards the page
    """The interface as OpenAPI."""
    return JSONResponse(openapi_of(request.app))


@router.get("/api", include_in_schema=False)
def description_page(request: Request, site: SiteOf, person: Anyone) -> Response:
    """The same for people."""
    paths = openapi_of(request.app)["paths"]
    operations = [
        (method.upper(), path, operation.get("summary", ""), operation.get("description", ""))
        for path, methods in paths.items()
        for method, operation in methods.items()
    ]
    return site.page(request, "api.html", person, about=_ABOUT, operations=operations, safe=safe)


def openapi_of(app: FastAPI) -> dict[str, Any]:
    """The description of what programs may call; our own pages' feeds are no promise and left out."""
    whole = app.openapi()
    bearer = {"type": "http", "scheme": "bearer", "description": "made with `jsoc user token`"}
    paths = {path: methods for path, methods in whole["paths"].items() if path.startswith(PREFIX)}
    for methods in paths.values():
        for operation in methods.values():
            operation["responses"] |= _REFUSALS
    components = whole.get("components", {}) | {"securitySchemes": {"token": bearer}}
    info = {"title": "Joint SOC", "version": "1", "description": _ABOUT}
    described = {"openapi": whole["openapi"], "info": info, "paths": paths, "components": components}
    return described | {"security": [{"token": []}]}
