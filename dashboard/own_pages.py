"""What a member's viewer sees: its own findings and its own part of alerts."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from connectors.alert_query import AlertQuery
from dashboard.findings_api import Owner, own
from dashboard.language import say
from dashboard.member_view import finding_of
from dashboard.queue_query import CURRENT
from dashboard.site import SiteOf
from dashboard.vocabulary import label
from dashboard.wording import day_and_clock, safe
from schemas.errors import ConnectionError_
from schemas.times import from_rfc3339, now_ms, to_rfc3339

router = APIRouter()


@router.get("/own")
def own_page(request: Request, site: SiteOf, person: Owner) -> Response:
    """Findings to answer, and the institution's part of current alerts."""
    member, now = person.account.member, now_ms()
    try:
        findings = [own(document) for document in site.member_desk.of_member(member)]
        found = site.index.find(AlertQuery(states=CURRENT, hit=(member,), limit=200)).alerts
    except ConnectionError_:
        text = say("It is kept, and will be here when the index is back.")
        return site.page(
            request, "message.html", person, 503, away=True, title=say("This cannot be read now"), text=text
        )
    return site.page(
        request, "own.html", person,
        findings=findings,
        alerts=[part for alert in found if (part := finding_of(alert, member, now))],
        member_name=site.names.names().get(member, member),
        label=label, safe=safe, now=to_rfc3339(now),
        when=lambda at: day_and_clock(from_rfc3339(at), site.zone, now),
    )  # fmt: skip
