"""Roles, tokens, and the rights that come with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from dashboard.accounts import Accounts
from dashboard.audit import Audit
from dashboard.rights import RIGHTS, ROLES
from dashboard.tokens import DAY_MS, Tokens
from schemas.errors import ConfigError
from schemas.times import now_ms
from tests.alert_samples import NOON, alert_id, stories
from tests.dashboard.documents_double import DocumentsDouble
from tests.dashboard.index_double import IndexDouble, form_token, log_in, open_site

DDOS = alert_id("ddos")


def enter(folder: Path, role: str) -> TestClient:
    client = open_site(folder, IndexDouble(stories(now_ms())))
    accounts: Accounts = client.app.state.site.accounts  # type: ignore[attr-defined]
    password = accounts.add("pat", role, "kestrel-bank" if role == "member_viewer" else "")  # type: ignore[arg-type]
    assert log_in(client, folder, name="pat", password=password) == 303
    client.headers["x-form-token"] = form_token(client.get("/own" if role == "member_viewer" else "/").text)
    return client


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_do_what_its_rights_say_and_nothing_else(tmp_path: Path, role: str) -> None:
    client = enter(tmp_path, role)
    rights = RIGHTS[role]  # type: ignore[index]
    tries = {
        "read": lambda: client.get(f"/alerts/{DDOS}"),
        "triage": lambda: client.post(f"/api/v1/alerts/{DDOS}/workflow", json={"act": "acknowledge"}),
        "notify": lambda: client.post(f"/api/v1/alerts/{DDOS}/findings", json={"members": ["cobalt-bank"]}),
        "audit": lambda: client.get("/audit"),
        "own": lambda: client.get("/own"),
    }
    allowed = {right for right, attempt in tries.items() if attempt().status_code == 200}
    assert allowed == rights & tries.keys()


def test_a_refusal_is_in_the_audit(tmp_path: Path) -> None:
    client = enter(tmp_path, "auditor")
    client.post(f"/api/v1/alerts/{DDOS}/workflow", json={"act": "acknowledge"})
    entries = client.app.state.site.audit.newest(10)  # type: ignore[attr-defined]
    assert {(e.who, e.action) for e in entries} >= {("pat", "denied"), ("pat", "login")}
    assert "denied" in client.get("/audit").text


def test_accounts_are_added_changed_and_removed_while_the_dashboard_runs(tmp_path: Path) -> None:
    running, other = Accounts(tmp_path), Accounts(tmp_path)
    password = other.add("mei", "analyst")
    assert running.verify("mei", password)
    before = running.fingerprint("mei")
    other.set_password("mei", "a long enough password")
    assert running.verify("mei", "a long enough password")
    assert running.fingerprint("mei") != before
    other.remove("mei")
    assert not running.verify("mei", "a long enough password")
    assert running.fingerprint("mei") is None


@pytest.mark.parametrize(
    ("name", "role", "member"),
    [
        ("analyst", "lead", ""),
        ("../x", "analyst", ""),
        ("", "analyst", ""),
        ("kim", "member_viewer", ""),
        ("kim", "lead", "a-bank"),
    ],
)
def test_accounts_that_make_no_sense_are_refused(tmp_path: Path, name: str, role: str, member: str) -> None:
    with pytest.raises(ConfigError):
        Accounts(tmp_path).add(name, role, member)  # type: ignore[arg-type]


def test_the_last_lead_stays_and_short_passwords_are_refused(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path)
    with pytest.raises(ConfigError, match="last lead"):
        accounts.remove("analyst")
    with pytest.raises(ConfigError, match="too short"):
        accounts.set_password("analyst", "short")
    with pytest.raises(ConfigError, match="no such user"):
        accounts.set_password("nobody")


def test_a_token_acts_for_its_user_until_it_is_withdrawn(tmp_path: Path) -> None:
    client = open_site(tmp_path, IndexDouble(stories(now_ms())))
    tokens = Tokens(tmp_path)
    secret = tokens.make("analyst", "tickets", 30)
    headers = {"authorization": f"Bearer {secret}"}
    assert client.get(f"/api/v1/alerts/{DDOS}", headers=headers).json()["alert"]["event"]["id"] == DDOS
    done = client.post(f"/api/v1/alerts/{DDOS}/workflow", headers=headers, json={"act": "acknowledge"})
    assert done.json()["workflow"]["assignee"] == "analyst"
    assert secret not in (tmp_path / "dashboard-tokens.yml").read_text()
    tokens.withdraw("analyst", "tickets")
    assert client.get(f"/api/v1/alerts/{DDOS}", headers=headers).status_code == 401
    for wrong in ("jsoc_x", "x", "", secret + "x"):
        assert client.get("/api/v1/views", headers={"authorization": f"Bearer {wrong}"}).status_code == 401


def test_a_token_ends_with_its_time_and_with_its_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens(tmp_path)
    secret = tokens.make("mei", "tickets", 2)
    monkeypatch.setattr("dashboard.tokens.now_ms", lambda: now_ms() + 2 * DAY_MS)
    assert tokens.user_of(secret) is None
    client = open_site(tmp_path, IndexDouble([]))
    secret = tokens.make("gone", "tickets", 300)
    assert client.get("/api/v1/views", headers={"authorization": f"Bearer {secret}"}).status_code == 401
    with pytest.raises(ConfigError, match="has one"):
        tokens.make("gone", "tickets", 1)
    with pytest.raises(ConfigError, match="so long"):
        tokens.make("gone", "more", 1000)
    with pytest.raises(ConfigError, match="has none"):
        tokens.withdraw("gone", "nothing")


def test_audit_entries_wait_while_the_index_is_away_and_keep_their_order() -> None:
    documents = DocumentsDouble()
    audit = Audit(documents, lambda: NOON)
    documents.away = True
    audit.note("mei", "login")
    audit.note("mei\x1b", "triage", "x", "y")
    documents.away = False
    audit.note("mei", "logout")
    assert [entry.action for entry in audit.newest(10)] == ["logout", "triage", "login"]
    assert audit.newest(10)[1].who == "mei\\x1b"
    assert set(documents.indices) == {"audit-2026.11"}
