"""Findings: the centre tells members; members read and answer. A member sees its own and nothing else."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from connectors.alert_query import AlertQuery
from connectors.documents import Conflict
from dashboard.answers import away, no_such_alert
from dashboard.language import say
from dashboard.member_desk import Unknown
from dashboard.member_view import finding_of
from dashboard.queue_query import CURRENT
from dashboard.site import Person, Reader, SiteOf, address_of, needs
from schemas.errors import ConnectionError_, EventError
from schemas.finding import MAX_WORDS, Answer, AnswerRecord, Finding, FindingDocument, Verdict
from schemas.member import MemberId
from schemas.times import now_ms

router = APIRouter(prefix="/api/v1", tags=["findings"])

Owner = Annotated[Person, needs("own")]


class NotifyBody(BaseModel):
    """Whom to tell, and what is wanted of them."""

    model_config = ConfigDict(extra="forbid")

    members: list[MemberId] = Field(min_length=1, max_length=500)
    asked: str = Field(default="", max_length=MAX_WORDS)


class AnswerBody(BaseModel):
    """Your answer."""

    model_config = ConfigDict(extra="forbid")

    verdict: Verdict
    incident: str = Field(default="", max_length=100)
    reason: str = Field(default="", max_length=MAX_WORDS)


class OwnFinding(BaseModel):
    """A finding and your answers, as you may see them."""

    finding: Finding
    state: str
    answers: list[AnswerRecord]


@router.post("/alerts/{alert_id}/findings", responses={404: {}, 503: {}})
def notify_members(
    request: Request, site: SiteOf, person: Annotated[Person, needs("notify")], alert_id: str, body: NotifyBody
) -> list[Finding] | Any:
    """Tell members of an alert; each gets its own part, with a deadline by level. Members not hit are left out."""
    try:
        alert = site.index.get(alert_id)
        if alert is None:
            return no_such_alert()
        told = site.member_desk.notify(alert, body.members, body.asked, person.name)
    except (ConnectionError_, EventError, Conflict):
        return away()
    site.audit.note(person.name, "notify", alert_id, ", ".join(one.member for one in told), address_of(request))
    return told


@router.get("/alerts/{alert_id}/findings", responses={503: {}})
def findings_of_alert(site: SiteOf, person: Reader, alert_id: str) -> list[FindingDocument] | Any:  # noqa: ARG001 - guards the page
    """What members were told of an alert, and their answers."""
    try:
        return site.member_desk.of_alert(alert_id)
    except ConnectionError_:
        return away()


@router.get("/own/alerts", tags=["your institution"], responses={503: {}})
def own_alerts(site: SiteOf, person: Owner) -> list[Finding] | Any:
    """Your institution's part of each current alert that hit it, newest first; at most 200."""
    member = person.account.member
    try:
        found = site.index.find(AlertQuery(states=CURRENT, hit=(member,), limit=200)).alerts
    except ConnectionError_:
        return away()
    return [part for alert in found if (part := finding_of(alert, member, now_ms()))]


@router.get("/own/findings", tags=["your institution"], responses={503: {}})
def own_findings(site: SiteOf, person: Owner) -> list[OwnFinding] | Any:
    """What the centre told your institution, newest first."""
    try:
        return [own(document) for document in site.member_desk.of_member(person.account.member)]
    except ConnectionError_:
        return away()


@router.post("/own/findings/{finding_id}/answer", tags=["your institution"], responses={404: {}, 503: {}})
def answer_finding(
    request: Request, site: SiteOf, person: Owner, finding_id: str, body: AnswerBody
) -> OwnFinding | Any:
    """Say whether a finding was a false alarm, is confirmed, or cannot be told."""
    answer = Answer(finding=finding_id, **body.model_dump())
    try:
        document = site.member_desk.answer(person.account.member, answer, person.name)
    except Unknown:
        return JSONResponse({"error": say("no such finding")}, 404)
    except (ConnectionError_, EventError, Conflict):
        return away()
    site.audit.note(person.name, "answer", finding_id, body.verdict, address_of(request))
    return own(document)


def own(document: FindingDocument) -> OwnFinding:
    """What the member itself may see of it: not which analyst, not how the centre handles it."""
    state = "answered" if document.answers and document.state == "answered" else "waiting"
    return OwnFinding(finding=document.finding, state=state, answers=document.answers)
