"""An alert index in memory, with the dashboard in front of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml
from fastapi.testclient import TestClient

from connectors.alert_index import Counts, Found
from connectors.alert_query import LEVELS, AlertQuery
from connectors.settings import ElasticsearchConnection, KafkaConnection
from dashboard.app import create_app
from dashboard.settings import DashboardSettings
from schemas.alert import Alert
from schemas.errors import ConnectionError_
from tests.dashboard.documents_double import DocumentsDouble

MEMBERS = {
    "aurora-bank": "Bank Aurora",
    "aurora-securities": "Aurora Securities",
    "meridian-bank": "Meridian Bank",
    "kestrel-bank": "Kestrel Bank",
}


class IndexDouble:
    """Alerts in a list; `away` makes every question fail as a server that is down does."""

    def __init__(self, alerts: list[Alert]) -> None:
        self.alerts = alerts
        self.away = False
        self.asked: list[AlertQuery] = []
        self.counted = 0

    def find(self, query: AlertQuery) -> Found:
        self._answer()
        self.asked.append(query)
        fitting = [alert for alert in self.alerts if _fits(alert, query)]
        orders = {"made": lambda alert: alert.event.created, "newest": _newest, "level": _newest}
        fitting.sort(key=orders[query.order], reverse=query.order != "made")
        if query.order == "level":
            fitting.sort(key=lambda alert: LEVELS.index(alert.jointsoc.alert.level))
        return Found(fitting[: query.limit], len(fitting), more=len(fitting) > query.limit)

    def counts(self, query: AlertQuery, *, patient: bool = True) -> Counts:
        fitting = self._fitting(query)
        return Counts(
            len(fitting),
            by_level=Counter(alert.jointsoc.alert.level for alert in fitting),
            by_rule=Counter(alert.rule.uuid for alert in fitting),
            by_tactic=Counter(name for alert in fitting for name in alert.threat.tactic.name),
            by_technique=Counter(name for alert in fitting for name in alert.threat.technique.id),
            by_member=Counter(member for alert in fitting for member in alert.organization.id),
        )

    def ages(self, query: AlertQuery, edges: Sequence[str]) -> dict[str, list[int]]:
        found = {level: [0] * (len(edges) + 1) for level in LEVELS}
        for alert in self._fitting(query):
            column = sum(alert.event.end < edge for edge in edges)
            found[alert.jointsoc.alert.level][column] += 1
        return found

    def _fitting(self, query: AlertQuery) -> list[Alert]:
        self._answer()
        self.counted += 1
        return [alert for alert in self.alerts if _fits(alert, query)]

    def tally(self) -> dict[tuple[str, str], int]:
        self._answer()
        counted = [alert.jointsoc.alert for alert in self.alerts]
        return dict(Counter((alert.state, alert.level) for alert in counted))

    def get(self, alert_id: str) -> Alert | None:
        self._answer()
        return next((alert for alert in self.alerts if alert.id == alert_id), None)

    def _answer(self) -> None:
        if self.away:
            raise ConnectionError_("elasticsearch https://127.0.0.1:19200", "no answer", hint="jsoc status")


def _newest(alert: Alert) -> str:
    return alert.timestamp


def _fits(alert: Alert, query: AlertQuery) -> bool:
    body, members = alert.jointsoc, set(alert.organization.id)
    return (
        (not query.states or body.alert.state in query.states)
        and (not query.levels or body.alert.level in query.levels)
        and (query.text in alert.message or bool(set(query.members) & members))
        and (not query.hit or bool(set(query.hit) & members))
        and (not query.rules or alert.rule.uuid in query.rules)
        and (not query.tactics or bool(set(query.tactics) & set(alert.threat.tactic.name)))
        and (query.drill is None or body.drill == query.drill)
        and alert.event.end >= query.since
        and alert.event.created >= query.made_since
        and (query.key is None or body.group_by.get(query.key[0]) == query.key[1])
        and (query.only is None or alert.id in query.only)
        and alert.id not in query.without
    )


def settings_in(folder: Path) -> DashboardSettings:
    """Settings whose secrets and members lie in the folder."""
    secret = folder / "elasticsearch"
    secret.write_text("unused\n")
    secret.chmod(0o600)
    members = folder / "members.yml"
    members.write_text(
        yaml.safe_dump({"members": [{"id": i, "name": name, "kind": "bank"} for i, name in MEMBERS.items()]})
    )
    return DashboardSettings(
        elasticsearch=ElasticsearchConnection(url="http://127.0.0.1:9", username="dashboard", password_file=secret),
        kafka=KafkaConnection(bootstrap_servers=["127.0.0.1:9"], username="dashboard", password_file=secret),
        members_file=members,
        port=19080,
    )


def open_site(folder: Path, index: IndexDouble, documents: DocumentsDouble | None = None) -> TestClient:
    """The dashboard over the index, not logged in."""
    app = create_app(settings_in(folder), index, documents or DocumentsDouble())
    return TestClient(app, base_url="http://127.0.0.1:19080", follow_redirects=False, raise_server_exceptions=False)


def form_token(page: str) -> str:
    """The token of the first form of a page."""
    match = re.search(r'name="form_token" value="([0-9a-f]+)"', page)
    assert match
    return match[1]


def log_in(
    client: TestClient, folder: Path, *, name: str = "analyst", password: str | None = None, path: str = "/"
) -> int:
    """Log in through the form; returns the status of the answer."""
    token = form_token(client.get("/login", params={"next": path}).text)
    known = password if password is not None else (folder / "dashboard-password").read_text().strip()
    fields = {"name": name, "password": known, "form_token": token, "next": path}
    return client.post("/login", data=fields).status_code
