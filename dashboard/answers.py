"""Answers that many calls give."""

from __future__ import annotations

from fastapi import Response
from fastapi.responses import JSONResponse

from dashboard.language import say


def away() -> Response:
    """Elasticsearch does not answer; nothing was changed."""
    return JSONResponse({"error": say("The alert index does not answer.")}, 503)


def no_such_alert() -> Response:
    """There is no alert of that id."""
    return JSONResponse({"error": say("No such alert")}, 404)
