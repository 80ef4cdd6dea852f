"""One alert: the page, and the word whether it changed since."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from dashboard.rows import facts_of, order_of, row_of
from dashboard.site import LoggedIn, Site, SiteOf
from dashboard.spread import timeline
from dashboard.wording import clock, counted, day_and_clock, number, safe
from schemas.alert import Alert, Evidence
from schemas.errors import ConnectionError_, EventError
from schemas.index_template import index_of
from schemas.times import from_rfc3339, now_ms

router = APIRouter()

_WEB: Final = re.compile(r"https?://[A-Za-z0-9.-]+(:\d+)?(/[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]{0,500})?")


@router.get("/alerts/{alert_id}")
def alert_page(request: Request, site: SiteOf, session: LoggedIn, alert_id: str) -> Response:
    """What happened, to whom, in which order, and by which rule."""
    try:
        alert = site.index.get(alert_id)
    except ConnectionError_:
        return site.page(request, "message.html", session, 503, away=True, title="The alert cannot be read now",
                         text="It is kept, and will be here when the index is back.")  # fmt: skip
    except EventError as error:
        return site.page(request, "message.html", session, 500, title="This alert is of another version",
                         text=str(error))  # fmt: skip
    if alert is None:
        return site.page(request, "message.html", session, 404, title="No such alert",
                         text=f"There is no alert {safe(alert_id, 60)}.")  # fmt: skip
    return site.page(request, "alert.html", session, **_alert(site, alert))


@router.get("/api/alerts/{alert_id}")
def alert_update(site: SiteOf, session: LoggedIn, alert_id: str) -> Response:  # noqa: ARG001 - guards the page
    """The newest revision and its number of hits."""
    try:
        alert = site.index.get(alert_id)
    except (ConnectionError_, EventError):
        return JSONResponse({"error": "the alert index does not answer"}, 503)
    if alert is None:
        return JSONResponse({"error": "no such alert"}, 404)
    body = alert.jointsoc
    return JSONResponse(
        {
            "revision": str(body.alert.revision),
            "news": f"{counted(body.events, 'hit')}, {counted(len(body.members), 'institution')}, {body.alert.state}",
            "checked": clock(now_ms(), site.zone, seconds=True),
        }
    )


def _alert(site: Site, alert: Alert) -> dict[str, Any]:
    now, names, body = now_ms(), site.names.names(), alert.jointsoc
    drawing = timeline(body.members, body.evidence, site.zone) if body.members else None
    lanes = zip(drawing.lanes, order_of(body.members, names, site.zone), strict=True) if drawing else ()
    return {
        "alert": alert,
        "row": row_of(alert, names, site.zone, now),
        "successor": _successor(alert),
        "keys": [(safe(name, 80), safe(value)) for name, value in body.group_by.items()],
        "facts": facts_of(alert, site.zone, now),
        "drawing": drawing,
        "lanes": list(lanes),
        "member_names": names,
        "member_kinds": {member.id: member.kind for member in site.names.registry().members},
        "evidence": [_evidence(site, item, names, now) for item in body.evidence],
        "evidence_note": f"{len(body.evidence):,} of {number(body.events, exact=body.alert.exact)} hits shown",
        "rule": _rule(alert),
        "references": web_links(alert.rule.reference),
        "checked": clock(now, site.zone, seconds=True),
    }


def _successor(alert: Alert) -> tuple[str, str]:
    """The id a superseded alert lives on under, and its address; no address if it is not an alert's id."""
    successor = alert.jointsoc.alert.superseded_by or ""
    try:
        index_of(successor)
    except EventError:
        return safe(successor, 60), ""
    return successor, f"/alerts/{successor}"


def _evidence(site: Site, item: Evidence, names: Mapping[str, str], now: int) -> dict[str, str]:
    return {
        "time": day_and_clock(from_rfc3339(item.time), site.zone, now, seconds=True),
        "exact_time": safe(item.time, 40),
        "member": names.get(item.member, safe(item.member, 60)),
        "detections": safe(", ".join(item.rule), 200),
        "place": f"{safe(item.topic, 80)} / {item.partition} / {item.offset:,} / {item.line}",
        "event_id": safe(item.event_id, 80),
    }


def _rule(alert: Alert) -> list[tuple[str, str]]:
    """What the rule says of itself; empty entries are left out."""
    rule, threat = alert.rule, alert.threat
    entries = [
        ("About", rule.description),
        ("Tactic", ", ".join(threat.tactic.name or threat.tactic.id)),
        ("Technique", ", ".join(threat.technique.id or threat.technique.name)),
        ("Author", ", ".join(rule.author)),
        ("Licence", rule.license),
        ("Rule", rule.uuid),
        ("Version", rule.version),
        ("Rule set", rule.ruleset),
        ("Rule pack", alert.jointsoc.pack),
    ]
    return [(label, safe(text, 1000)) for label, text in entries if text]


def web_links(references: list[str]) -> list[str]:
    """The references that may become links: a rule's author is not trusted with other schemes than the web's.

    >>> web_links(["https://example.com/a", "javascript:alert(1)", "//x", "http://[bad"])
    ['https://example.com/a']
    """
    return [reference for reference in references if _WEB.fullmatch(reference)]
