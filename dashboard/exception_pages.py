"""Exceptions: the page, and what proposes, decides and ends them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from connectors.documents import Conflict
from dashboard.answers import away, no_such_alert
from dashboard.exceptions import Unfit
from dashboard.language import say
from dashboard.site import Person, Reader, SiteOf, address_of, needs
from dashboard.triage import noted
from dashboard.vocabulary import label
from dashboard.wording import day_and_clock, safe
from schemas.errors import ConnectionError_, EventError, printable
from schemas.member import MemberId
from schemas.rule_exception import MAX_DAYS, RuleException
from schemas.times import from_rfc3339, now_ms, to_rfc3339
from schemas.workflow import HistoryEntry

router = APIRouter(tags=["exceptions"])

Proposer = Annotated[Person, needs("except")]
Approver = Annotated[Person, needs("approve")]


class ExceptionBody(BaseModel):
    """What is to be left out, why, and for how long."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=1000)
    days: int = Field(ge=1, le=MAX_DAYS)
    members: list[MemberId] = Field(default=[], max_length=500)


class DecisionBody(BaseModel):
    """Put it into force, or end it."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["in_force", "ended"]


@router.get("/exceptions", include_in_schema=False)
def exceptions_page(request: Request, site: SiteOf, person: Proposer) -> Response:
    """What rules do not fire on, why, and until when."""
    now = now_ms()
    try:
        exceptions = site.exceptions.all()
    except ConnectionError_:
        text = say("It is kept, and will be here when the index is back.")
        return site.page(
            request, "message.html", person, 503, away=True, title=say("This cannot be read now"), text=text
        )
    names = site.names.names()
    return site.page(
        request, "exceptions.html", person, here="exceptions", exceptions=exceptions, label=label, safe=safe,
        now=to_rfc3339(now), names=names, when=lambda at: day_and_clock(from_rfc3339(at), site.zone, now),
    )  # fmt: skip


@router.get("/api/v1/exceptions", responses={503: {}})
def list_exceptions(site: SiteOf, person: Reader) -> list[RuleException] | Any:  # noqa: ARG001 - guards the page
    """Every exception, ended ones too."""
    try:
        return site.exceptions.all()
    except ConnectionError_:
        return away()


@router.post("/api/v1/alerts/{alert_id}/exceptions", responses={404: {}, 422: {}, 503: {}})
def propose_exception(
    request: Request, site: SiteOf, person: Proposer, alert_id: str, body: ExceptionBody
) -> RuleException | Any:
    """Propose that the alert's rule leaves out its shared key; someone with the right must put it into force."""
    try:
        alert = site.index.get(alert_id)
        if alert is None:
            return no_such_alert()
        made = site.exceptions.propose(alert, list(body.members), person.name, printable(body.reason), body.days)
        entry = HistoryEntry(at=made.made, who=person.name, deed="excepted", after=made.id, why=made.reason)
        site.desk.change(alert, lambda workflow: noted(workflow, entry))
    except Unfit as unfit:
        return JSONResponse({"error": str(unfit)}, 422)
    except (ConnectionError_, EventError, Conflict):
        return away()
    site.audit.note(person.name, "propose_exception", made.id, f"{alert_id}: {made.reason}", address_of(request))
    return made


@router.post("/api/v1/exceptions/{exception_id}", responses={422: {}, 503: {}})
def decide_exception(
    request: Request, site: SiteOf, person: Approver, exception_id: str, body: DecisionBody
) -> RuleException | Any:
    """Put an exception into force, or end it; the next rule pack follows."""
    try:
        decided = site.exceptions.decide(exception_id, body.state, person.name)
    except Unfit as unfit:
        return JSONResponse({"error": str(unfit)}, 422)
    except (ConnectionError_, Conflict):
        return away()
    deed: Literal["approve_exception", "end_exception"] = (
        "approve_exception" if body.state == "in_force" else "end_exception"
    )
    site.audit.note(person.name, deed, exception_id, decided.reason, address_of(request))
    return decided
