"""Doing something with alerts: one, or many at once; for our own pages and for programs."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from connectors.alert_query import AlertQuery
from connectors.documents import Conflict
from dashboard.answers import away, no_such_alert
from dashboard.language import say
from dashboard.site import Person, Reader, Site, SiteOf, address_of, needs
from dashboard.triage import MAX_WHY, Act, Outdated, Refused, Wish
from schemas.alert import Alert
from schemas.errors import ConnectionError_, EventError
from schemas.workflow import MAX_NOTE, HistoryEntry, Workflow

router = APIRouter(prefix="/api/v1", tags=["triage"])

MAX_AT_ONCE: Final = 500
Triager = Annotated[Person, needs("triage")]


class WishBody(BaseModel):
    """What is to be done with an alert."""

    model_config = ConfigDict(extra="forbid")

    act: Act
    seen: int = Field(default=0, ge=0, description="`workflow.revision` as you read it; another one is a conflict")
    value: str = Field(default="", max_length=MAX_NOTE, description="close reason, user name, tag, or the note's text")
    why: str = Field(default="", max_length=MAX_WHY)


class BulkBody(BaseModel):
    """The same for many alerts."""

    model_config = ConfigDict(extra="forbid")

    alerts: dict[str, int] = Field(max_length=MAX_AT_ONCE, description="alert id -> `workflow.revision` as you read it")
    act: Act
    value: str = Field(default="", max_length=MAX_NOTE)
    why: str = Field(default="", max_length=MAX_WHY)


class Outcome(BaseModel):
    """What became of one wish."""

    alert: str
    done: bool
    workflow: Workflow | None = Field(default=None, description="as it stands now")
    conflict: list[HistoryEntry] = Field(default=[], description="what others did since you read it")
    error: str = ""


@router.post("/alerts/{alert_id}/workflow", responses={404: {}, 409: {"model": Outcome}, 422: {}, 503: {}})
def change_workflow(request: Request, site: SiteOf, person: Triager, alert_id: str, body: WishBody) -> Response:
    """Acknowledge, close, reopen, assign, tag or note one alert; 409 tells who changed what meanwhile."""
    try:
        alert = site.index.get(alert_id)
        if alert is None:
            return no_such_alert()
        outcome = _grant(site, person, alert, Wish(**body.model_dump()), address_of(request))
    except (ConnectionError_, EventError):
        return away()
    status = 200 if outcome.done else 409 if outcome.conflict else 422
    return JSONResponse(outcome.model_dump(mode="json"), status)


@router.post("/workflow", responses={503: {}})
def change_workflows(request: Request, site: SiteOf, person: Triager, body: BulkBody) -> list[Outcome] | Any:
    """The same for many alerts; each is granted or not by itself."""
    try:
        alerts = site.index.find(AlertQuery(only=frozenset(body.alerts), limit=MAX_AT_ONCE)).alerts
        outcomes = [
            _grant(
                site, person, alert, Wish(body.act, body.alerts[alert.id], body.value, body.why), address_of(request)
            )
            for alert in alerts
        ]
    except ConnectionError_:
        return away()
    missing = body.alerts.keys() - {outcome.alert for outcome in outcomes}
    return outcomes + [Outcome(alert=one, done=False, error=say("No such alert")) for one in sorted(missing)]


@router.get("/alerts/{alert_id}", responses={404: {}, 503: {}})
def one_alert(site: SiteOf, person: Reader, alert_id: str) -> Response:  # noqa: ARG001 - guards the page
    """The alert's newest revision and its workflow."""
    try:
        alert = site.index.get(alert_id)
        if alert is None:
            return no_such_alert()
        workflow = site.desk.of(alert)
    except (ConnectionError_, EventError):
        return away()
    return JSONResponse({"alert": _plain(alert), "workflow": workflow.model_dump(mode="json")})


def _grant(site: Site, person: Person, alert: Alert, wish: Wish, address: str) -> Outcome:
    try:
        after = site.desk.grant(alert, wish, person.name)
    except Outdated as outdated:
        return Outcome(alert=alert.id, done=False, workflow=outdated.now, conflict=outdated.since, error=str(outdated))
    except Refused as refused:
        return Outcome(alert=alert.id, done=False, error=str(refused))
    except Conflict:
        return Outcome(alert=alert.id, done=False, error=say("too many people write at once; try again"))
    said = " ".join(filter(None, (wish.act, wish.value if wish.act != "note" else "", wish.why)))
    site.audit.note(person.name, "triage", alert.id, said, address)
    return Outcome(alert=alert.id, done=True, workflow=after)


def _plain(alert: Alert) -> dict[str, Any]:
    return alert.model_dump(mode="json", by_alias=True, exclude_none=True)
