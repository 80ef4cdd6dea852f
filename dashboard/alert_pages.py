"""One alert: the page, and the word whether it changed since."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from connectors.alert_query import AlertQuery
from dashboard.answers import away, no_such_alert
from dashboard.beside import others_of, same_key
from dashboard.colleagues import colleagues
from dashboard.language import say
from dashboard.matrix import grid, widened, widths_of
from dashboard.queue_query import CURRENT
from dashboard.rows import facts_of, order_of, row_of
from dashboard.shares import shares
from dashboard.site import Person, Reader, Site, SiteOf
from dashboard.spread import timeline
from dashboard.triage import REASONS
from dashboard.vocabulary import label
from dashboard.why import reasons
from dashboard.wording import clock, counted, day_and_clock, duration, number, safe, sentence, shortened
from schemas.alert import Alert, Evidence
from schemas.errors import ConnectionError_, EventError
from schemas.index_template import index_of
from schemas.times import from_rfc3339, now_ms
from schemas.workflow import Workflow

router = APIRouter()

_MEMBER: Final = re.compile(r"[a-z0-9-]{2,40}")
_WEB: Final = re.compile(r"https?://[A-Za-z0-9.-]+(:\d+)?(/[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]{0,500})?")


@router.get("/alerts/{alert_id}")
def alert_page(request: Request, site: SiteOf, person: Reader, alert_id: str, step: str = "") -> Response:
    """What happened, to whom, in which order, and by which rule; `step`: width of the matrix' columns, ms."""
    try:
        alert = site.index.get(alert_id)
        data = _alert(site, alert, step, person) if alert is not None else {}
    except ConnectionError_:
        return site.page(request, "message.html", person, 503, away=True, title=say("The alert cannot be read now"),
                         text=say("It is kept, and will be here when the index is back."))  # fmt: skip
    except EventError as error:
        return site.page(request, "message.html", person, 500, title=say("This alert is of another version"),
                         text=str(error))  # fmt: skip
    if alert is None:
        return site.page(request, "message.html", person, 404, title=say("No such alert"),
                         text=say("There is no alert {id}.", id=safe(alert_id, 60)))  # fmt: skip
    return site.page(request, "alert.html", person, **data)


@router.get("/api/alerts/{alert_id}")
def alert_update(site: SiteOf, person: Reader, alert_id: str) -> Response:
    """The newest revision and its number of hits, and who else reads it."""
    try:
        alert = site.index.get(alert_id)
        if alert is None:
            return no_such_alert()
        workflow = site.desk.of(alert)
    except (ConnectionError_, EventError):
        return away()
    body = alert.jointsoc
    return JSONResponse(
        {
            "revision": str(body.alert.revision),
            "workflow": workflow.revision,
            "news": say(
                "Now {hits}, {institutions}, {state}",
                hits=counted(body.events, "hit"),
                institutions=counted(len(body.members), "institution"),
                state=label(body.alert.state),
            ),
            "workflow_news": _last_deed(workflow),
            "readers": site.readers.read(alert.id, person.name),
            "checked": clock(now_ms(), site.zone, seconds=True),
            **site.pulse_words(),
        }
    )


def _alert(site: Site, alert: Alert, step: str, person: Person) -> dict[str, Any]:
    now, names, body = now_ms(), site.names.names(), alert.jointsoc
    workflow = site.desk.of(alert)
    widths = widths_of(alert)
    chosen = int(step) if step.isdecimal() and int(step) in widths else widths[0]
    matrix = grid(widened(alert, chosen), names, site.zone, now, site.health.silent)
    window = (matrix.start, matrix.end) if matrix else None
    drawing = timeline(body.members, body.evidence, site.zone, window) if body.members else None
    correlation = site.rules.correlation(alert.rule.uuid)
    precedents = site.desk.precedents(alert)
    lanes = zip(drawing.lanes, order_of(body.members, names, site.zone), strict=True) if drawing else ()
    return {
        "alert": alert,
        "row": row_of(alert, workflow, names, site.zone, now),
        "successor": _successor(alert),
        "keys": [(safe(name, 80), safe(value)) for name, value in body.group_by.items()],
        "facts": facts_of(alert, site.zone, now),
        "drawing": drawing,
        "lanes": list(lanes),
        "matrix": matrix,
        "widths": [(width, duration(width), width == chosen) for width in widths] if matrix else [],
        "others": others_of(site, alert, now),
        "needed": correlation.min_organizations if correlation else 0,
        "why": reasons(correlation, alert, names, site.zone) if correlation else [],
        "member_names": names,
        "member_kinds": {member.id: member.kind for member in site.names.registry().members},
        "evidence": [_evidence(site, item, names, now) for item in body.evidence],
        "evidence_note": say(
            "{n} of {hits} hits shown", n=f"{len(body.evidence):,}", hits=number(body.events, exact=body.alert.exact)
        ),
        "workflow": workflow,
        "reasons": REASONS,
        "label": label,
        "safe": safe,
        "when": lambda at: day_and_clock(from_rfc3339(at), site.zone, now),
        "precedents": [(past, same_key(past, alert)) for past in precedents],
        "closed_times": counted(len(precedents), "time"),
        "verdicts": shares(Counter(past.reason for past in precedents if past.reason)),
        "known_key": any(same_key(past, alert) for past in precedents),
        "related": _related(site, alert),
        "people": colleagues(site),
        "readers": site.readers.read(alert.id, person.name),
        "rule": _rule(alert),
        "told": (told := site.member_desk.of_alert(alert.id)),
        "told_ids": [one.finding.member for one in told],
        "members_hit": [member.id for member in body.members if _MEMBER.fullmatch(member.id)],
        "rule_text": _rule_text(site, alert),
        "references": web_links(alert.rule.reference),
        "checked": clock(now, site.zone, seconds=True),
    }


def _related(site: Site, alert: Alert) -> list[tuple[str, str, str]]:
    """Other alerts with a value of the shared key: id, sentence, status."""
    found: dict[str, Alert] = {}
    for name, value in list(alert.jointsoc.group_by.items())[:3]:
        for other in site.index.find(AlertQuery(states=CURRENT, key=(name, value), limit=20)).alerts:
            if other.id != alert.id:
                found[other.id] = other
    workflows = site.desk.of_many(list(found.values()))
    return [(other.id, sentence(other.message), workflows[other.id].status) for other in list(found.values())[:20]]


def _last_deed(workflow: Workflow) -> str:
    if not workflow.history:
        return ""
    last = workflow.history[-1]
    return say("{who}: {deed}", who=safe(last.who, 60) or say("The centre"), deed=label(last.deed))


def _rule_text(site: Site, alert: Alert) -> str:
    text = site.rules.text(alert.rule.uuid) or ""
    return "\n".join(safe(line, 500) for line in text.split("\n"))


def _successor(alert: Alert) -> tuple[str, str]:
    """The id a superseded alert lives on under, and its address; no address if it is not an alert's id."""
    successor = alert.jointsoc.alert.superseded_by or ""
    try:
        index_of(successor)
    except EventError:
        return safe(successor, 60), ""
    return successor, f"/alerts/{successor}"


def _evidence(site: Site, item: Evidence, names: Mapping[str, str], now: int) -> dict[str, str | int]:
    return {
        "at": from_rfc3339(item.time),
        "time": day_and_clock(from_rfc3339(item.time), site.zone, now, seconds=True),
        "exact_time": safe(item.time, 40),
        "member": names.get(item.member, safe(item.member, 60)),
        "detections": safe(", ".join(item.rule), 200),
        "topic": safe(item.topic, 80),
        "whereabouts": say(
            "{topic}, partition {p}, offset {o}, line {l}",
            topic=safe(item.topic, 80),
            p=item.partition,
            o=f"{item.offset:,}",
            l=item.line,
        ),
        "place": f"{item.partition} / {item.offset:,} / {item.line}",
        "event_id": safe(item.event_id, 200),
        "short_id": shortened(item.event_id, 16),
    }


def _rule(alert: Alert) -> list[tuple[str, str]]:
    """What the rule says of itself; empty entries are left out."""
    rule, threat = alert.rule, alert.threat
    entries = [
        (say("About"), rule.description),
        (say("Tactic"), ", ".join(threat.tactic.name or threat.tactic.id)),
        (say("Technique"), ", ".join(threat.technique.id or threat.technique.name)),
        (say("Author"), ", ".join(rule.author)),
        (say("Licence"), rule.license),
        (say("Rule"), rule.uuid),
        (say("Version"), rule.version),
        (say("Rule set"), rule.ruleset),
        (say("Rule pack"), alert.jointsoc.pack),
    ]
    return [(title, safe(" ".join(text.split()), 1000)) for title, text in entries if text]


def web_links(references: list[str]) -> list[str]:
    """The references that may become links: a rule's author is not trusted with other schemes than the web's.

    >>> web_links(["https://example.com/a", "javascript:alert(1)", "//x", "http://[bad"])
    ['https://example.com/a']
    """
    return [reference for reference in references if _WEB.fullmatch(reference)]
