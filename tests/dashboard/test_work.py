"""Working on alerts through the pages and their interface."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from dashboard.audit import ALL
from dashboard.triage import reopened
from schemas.alert import Alert
from schemas.errors import ConnectionError_
from schemas.times import now_ms
from tests.alert_samples import alert_id, make_alert, stories
from tests.dashboard.documents_double import DocumentsDouble
from tests.dashboard.index_double import IndexDouble, form_token, log_in, open_site

DDOS, SHELL, STUFFING = alert_id("ddos"), alert_id("shell"), alert_id("stuffing")


@pytest.fixture
def index() -> IndexDouble:
    return IndexDouble(stories(now_ms()))


@pytest.fixture
def documents() -> DocumentsDouble:
    return DocumentsDouble()


@pytest.fixture
def analyst(tmp_path: Path, index: IndexDouble, documents: DocumentsDouble) -> TestClient:
    client = open_site(tmp_path, index, documents)
    assert log_in(client, tmp_path) == 303
    client.headers["x-form-token"] = form_token(client.get("/").text)
    return client


def act(client: TestClient, alert: str, name: str, seen: int = 0, value: str = "", why: str = "") -> Response:
    body = {"act": name, "seen": seen, "value": value, "why": why}
    return client.post(f"/api/v1/alerts/{alert}/workflow", json=body)


def shown(client: TestClient, address: str = "") -> list[str]:
    return [row["id"] for row in client.get(f"/api/queue{address}").json()["rows"]]


def test_an_alert_is_worked_from_open_to_closed_and_leaves_what_is_to_do(analyst: TestClient) -> None:
    assert DDOS in shown(analyst)
    assert act(analyst, DDOS, "acknowledge").json()["workflow"]["status"] == "acknowledged"
    assert DDOS in shown(analyst)
    assert shown(analyst, "?assignee=me") == [DDOS]
    assert shown(analyst, "?status=acknowledged") == [DDOS]
    assert act(analyst, DDOS, "close", 1, "false_positive", "a load test").status_code == 200
    assert DDOS not in shown(analyst)
    assert shown(analyst, "?status=closed") == [DDOS]
    counts = {view["name"]: view["count"] for view in analyst.get("/api/queue").json()["views"]}
    assert (counts["To do"], counts["Closed"], counts["Mine"], counts["Critical and high"]) == (5, 1, 0, 3)
    page = analyst.get(f"/alerts/{DDOS}").text
    for text in ("False positive", "a load test", "Reopen", "Acknowledged"):
        assert text in page
    assert act(analyst, DDOS, "reopen", 2).status_code == 200
    assert DDOS in shown(analyst)


def test_what_nobody_works_on_what_came_back_and_what_is_a_drill_have_views_of_their_own(
    tmp_path: Path, index: IndexDouble, documents: DocumentsDouble, analyst: TestClient
) -> None:
    exercise = make_alert("exercise", drill=True)
    index.alerts.append(exercise)
    act(analyst, DDOS, "acknowledge")
    act(analyst, SHELL, "close", 0, "true_positive")
    grown = next(alert for alert in index.alerts if alert.id == SHELL).model_copy(deep=True)
    grown.organization.id.append("kestrel-bank")
    site = analyst.app.state.site  # type: ignore[attr-defined]
    site.desk.change(grown, lambda workflow: reopened(workflow, grown, workflow.updated) or workflow)

    assert shown(analyst, "?reopened=yes") == [SHELL]
    assert shown(analyst, "?drill=yes") == [exercise.id]
    assert set(shown(analyst, "?assignee=nobody")) == {alert.id for alert in index.alerts if open_now(alert)} - {DDOS}
    counts = {view["name"]: view["count"] for view in analyst.get("/api/queue").json()["views"]}
    assert (counts["Unassigned"], counts["Reopened"], counts["Drills"]) == (counts["To do"] - 1, 1, 1)
    fresh = open_site(tmp_path, index, documents)  # another process learns it from the documents
    assert log_in(fresh, tmp_path) == 303
    assert shown(fresh, "?reopened=yes") == [SHELL]
    assert shown(fresh, "?assignee=nobody&status=acknowledged") == []
    act(analyst, SHELL, "acknowledge", 2)
    assert shown(analyst, "?reopened=yes") == []


def open_now(alert: Alert) -> bool:
    return alert.jointsoc.alert.state != "superseded"


def test_who_comes_second_learns_who_did_what_and_nothing_is_overwritten(analyst: TestClient) -> None:
    act(analyst, DDOS, "close", 0, "true_positive", "confirmed by phone")
    answer = act(analyst, DDOS, "acknowledge")
    assert answer.status_code == 409
    assert [(e["who"], e["after"], e["why"]) for e in answer.json()["conflict"]] == [
        ("analyst", "true_positive", "confirmed by phone")
    ]
    assert analyst.get(f"/api/v1/alerts/{DDOS}").json()["workflow"]["reason"] == "true_positive"


def test_many_alerts_are_closed_at_once_each_for_itself(analyst: TestClient) -> None:
    act(analyst, SHELL, "note", 0, "looked at it")
    body: dict[str, Any] = {"alerts": {DDOS: 0, SHELL: 0, alert_id("none"): 0}, "act": "close", "value": "duplicate"}
    outcomes = {one["alert"]: one for one in analyst.post("/api/v1/workflow", json=body).json()}
    assert outcomes[DDOS]["done"]
    assert outcomes[SHELL]["conflict"][0]["deed"] == "noted"
    assert outcomes[alert_id("none")]["error"] == "No such alert"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"act": "close"}, 422),
        ({"act": "delete"}, 422),
        ({"act": "note", "value": "x" * 5000}, 422),
        ({"act": "acknowledge", "seen": -1}, 422),
        ({"act": "acknowledge", "more": 1}, 422),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    analyst: TestClient, documents: DocumentsDouble, body: dict[str, Any], status: int
) -> None:
    assert analyst.post(f"/api/v1/alerts/{DDOS}/workflow", json=body).status_code == status
    assert "workflow-alerts" not in documents.indices


def test_a_request_that_did_not_come_from_our_page_changes_nothing(analyst: TestClient) -> None:
    for token in ("", "0" * 64):
        analyst.headers["x-form-token"] = token
        assert act(analyst, DDOS, "acknowledge").status_code == 403
    assert shown(analyst, "?status=acknowledged") == []


def test_nothing_is_changed_while_the_index_is_away(analyst: TestClient, documents: DocumentsDouble) -> None:
    documents.away = True
    assert act(analyst, DDOS, "acknowledge").status_code == 503
    assert analyst.get("/").status_code == 503
    assert analyst.get(f"/alerts/{DDOS}").status_code == 503


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("?member=juniper-insurance", {"shell", "scanner", "single"}),
        ("?tactic=credential-access&level=low", {"single"}),
        ("?rule=nothing", set()),
        ("?since=1h&level=high", {"stuffing", "ddos"}),
        ("?tag=fraud", {"shell"}),
        ("?rule=%22}]&member=../x", {"transfer", "stuffing", "shell", "scanner", "ddos", "single"}),
    ],
)
def test_filters_find_by_rule_member_tactic_time_and_tag(analyst: TestClient, address: str, names: set[str]) -> None:
    act(analyst, SHELL, "tag", 0, "fraud")
    assert set(shown(analyst, address)) == {alert_id(name) for name in names}


def test_groups_stand_together_in_the_order_of_their_first_row(analyst: TestClient) -> None:
    rows = analyst.get("/api/queue?group=key&group=level&group=nonsense").json()["rows"]
    headings = [row["group"] for row in rows]
    assert headings == sorted(headings, key=headings.index), "each group once"
    assert "source.ip 203.0.113.77 · High" in headings
    assert 'class="grp"' in analyst.get("/?group=rule").text


def test_a_view_is_kept_for_oneself_and_removed_again(analyst: TestClient) -> None:
    body = {"name": "<b>Fraud</b>", "query": "?tag=fraud&next=//evil", "shared": True}
    assert analyst.put("/api/v1/views", json=body).json()["query"] == "tag=fraud"
    assert analyst.put("/api/v1/views", json={**body, "query": "level=high"}).status_code == 200
    views = analyst.get("/api/queue?level=high").json()["views"]
    assert [(v["name"], v["current"]) for v in views if v["query"] == "level=high"] == [("<b>Fraud</b>", True)]
    assert "<b>Fraud" not in analyst.get("/").text
    assert analyst.delete("/api/v1/views", params={"name": body["name"]}).status_code == 404
    assert analyst.delete("/api/v1/views", params={"name": body["name"], "shared": True}).status_code == 200
    assert analyst.get("/api/v1/views").json() == []


def test_the_alert_page_shows_how_the_rule_was_closed_before_and_what_shares_its_key(analyst: TestClient) -> None:
    act(analyst, STUFFING, "close", 0, "benign_true_positive", "a pen test of ours")
    page = analyst.get(f"/alerts/{alert_id('transfer')}").text
    assert "Benign true positive" in page
    assert "a pen test of ours" in page
    assert "same key" in page
    related = page[page.index("Seen before") :]
    assert STUFFING in related
    assert SHELL not in related


def test_the_page_learns_what_others_do(analyst: TestClient) -> None:
    before = analyst.get(f"/api/alerts/{DDOS}").json()
    act(analyst, DDOS, "acknowledge")
    after = analyst.get(f"/api/alerts/{DDOS}").json()
    assert after["workflow"] == before["workflow"] + 1
    assert after["workflow_news"] == "analyst: Acknowledged"


def test_hostile_words_of_people_stay_text(analyst: TestClient) -> None:
    nasty = '"><img src=x onerror=alert(1)>\u202e'
    assert act(analyst, DDOS, "tag", 0, nasty).status_code == 422
    act(analyst, DDOS, "tag", 0, nasty[:-1])
    act(analyst, DDOS, "note", 0, nasty + "\nsecond line")
    act(analyst, DDOS, "assign", 2, nasty)
    act(analyst, DDOS, "close", 3, "no_action", nasty)
    for path in (f"/alerts/{DDOS}", "/?status=closed"):
        page = analyst.get(path).text
        assert "<img" not in page
        assert "\u202e" not in page


def test_every_action_is_in_the_audit_index_with_who_and_where(analyst: TestClient, documents: DocumentsDouble) -> None:
    act(analyst, DDOS, "close", 0, "drill", "the spring exercise")
    entries = [
        one.body for name, index in documents.indices.items() if name.startswith("audit-") for one in index.values()
    ]
    assert [(e["who"], e["action"]) for e in entries] == [("analyst", "login"), ("analyst", "triage")]
    assert entries[1]["target"] == DDOS
    assert "the spring exercise" in entries[1]["detail"]
    assert entries[1]["address"]


def test_an_alert_in_a_superseded_state_is_worked_on_where_it_lives_on(analyst: TestClient, index: IndexDouble) -> None:
    act(analyst, DDOS, "tag", 0, "kept")
    later = make_alert("later", group_by={})
    old = make_alert("ddos", state="superseded", superseded_by=later.id)
    index.alerts = [old if alert.id == DDOS else alert for alert in index.alerts] + [later]
    analyst.app.state.site.desk.keep("2000-01-01T00:00:00.000Z")  # type: ignore[attr-defined]
    assert "kept" in analyst.get(f"/alerts/{later.id}").text
    assert act(analyst, DDOS, "acknowledge", 2).status_code == 422
    assert "moved to the alert" in analyst.get(f"/alerts/{DDOS}").text


class Lines:
    """Original events in memory."""

    def __init__(self, line: bytes | None) -> None:
        self.kept, self.asked, self.away = line, [], False  # type: ignore[var-annotated]

    def line(self, *place: object) -> bytes | None:
        if self.away:
            raise ConnectionError_("kafka", "away")
        self.asked.append(place)
        return self.kept

    def close(self) -> None:
        """Nothing to give back."""


def reading(client: TestClient, line: bytes | None) -> Lines:
    lines = Lines(line)
    app = client.app
    app.state.site = replace(app.state.site, events=lines)  # type: ignore[attr-defined]
    return lines


def test_an_original_event_is_fetched_by_the_place_its_evidence_names(
    analyst: TestClient, index: IndexDouble, documents: DocumentsDouble
) -> None:
    lines = reading(analyst, b'{"user":"\\u001b[31m","n":1}')
    answer = analyst.get(f"/api/v1/alerts/{DDOS}/evidence/0").json()
    assert '"n": 1' in answer["pretty"]
    assert "\x1b" not in answer["pretty"]
    item = next(alert for alert in index.alerts if alert.id == DDOS).jointsoc.evidence[0]
    assert lines.asked == [(item.topic, item.partition, item.offset, item.line)]
    assert documents.find(ALL, {}, limit=1)[0].body["action"] == "read_event"


def test_only_what_the_alert_names_can_be_read(analyst: TestClient, index: IndexDouble) -> None:
    lines = reading(analyst, b"{}")
    for number in (-1, 99):
        assert analyst.get(f"/api/v1/alerts/{DDOS}/evidence/{number}").status_code == 404
    next(alert for alert in index.alerts if alert.id == DDOS).jointsoc.evidence[0].topic = "health"
    assert analyst.get(f"/api/v1/alerts/{DDOS}/evidence/0").status_code == 404
    assert lines.asked == []


def test_an_event_that_is_gone_or_a_broker_that_is_away_is_told(analyst: TestClient) -> None:
    lines = reading(analyst, None)
    assert "any more" in analyst.get(f"/api/v1/alerts/{DDOS}/evidence/0").json()["error"]
    lines.away = True
    assert analyst.get(f"/api/v1/alerts/{DDOS}/evidence/0").status_code == 503
