"""What people write, on a real Elasticsearch as the dashboard's own user."""

from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from elasticsearch import ApiError

from connectors.alert_index import AlertIndex
from connectors.alert_query import AlertQuery
from connectors.documents import Conflict, ElasticsearchDocuments, Kind
from connectors.elasticsearch import open_client
from dashboard.audit import ALL, Audit
from dashboard.desk import WORKFLOW, Desk
from dashboard.exceptions import EXCEPTIONS
from dashboard.member_desk import FINDINGS, MemberDesk
from dashboard.saved_views import VIEWS
from dashboard.triage import Outdated, Wish
from schemas.errors import ConnectionError_
from tests.alert_samples import make_alert
from tests.running_stack import RunningStack

pytestmark = pytest.mark.stack

LONG_AGO = "2020-01-01T00:00:00.000Z"


@pytest.fixture
def documents(stack: RunningStack) -> Iterator[ElasticsearchDocuments]:
    opened = ElasticsearchDocuments(stack.elasticsearch("dashboard"), request_timeout=30)
    yield opened
    opened.close()


def test_workflows_are_kept_found_counted_and_never_overwritten(
    stack: RunningStack, documents: ElasticsearchDocuments
) -> None:
    alerts = AlertIndex(stack.elasticsearch("dashboard"), request_timeout=30)
    desk = Desk(documents, alerts)
    mine, user = make_alert(uuid4().hex), f"u-{uuid4().hex[:8]}"
    desk.grant(mine, Wish("acknowledge"), user)
    with pytest.raises(Outdated):
        desk.grant(mine, Wish("close", 0, "drill"), "other")
    desk.grant(mine, Wish("tag", 0, f"tag-{user}"), user)
    assert desk.of_many([mine, make_alert("never touched")])[mine.id].assignee == user
    assert desk.ids(statuses=("acknowledged",), assignee=user, tag=f"tag-{user}") == [mine.id]
    assert desk.counts("status")["acknowledged"] >= 1
    desk.grant(mine, Wish("close", 2, "drill"), user)
    assert mine.id in [p.id for p in desk.precedents(make_alert("another"), 200)]
    stored = documents.get(WORKFLOW, mine.id)
    assert stored is not None
    with pytest.raises(Conflict):
        documents.put(WORKFLOW, mine.id, stored.body, None)
    alerts.close()


def test_a_million_ids_more_or_less_are_asked_for_in_pages(
    documents: ElasticsearchDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.documents._SEARCH_WINDOW", 3)
    kind = Kind(f"workflow-test-{uuid4().hex[:8]}", VIEWS.model)
    for number in range(8):
        documents.put(kind, str(number), {"owner": "x"}, None)
    assert documents.ids(kind, {"owner": ("x",)}) == [str(number) for number in range(7, -1, -1)]
    assert documents.counts(kind, "owner", {}) == {"x": 8}


@pytest.mark.parametrize("kind", [WORKFLOW, FINDINGS, EXCEPTIONS, VIEWS, ALL])
def test_an_index_that_nobody_wrote_yet_is_empty_and_no_fault(documents: ElasticsearchDocuments, kind: Kind) -> None:
    assert documents.find(kind, {"no.such.field": ("x",)}, limit=10) == []
    missing = Kind("workflow-never-written", kind.model)
    assert documents.find(missing, {}, limit=1) == []
    assert documents.get(missing, "x") is None
    assert documents.counts(missing, "x", {}) == {}


def test_findings_wait_are_marked_and_answered(stack: RunningStack, documents: ElasticsearchDocuments) -> None:
    alerts = AlertIndex(stack.elasticsearch("dashboard"), request_timeout=30)
    desk = MemberDesk(documents, alerts, Desk(documents, alerts))
    alert = make_alert(uuid4().hex)
    desk.notify(alert, ["aurora-bank"], "check", "mei")
    assert alert.id in [one.finding.alert for one in desk.waiting()]
    sent = []
    desk.keep(sent.append)
    assert desk.of_alert(alert.id)[0].sent
    alerts.close()


def test_audit_entries_can_be_added_and_read_but_not_changed(
    stack: RunningStack, documents: ElasticsearchDocuments
) -> None:
    audit, who = Audit(documents), f"u-{uuid4().hex[:8]}"
    audit.note(who, "login")
    deadline = time.monotonic() + 60
    while not (found := documents.find(ALL, {"who": (who,)}, limit=1)):
        assert time.monotonic() < deadline, "the entry was not found"
        time.sleep(0.2)
    client = open_client(stack.elasticsearch("dashboard"))
    month = found[0].body["@timestamp"][:7].replace("-", ".")
    for attempt in (client.index, client.delete):
        body = {"document": {"who": "somebody else"}} if attempt == client.index else {}
        with pytest.raises(ApiError) as refused:
            attempt(index=f"audit-{month}", id=found[0].id, **body)  # type: ignore[operator]
        assert refused.value.meta.status in (403, 409)
    client.close()


def test_the_dashboard_may_not_write_alerts_and_the_indexer_not_what_people_write(stack: RunningStack) -> None:
    for user, index in (
        ("dashboard", "alerts-centre-2026.11"),
        ("indexer", "workflow-alerts"),
        ("operator", "audit-x"),
    ):
        client = open_client(stack.elasticsearch(user))
        with pytest.raises(ApiError) as refused:
            client.index(index=index, id="x", document={"a": 1})
        assert refused.value.meta.status == 403, user
        client.close()


def test_the_new_questions_to_the_alert_index_are_understood(stack: RunningStack) -> None:
    index = AlertIndex(stack.elasticsearch("dashboard"), request_timeout=30)
    query = AlertQuery(
        states=("open",), hit=("a-bank",), rules=("u",), tactics=("impact",), since=LONG_AGO, made_since=LONG_AGO,
        key=("source.ip", "192.0.2.1"), only=frozenset({"x"}), without=frozenset({"y"}), order="made",
    )  # fmt: skip
    assert index.find(query).total == 0
    assert isinstance(index.tally(), dict)
    index.close()


def test_a_server_that_is_away_is_told(stack: RunningStack) -> None:
    connection = stack.elasticsearch("dashboard").model_copy(update={"url": "https://127.0.0.1:9"})
    documents = ElasticsearchDocuments(connection)
    with pytest.raises(ConnectionError_):
        documents.find(WORKFLOW, {}, limit=1)
