"""The original event behind a line of evidence, and why each detection matched it."""

from __future__ import annotations

from typing import Any, Final

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from dashboard.language import say
from dashboard.site import Reader, SiteOf, address_of
from schemas.alert import Evidence
from schemas.errors import ConnectionError_, EventError, printable
from schemas.event import Event, Origin, read_line
from schemas.times import from_rfc3339

router = APIRouter(prefix="/api/v1", tags=["evidence"])

MAX_SHOWN: Final = 64 * 1024
_NO_LIMIT: Final = 1 << 62


@router.get("/alerts/{alert_id}/evidence/{number}", responses={404: {}, 503: {}})
def original_event(request: Request, site: SiteOf, person: Reader, alert_id: str, number: int) -> Response:
    """One event as its institution sent it. Only events that the alert itself names can be read."""
    try:
        alert = site.index.get(alert_id)
        items = alert.jointsoc.evidence if alert else []
        if not 0 <= number < len(items):
            return JSONResponse({"error": say("the alert has no such evidence")}, 404)
        item = items[number]
        if item.topic != f"events.{item.member}":
            return JSONResponse({"error": say("the alert has no such evidence")}, 404)
        raw = site.events.line(item.topic, item.partition, item.offset, item.line)
    except (ConnectionError_, EventError):
        return JSONResponse({"error": say("Kafka does not answer; the event is kept there.")}, 503)
    site.audit.note(
        person.name, "read_event", alert_id, f"{item.topic}/{item.partition}/{item.offset}", address_of(request)
    )
    if raw is None:
        return JSONResponse({"error": say("Kafka does not hold this event any more.")}, 404)
    return JSONResponse({"pretty": pretty(raw), "explained": site.rules.why(item.rule, _fields(raw, item))})


def pretty(raw: bytes) -> str:
    r"""An event as indented JSON, or as it came where it is none; control characters made visible.

    >>> print(pretty(b'{"a":1}'))
    {
      "a": 1
    }
    """
    try:
        text = orjson.dumps(orjson.loads(raw), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        text = raw.decode("utf-8", "replace")
    return "\n".join(printable(line) for line in text[:MAX_SHOWN].split("\n"))


def _fields(raw: bytes, item: Evidence) -> dict[str, Any]:
    origin = Origin(item.topic, item.partition, item.offset, from_rfc3339(item.time))
    event = read_line(raw, origin, item.line, _NO_LIMIT)
    return event.fields if isinstance(event, Event) else {}
