from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from dashboard.app import create_app
from dashboard.headers import HEADERS
from schemas.times import now_ms
from tests.alert_samples import alert_id, make_alert, stories
from tests.dashboard.documents_double import DocumentsDouble
from tests.dashboard.index_double import IndexDouble, form_token, log_in, open_site, settings_in

XSS = '"><script>alert(1)</script><img src=x onerror=alert(1)>\u202e\x1b[31m{{7*7}}'


@pytest.fixture
def index() -> IndexDouble:
    return IndexDouble(stories(now_ms()))


@pytest.fixture
def visitor(tmp_path: Path, index: IndexDouble) -> TestClient:
    return open_site(tmp_path, index)


@pytest.fixture
def analyst(visitor: TestClient, tmp_path: Path) -> TestClient:
    assert log_in(visitor, tmp_path) == 303
    return visitor


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


# ----- who may see it -----


@pytest.mark.parametrize("path", ["/", "/?q=x", "/alerts/" + alert_id("transfer")])
def test_a_visitor_is_led_to_the_log_in_page_and_back(visitor: TestClient, tmp_path: Path, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login")
    assert log_in(visitor, tmp_path, path=path) == 303


@pytest.mark.parametrize("path", ["/api/queue", "/api/alerts/" + alert_id("transfer")])
def test_the_interface_tells_a_visitor_nothing(visitor: TestClient, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status_code == 401
    assert answer.json() == {"error": "not logged in"}


def test_liveness_needs_no_log_in_and_says_nothing_else(visitor: TestClient, index: IndexDouble) -> None:
    index.away = True
    assert visitor.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("name", "password"), [("analyst", "wrong"), ("nobody", "wrong"), ("", ""), ("analyst", "x" * 2000)]
)
def test_a_wrong_name_or_password_gets_the_same_plain_sentence(
    visitor: TestClient, tmp_path: Path, name: str, password: str
) -> None:
    assert log_in(visitor, tmp_path, name=name, password=password) == 401
    assert visitor.get("/").status_code == 303


def test_after_five_failures_even_the_right_password_must_wait(visitor: TestClient, tmp_path: Path) -> None:
    for _ in range(5):
        assert log_in(visitor, tmp_path, password="guess") == 401
    assert log_in(visitor, tmp_path) == 429


def test_a_log_in_form_without_our_token_is_refused(visitor: TestClient, tmp_path: Path) -> None:
    password = (tmp_path / "dashboard-password").read_text().strip()
    fields = {"name": "analyst", "password": password}
    assert visitor.post("/login", data=fields).status_code == 403
    visitor.get("/login")
    assert visitor.post("/login", data=fields | {"form_token": "0" * 64}).status_code == 403


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "/a\r\nb"]
)
def test_logging_in_never_leads_to_another_site(visitor: TestClient, tmp_path: Path, wanted: str) -> None:
    token = form_token(visitor.get("/login").text)
    password = (tmp_path / "dashboard-password").read_text().strip()
    fields = {"name": "analyst", "password": password, "form_token": token, "next": wanted}
    assert visitor.post("/login", data=fields).headers["location"] == "/"


def test_the_log_in_form_of_an_older_tab_still_works(visitor: TestClient, tmp_path: Path) -> None:
    token = form_token(visitor.get("/login").text)
    visitor.get("/login")
    password = (tmp_path / "dashboard-password").read_text().strip()
    fields = {"name": "analyst", "password": password, "form_token": token}
    assert visitor.post("/login", data=fields).status_code == 303


def test_a_session_of_the_log_in_page_is_not_taken_over_by_logging_in(visitor: TestClient, tmp_path: Path) -> None:
    visitor.get("/login")
    visit = visitor.cookies["jsoc-19080-visit"]
    log_in(visitor, tmp_path)
    assert visitor.cookies["jsoc-19080"] != visit
    visitor.cookies.set("jsoc-19080", visit, domain="127.0.0.1")
    assert visitor.get("/").status_code == 303


def test_logging_out_ends_the_session_even_for_a_copy_of_the_cookie(analyst: TestClient) -> None:
    cookie = analyst.cookies["jsoc-19080"]
    page = analyst.get("/")
    assert analyst.post("/logout", data={}).headers["location"] == "/"
    assert analyst.get("/").status_code == 200
    assert analyst.post("/logout", data={"form_token": form_token(page.text)}).headers["location"] == "/login"
    analyst.cookies.set("jsoc-19080", cookie, domain="127.0.0.1")
    assert analyst.get("/").status_code == 303


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(visitor: TestClient, tmp_path: Path) -> None:
    cookie = visitor.get("/login").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_a_forged_or_foreign_cookie_is_no_session(visitor: TestClient, tmp_path: Path) -> None:
    for token in [b"", b"x", b"x.y", b"e30.0", "\u00e9.x".encode(), b"." * 50]:
        answer = visitor.get("/", headers={b"cookie": b"jsoc-19080=" + token})
        assert answer.status_code == 303


def test_another_host_name_is_refused_so_that_no_site_can_rebind_its_name_to_us(visitor: TestClient) -> None:
    assert visitor.get("/healthz", headers={"host": "evil.example"}).status_code == 400


@pytest.mark.parametrize("path", ["/", "/login", "/healthz", "/nowhere", "/static/dashboard.css", "/alerts/x"])
def test_every_answer_carries_the_security_headers(analyst: TestClient, path: str) -> None:
    headers = analyst.get(path).headers
    assert {name: headers[name] for name in HEADERS} == HEADERS
    assert "unsafe" not in headers["Content-Security-Policy"]


def test_no_page_needs_what_the_policy_forbids(analyst: TestClient) -> None:
    for path in ("/", "/alerts/" + alert_id("transfer"), "/nowhere"):
        for tag, attributes in Tags(analyst.get(path).text).seen:
            assert tag != "style"
            assert not [name for name in attributes if name == "style" or name.startswith("on")], (
                path,
                tag,
                attributes,
            )
            address = attributes.get("src") or (attributes.get("href") if tag == "link" else None)
            assert address is None or address.startswith("/static/")
            if tag == "script" and "src" not in attributes:
                assert attributes["type"] == "application/json"


# ----- the queue -----


def test_the_queue_lists_current_alerts_newest_first_with_what_an_analyst_needs(analyst: TestClient) -> None:
    page = analyst.get("/").text
    messages = re.findall(r'data-f="message">([^<]+)<', page)
    assert messages[0].startswith("DDoS alarms")
    assert len(messages) == 6
    assert "203.0.113.77" in page
    assert "Bank Aurora" in page
    assert "1,286" in page


def test_superseded_alerts_are_shown_only_when_asked_for(analyst: TestClient) -> None:
    assert alert_id("older") not in analyst.get("/").text
    assert alert_id("older") in analyst.get("/?state=superseded").text


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("/api/queue?level=critical", {"transfer", "shell"}),
        ("/api/queue?state=settled", {"scanner", "single"}),
        ("/api/queue?state=settled&level=low&level=high", {"single"}),
        ("/api/queue?q=web+shell", {"shell"}),
        ("/api/queue?q=Kestrel", {"transfer", "stuffing", "scanner"}),
        (
            "/api/queue?state=nonsense&level=nonsense&order=nonsense",
            {"transfer", "stuffing", "shell", "scanner", "ddos", "single"},
        ),
    ],
)
def test_filters_narrow_the_queue_and_unknown_values_are_left_out(
    analyst: TestClient, address: str, names: set[str]
) -> None:
    rows = analyst.get(address).json()["rows"]
    assert {row["id"] for row in rows} == {alert_id(name) for name in names}


def test_ordering_by_level_puts_the_most_urgent_first(analyst: TestClient) -> None:
    levels = [row["level"] for row in analyst.get("/api/queue?order=level").json()["rows"]]
    assert levels == ["critical", "critical", "high", "high", "medium", "low"]


def test_views_count_what_they_would_show(analyst: TestClient) -> None:
    data = analyst.get("/api/queue").json()
    counts = {view["name"]: view["count"] for view in data["views"]}
    assert counts == {
        "To do": 6, "Critical and high": 4, "Mine": 0, "Unassigned": 6, "Waiting for institutions": 0, "Reopened": 0,
        "Drills": 0, "Acknowledged": 0, "Closed": 0, "Superseded": 1,
    }  # fmt: skip
    assert [view["name"] for view in data["views"] if view["current"]] == ["To do"]
    assert data["summary"].startswith("6 alerts, ")


def test_the_update_gives_revisions_as_text_since_they_are_too_large_for_javascript(analyst: TestClient) -> None:
    row = next(row for row in analyst.get("/api/queue").json()["rows"] if row["state"] == "settled")
    assert int(row["revision"]) > 2**53
    assert isinstance(row["revision"], str)


def test_an_empty_queue_says_so(tmp_path: Path) -> None:
    client = open_site(tmp_path, IndexDouble([]))
    log_in(client, tmp_path)
    page = client.get("/").text
    assert "No alert fits" in page
    assert "0 of 4" in page, "silence must be proved"


# ----- one alert -----


def test_the_alert_page_tells_who_was_hit_in_which_order_and_by_which_rule(analyst: TestClient) -> None:
    page = analyst.get("/alerts/" + alert_id("transfer")).text
    assert "<title>203.0.113.77: log-ins failed at 6 institutions, then a transfer at Kestrel Bank" in page
    order = re.findall(r'<tr data-member="[^"]*"><th scope="row">([^<]+)<', page)
    assert order[0] == "Bank Aurora"
    assert order[-1] == "Kestrel Bank"
    assert len(order) == 6
    for text in (
        "in 5 corporate groups",
        "same group as Bank Aurora, counts once",
        "T1110.004",
        "Spray, then a transfer",
        ">1 / ",
        "Transfer ordered",
        "TLP:AMBER",
        "2026.11.23-2",
    ):
        assert text in page


def test_a_superseded_alert_leads_to_the_one_it_lives_on_as(analyst: TestClient) -> None:
    page = analyst.get("/alerts/" + alert_id("older")).text
    assert f'href="/alerts/{alert_id("stuffing")}"' in page


def test_an_alert_without_members_or_evidence_is_still_shown(tmp_path: Path) -> None:
    bare = make_alert("bare")
    bare.jointsoc.members, bare.jointsoc.evidence, bare.jointsoc.group_by = [], [], {}
    client = open_site(tmp_path, IndexDouble([bare]))
    log_in(client, tmp_path)
    assert client.get("/").status_code == 200
    assert "came without evidence" in client.get(f"/alerts/{bare.id}").text


@pytest.mark.parametrize("identity", ["nonsense", alert_id("unknown"), "%2e%2e%2f", "%3Cscript%3E"])
def test_an_unknown_alert_is_a_plain_404(analyst: TestClient, identity: str) -> None:
    answer = analyst.get(f"/alerts/{identity}")
    assert answer.status_code == 404
    assert "<script>" not in answer.text


def test_the_page_learns_of_a_newer_revision(analyst: TestClient, index: IndexDouble) -> None:
    address = "/api/alerts/" + alert_id("ddos")
    before = analyst.get(address).json()["revision"]
    index.alerts = [
        make_alert("ddos", revision=99) if alert.id == alert_id("ddos") else alert for alert in index.alerts
    ]
    assert analyst.get(address).json()["revision"] == "99" != before


# ----- when things go wrong -----


def test_a_page_without_its_index_shows_a_banner_and_no_trace(analyst: TestClient, index: IndexDouble) -> None:
    index.away = True
    for path in ("/", "/alerts/" + alert_id("transfer")):
        answer = analyst.get(path)
        assert answer.status_code == 503
        assert "alerts are kept in Kafka" in answer.text
        banner = next(attributes for tag, attributes in Tags(answer.text).seen if attributes.get("id") == "banner")
        assert "hidden" not in banner
        assert "Traceback" not in answer.text
        assert "127.0.0.1:19200" not in answer.text
    assert analyst.get("/api/queue").status_code == 503
    index.away = False
    assert analyst.get("/").status_code == 200


def test_a_fault_of_ours_is_told_without_a_trace(
    analyst: TestClient, index: IndexDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "find", lambda query: 1 / 0)
    answer = analyst.get("/")
    assert answer.status_code == 500
    assert "Something is broken here" in answer.text
    assert "ZeroDivisionError" not in answer.text
    assert answer.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]


def test_hostile_text_in_every_field_stays_text(tmp_path: Path) -> None:
    alert = make_alert("hostile", message=XSS, rule=XSS, group_by={XSS: XSS}, detections=(XSS,))
    alert.rule.description = alert.rule.license = alert.rule.uuid = alert.rule.ruleset = alert.rule.version = XSS
    alert.rule.author = [XSS]
    alert.rule.reference = ["javascript:alert(1)", XSS, 'https://x.example/"><script>', "https://fine.example/a"]
    alert.threat.tactic.name = alert.threat.technique.id = [XSS]
    alert.jointsoc.pack = XSS
    alert.jointsoc.alert.superseded_by = XSS
    for member in alert.jointsoc.members:
        member.id = member.group = XSS
    for item in alert.jointsoc.evidence:
        item.member = item.topic = item.event_id = XSS
    client = open_site(tmp_path, IndexDouble([alert]))
    log_in(client, tmp_path)
    for path in ("/", f"/alerts/{alert.id}", "/?q=" + XSS.replace("#", "%23").replace("&", "%26").replace("\x1b", "")):
        page = client.get(path).text
        assert "alert(1)" in page, "the text itself is shown"
        tags = Tags(page).seen
        assert not [
            tag for tag, attributes in tags if tag == "img" or any(name.startswith("on") for name in attributes)
        ]
        scripts = [attributes for tag, attributes in tags if tag == "script"]
        assert all(s.get("src", "").startswith("/static/") or s.get("type") == "application/json" for s in scripts)  # type: ignore[union-attr]
        links = [attributes["href"] or "" for tag, attributes in tags if tag == "a" and "href" in attributes]
        assert all(link.startswith(("/", "https://fine.example/", "#", "?step=")) for link in links), links
        assert "\u202e" not in page
        assert "\x1b" not in page
        assert "{{7*7}}" in page, "a template is not run"


def test_a_broken_member_registry_shows_ids_instead_of_names(analyst: TestClient, tmp_path: Path) -> None:
    (tmp_path / "members.yml").write_text("members: [{id: 5}]")
    page = analyst.get("/").text
    assert "kestrel-bank" in page
    (tmp_path / "members.yml").unlink()
    assert analyst.get("/").status_code == 200


def test_secrets_are_made_once_for_the_owner_only_and_the_password_is_not_stored_in_the_user_file(
    tmp_path: Path, index: IndexDouble
) -> None:
    create_app(settings_in(tmp_path), index, DocumentsDouble())
    files = [tmp_path / name for name in ("dashboard-password", "dashboard-users.yml", "dashboard-session-key")]
    before = [(path.stat().st_mode & 0o777, path.read_text()) for path in files]
    assert [mode for mode, _ in before] == [0o600] * 3
    assert before[0][1].strip() not in before[1][1]
    assert "$argon2id$" in before[1][1]
    create_app(settings_in(tmp_path), index, DocumentsDouble())
    assert [(path.stat().st_mode & 0o777, path.read_text()) for path in files] == before
