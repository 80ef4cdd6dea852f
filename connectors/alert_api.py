"""The dashboard's REST interface, from a program's side: alerts with what people did with them."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, TypeVar

import httpx2
from pydantic import ValidationError

from connectors.alert_index import read_alert
from connectors.settings import DashboardConnection, read_secret
from schemas.alert import Alert
from schemas.errors import ConfigError, ConnectionError_, EventError, printable
from schemas.index_template import index_of
from schemas.workflow import HistoryEntry, Workflow

Read = TypeVar("Read")
_HINTS: Final = {
    401: "make a token with `jsoc user token` and put it into the token file",
    403: "use a token of somebody whose role allows it",
    429: "try again in a while",
    503: "try again when the index is back (jsoc status)",
}


@dataclass(frozen=True, slots=True)
class WorkedAlert:
    """An alert and its workflow."""

    alert: Alert
    workflow: Workflow


@dataclass(frozen=True, slots=True)
class Listed:
    """The alerts found, and how many there are in all."""

    found: list[WorkedAlert]
    total: int
    unreadable: int


@dataclass(frozen=True, slots=True)
class Original:
    """An event as its institution sent it, and for each detection why it matched."""

    pretty: str
    explained: list[str]


class ChangedMeanwhile(Exception):
    """Somebody changed the alert first; nothing was done."""

    def __init__(self, since: Sequence[HistoryEntry]) -> None:
        self.since = list(since)
        super().__init__("changed by somebody else")


class AlertApi:
    """What `/api/v1/alerts` offers; every call raises `ConnectionError_` if the dashboard is away or refuses.

    Args:
        connection: address, token and CA; without `ca_file` the machine's own authorities count.

    Raises:
        ConfigError: the token file or the CA file cannot be read.
    """

    def __init__(self, connection: DashboardConnection, *, timeout: float = 15.0) -> None:
        self._where = f"dashboard {connection.url}"
        headers = {"authorization": f"Bearer {read_secret(connection.token_file)}"}
        self._client = httpx2.Client(
            base_url=connection.url, headers=headers, verify=_trust(connection), timeout=timeout, trust_env=False
        )

    def list(self, filters: Mapping[str, Sequence[str]], limit: int) -> Listed:
        """Alerts that fit, newest first.

        Args:
            filters: as the interface names them (`status`, `state`, `level`, `q`...).
            limit: at most so many, up to 1000.
        """
        asked: dict[str, Any] = {name: list(values) for name, values in filters.items()}
        body = self._json(self._ask("GET", "/api/v1/alerts", params=asked | {"show": limit}))
        return self._read(
            lambda: Listed([self._worked(item) for item in body["alerts"]], int(body["total"]), int(body["unreadable"]))
        )

    def get(self, alert_id: str) -> WorkedAlert:
        """One alert as it stands now.

        Raises:
            ConfigError: there is none.
        """
        body = self._json(self._ask("GET", _address(alert_id), known=alert_id))
        return self._read(lambda: self._worked(body))

    def original(self, alert_id: str, number: int) -> Original | str:
        """The original event behind a line of evidence, counted from 0; or why it cannot be had."""
        answer = self._ask("GET", f"{_address(alert_id)}/evidence/{number}", refused=(404, 503))
        body = self._json(answer)
        if answer.status_code != 200:
            return str(body.get("error", answer.status_code))
        return self._read(lambda: Original(str(body["pretty"]), [str(each) for each in body["explained"]]))

    def change(self, alert_id: str, act: str, *, seen: int, value: str, why: str) -> Workflow:
        """Do something with an alert; gives its workflow afterwards.

        Raises:
            ChangedMeanwhile: `seen` is not its newest revision.
            ConfigError: there is no such alert, or the act makes no sense now.
        """
        wish = {"act": act, "seen": seen, "value": value, "why": why}
        answer = self._ask("POST", f"{_address(alert_id)}/workflow", json=wish, known=alert_id, refused=(409, 422))
        body = self._json(answer)
        if answer.status_code == 409:
            raise ChangedMeanwhile(self._read(lambda: [HistoryEntry.model_validate(one) for one in body["conflict"]]))
        if answer.status_code == 422:
            raise ConfigError(act, str(body.get("error") or "cannot be done"), got=value or None)
        return self._read(lambda: Workflow.model_validate(body["workflow"]))

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def __enter__(self) -> AlertApi:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def _ask(
        self, method: str, path: str, *, known: str = "", refused: Sequence[int] = (), **more: Any
    ) -> httpx2.Response:
        try:
            answer = self._client.request(method, path, **more)
        except httpx2.HTTPError as error:
            raise ConnectionError_(
                self._where,
                f"no answer ({type(error).__name__}: {printable(str(error))[:200]})",
                hint="check that it runs (jsoc status), the address and the CA file",
            ) from error
        status = answer.status_code
        if status == 200 or status in refused:
            return answer
        if status == 404 and known:
            raise _no_such(known)
        hint = _HINTS.get(status, "compare the address with that of the dashboard")
        raise ConnectionError_(self._where, f"answers {status} ({_reason(answer)})", hint=hint)

    def _json(self, answer: httpx2.Response) -> dict[str, Any]:
        body = self._read(answer.json)
        return self._read(lambda: dict(body))

    def _read(self, how: Callable[[], Read]) -> Read:
        """What an answer holds; one that is not as described is of another version, or of another server."""
        try:
            return how()
        except (ValueError, KeyError, TypeError, ValidationError, EventError) as error:
            what = f"answers in another version ({type(error).__name__}: {printable(str(error))[:200]})"
            raise ConnectionError_(self._where, what, hint="use the jsoc of the dashboard's own release") from error

    @staticmethod
    def _worked(item: Mapping[str, Any]) -> WorkedAlert:
        return WorkedAlert(read_alert(item["alert"], "alert"), Workflow.model_validate(item["workflow"]))


def _trust(connection: DashboardConnection) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(connection.ca_file) if connection.ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(str(connection.ca_file), f"not a CA certificate ({error})", expected="PEM") from error


def _address(alert_id: str) -> str:
    """Where an alert is. Ids that are none are not asked for, so that none leads to another address.

    Raises:
        ConfigError: not an alert's id.
    """
    try:
        index_of(alert_id)
    except EventError as error:
        raise _no_such(alert_id) from error
    return f"/api/v1/alerts/{alert_id}"


def _no_such(alert_id: str) -> ConfigError:
    return ConfigError("ID", "no such alert", got=alert_id, hint="jsoc alerts list")


def _reason(answer: httpx2.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return "not JSON"
    return printable(str(body.get("error", "")))[:200] if isinstance(body, dict) else "not an object"
