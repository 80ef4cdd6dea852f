"""The Elasticsearch client as this project wants it: TLS, one user, no hidden retries, errors a person can act on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from elasticsearch import ApiError, Elasticsearch, OrjsonSerializer, TransportError

from connectors.settings import ElasticsearchConnection, read_secret
from schemas.errors import ConnectionError_, printable

# The transport warns at every failed try; our own errors and logs say it once, and with a next step.
logging.getLogger("elastic_transport").setLevel(logging.ERROR)

_HINTS: Final = {
    401: "check the user name and the password file, or the API key and whether it has expired",
    403: "give this user the privilege it lacks (roles.yml)",
    429: "the server is busy; try again, or give it more memory",
}


def open_client(connection: ElasticsearchConnection, *, request_timeout: float = 10.0) -> Elasticsearch:
    """A client that tries each request once: whoever calls it knows best what to repeat.

    The transport's own retries would multiply with the caller's (research: 12 requests for one bulk).

    Args:
        connection: address, user or API key, and CA; without `ca_file` the machine's own authorities count.
        request_timeout: seconds for one request.

    Raises:
        ConfigError: the file with the secret cannot be read.
    """
    secret = read_secret(connection.secret_file)
    options: dict[str, Any] = (
        {"basic_auth": (connection.username, secret)} if connection.username else {"api_key": secret}
    )
    if connection.ca_file is not None and connection.url.startswith("https"):
        options["ca_certs"] = str(connection.ca_file)
    return Elasticsearch(
        connection.url,
        request_timeout=request_timeout,
        max_retries=0,
        retry_on_timeout=False,
        serializer=OrjsonSerializer(),
        **options,
    )


def is_ready(client: Elasticsearch) -> bool:
    """Whether the cluster answers and can serve its indices (`ping()` is False on distributions without `GET /`)."""
    try:
        return bool(client.cluster.health(timeout="1s").get("status") in {"green", "yellow"})
    except (ApiError, TransportError):
        return False


def wait_until_ready(client: Elasticsearch, seconds: float, stop: threading.Event | None = None) -> bool:
    """Wait until the cluster is ready; False when the time is over or `stop` is set."""
    pause = stop if stop is not None else threading.Event()
    deadline = time.monotonic() + seconds
    while not is_ready(client):
        if pause.wait(0.2) or time.monotonic() > deadline:
            return False
    return True


_ADDRESSES: Final = {"data streams": "/_data_stream/jointsoc-probe", "ILM": "/_ilm/status"}
"""What only full distributions have -> an address that exists there."""
_KEYS_NEED: Final = "analysis-common"
"""The module with the analysis that `.security`, the index of API keys, is made with."""


def abilities(client: Elasticsearch) -> dict[str, bool]:
    """Which of data streams, ILM and API keys the server has.

    An address that is not there gets 400 or 405; one that is, 403 or 404 at worst. API keys cannot be told this way:
    the minimal distribution knows their address and fails only when one is made.

    Raises:
        ApiError: any other answer.
        TransportError: the server is away.
    """
    found = {name: _is_served(client, path) for name, path in _ADDRESSES.items()}
    nodes = client.nodes.info(metric="plugins", filter_path="nodes.*.modules.name").body.get("nodes", {})
    modules = [{module["name"] for module in node.get("modules", [])} for node in nodes.values()]
    return found | {"API keys": bool(modules) and all(_KEYS_NEED in names for names in modules)}


def _is_served(client: Elasticsearch, path: str) -> bool:
    try:
        client.perform_request("GET", path, headers={"accept": "application/json"})
    except ApiError as error:
        if error.meta.status in (400, 405):
            return False
        if error.meta.status not in (403, 404):
            raise
    return True


@contextmanager
def translated(connection: ElasticsearchConnection) -> Iterator[None]:
    """Turn what the client raises into our own error.

    Raises:
        ConnectionError_: the server is away, too slow, or refuses; names the address and the next step.
    """
    try:
        yield
    except (ApiError, TransportError) as error:
        raise explained(error, connection) from error


def explained(error: ApiError | TransportError, connection: ElasticsearchConnection) -> ConnectionError_:
    """The error a person sees for one of the client's."""
    where = f"elasticsearch {connection.url}"
    if isinstance(error, ApiError):
        status = error.meta.status
        what = f"refused {connection.who}" if status in (401, 403) else "cannot answer now"
        return ConnectionError_(
            where,
            f"{what} ({status} {reason_of(error)})",
            hint=_HINTS.get(status, "see the server's log (jsoc logs elasticsearch)"),
        )
    return ConnectionError_(
        where,
        f"no answer ({type(error).__name__})",
        hint="check that it runs (jsoc status), the address and the CA file",
    )


def reason_of(error: ApiError) -> str:
    """The server's own short reason, safe to print."""
    body = error.body
    cause = body.get("error") if isinstance(body, dict) else None
    reason = cause.get("reason") or cause.get("type") if isinstance(cause, dict) else cause
    return printable(str(reason or error.message))[:200]
