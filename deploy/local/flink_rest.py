"""What Flink's JobManager is asked over its REST interface."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

from deploy.local.settings import StackSettings
from schemas.errors import ConnectionError_


def taskmanager_is_registered(settings: StackSettings, name: str) -> bool:
    """Whether the JobManager counts on that TaskManager, which is known there by its process's name.

    Raises:
        ConnectionError_: the JobManager does not answer.
    """
    return any(one["id"] == name for one in ask_flink(settings, "/taskmanagers")["taskmanagers"])


def taskmanager_is_lost(settings: StackSettings, name: str) -> bool:
    """Whether the JobManager answers and does not count on that TaskManager."""
    try:
        return not taskmanager_is_registered(settings, name)
    except ConnectionError_:
        return False  # the trouble is elsewhere


def ask_flink(settings: StackSettings, path: str, body: dict[str, Any] | None = None) -> Any:
    """The answer to a GET, or to a POST if there is a body.

    Raises:
        ConnectionError_: the JobManager does not answer.
    """
    request = urllib.request.Request(  # noqa: S310 - the URL is ours
        settings.flink_url + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)
    except (urllib.error.URLError, OSError, ValueError, http.client.HTTPException) as error:
        raise ConnectionError_(
            f"flink {settings.flink_url}{path}",
            "the JobManager does not answer",
            got=str(error),
            hint="jsoc status",
        ) from error
