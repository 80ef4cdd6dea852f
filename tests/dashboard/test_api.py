"""The programs' interface, held against its own description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard.tokens import Tokens
from schemas.times import now_ms
from tests.alert_samples import alert_id, stories
from tests.dashboard.documents_double import DocumentsDouble
from tests.dashboard.index_double import IndexDouble, open_site

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def program(tmp_path: Path) -> TestClient:
    client = open_site(tmp_path, IndexDouble(stories(now_ms())), DocumentsDouble())
    client.headers["authorization"] = f"Bearer {Tokens(tmp_path).make('analyst', 'test', 1)}"
    return client


def operations(client: TestClient) -> list[tuple[str, str, dict[str, Any]]]:
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    return [(method, path, one) for path, methods in paths.items() for method, one in methods.items()]


def test_every_call_is_described_with_what_it_does(program: TestClient) -> None:
    described = operations(program)
    assert {path for _, path, _ in described} >= {
        "/api/v1/alerts", "/api/v1/alerts/{alert_id}/workflow", "/api/v1/own/findings", "/api/v1/exceptions",
    }  # fmt: skip
    assert all(one["description"] for _, _, one in described)
    page = program.get("/api").text
    assert all(path in page for _, path, _ in described)


def test_alerts_are_listed_with_their_workflow_and_the_queues_filters(program: TestClient) -> None:
    program.post(f"/api/v1/alerts/{alert_id('ddos')}/workflow", json={"act": "close", "value": "drill"})
    found = program.get("/api/v1/alerts?status=closed").json()
    assert [(one["alert"]["event"]["id"], one["workflow"]["reason"]) for one in found["alerts"]] == [
        (alert_id("ddos"), "drill")
    ]
    assert program.get("/api/v1/alerts?level=critical&show=1").json()["total"] == 2


def test_a_visitor_gets_nothing_from_any_call(program: TestClient) -> None:
    described = operations(program)
    del program.headers["authorization"]
    for method, path, _ in described:
        assert program.request(method, path.replace("{", "").replace("}", ""), json={}).status_code == 401, path
    assert program.get("/api/v1/openapi.json").status_code == 401


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_input_makes_any_call_fail_in_a_way_it_does_not_describe(program: TestClient, data: st.DataObject) -> None:
    method, path, one = data.draw(st.sampled_from(operations(program)))
    identity = data.draw(
        st.sampled_from([alert_id("ddos"), "x", "..", "%00", "\u202e"]) | st.text("ab-0%", min_size=1, max_size=9)
    )
    for name in ("alert_id", "finding_id", "exception_id", "number"):
        path = path.replace(f"{{{name}}}", identity)
    names = [parameter["name"] for parameter in one.get("parameters", []) if parameter["in"] == "query"]
    query = {name: data.draw(st.text(max_size=20)) for name in names}
    body = data.draw(JSON | _near(one)) if "requestBody" in one else None
    answer = program.request(method, path, params=query, json=body)
    assert answer.status_code in {200, 403, 404, 405, 409, 422, 503}, answer.text
    assert "Traceback" not in answer.text


def _near(operation: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Bodies with the right keys and, mostly, wrong values."""
    known = {
        "act": st.sampled_from(["acknowledge", "close", "note", "tag", "reopen", "assign", "x"]),
        "seen": st.integers(-1, 3),
        "value": st.text(max_size=30) | st.sampled_from(["drill", "duplicate"]),
        "why": st.text(max_size=30),
        "alerts": st.dictionaries(st.sampled_from([alert_id("ddos"), "x"]), st.integers(0, 2)),
        "members": st.lists(st.sampled_from(["cobalt-bank", "", "X"]), max_size=3),
        "asked": st.text(max_size=30),
        "name": st.text(max_size=45),
        "query": st.text(max_size=45),
        "reason": st.text(max_size=30),
        "days": st.integers(-1, 400),
        "verdict": st.sampled_from(["confirmed", "x"]),
        "state": st.sampled_from(["in_force", "ended", "x"]),
    }
    return st.fixed_dictionaries({}, optional=known)
