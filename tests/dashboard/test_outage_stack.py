"""Elasticsearch killed and started again under the pages: a banner, no trace, nothing lost."""

from __future__ import annotations

import re

import httpx2
import pytest
from playwright.sync_api import expect

from connectors.kafka import open_producer
from schemas.alert import Alert
from schemas.times import now_ms
from tests.alert_samples import make_alert
from tests.chromium import running_chromium
from tests.conditions import eventually
from tests.running_stack import RunningStack

pytestmark = pytest.mark.stack

LIVE_MS = 60_000
SCREENS = ("/", "/?group=key", "/members", "/rules", "/operations", "/exceptions", "/audit", "/api")
FEEDS = ("/api/queue", "/api/boards/rules", "/api/boards/operations", "/api/v1/alerts", "/api/v1/exceptions")


def publish(stack: RunningStack, name: str) -> Alert:
    alert = make_alert(name, start=now_ms() - 60_000, message=f"{name} at two banks")
    producer = open_producer(stack.kafka("pipeline"))
    producer.send("alerts", key=alert.id.encode(), value=alert.to_json()).get(30)
    producer.close()
    return alert


def log_in_wrongly(stack: RunningStack, name: str) -> None:
    """One log-in that is refused, and must stand in the audit."""
    with httpx2.Client(base_url=stack.settings.dashboard_url, timeout=30) as visitor:
        form = re.search(r'name="form_token" value="([0-9a-f]+)"', visitor.get("/login").text)
        assert form
        fields = {"name": name, "password": "wrong", "form_token": form[1], "next": "/"}
        assert visitor.post("/login", data=fields).status_code == 401


def says_it_is_away(program: httpx2.Client, path: str) -> bool:
    """Searches are shared for some seconds: until then an answer may be one of before."""
    answer = program.get(path)
    return (answer.status_code, list(answer.json())) == (503, ["error"])


def test_nothing_is_lost_and_everybody_is_told_while_elasticsearch_is_killed(
    stack: RunningStack, program: httpx2.Client
) -> None:
    word = f"outage{now_ms()}"
    before = publish(stack, f"{word} before")
    address = f"/api/v1/alerts/{before.id}"
    eventually(lambda: program.get(address).status_code == 200)
    assert program.post(f"{address}/workflow", json={"act": "acknowledge"}).json()["done"]
    eventually(lambda: before.id in program.get(f"/api/queue?q={word}").text)
    with running_chromium() as browser:
        page = browser.new_page()
        page.goto(stack.settings.dashboard_url)
        page.get_by_label("User name").fill("analyst")
        page.get_by_label("Password").fill((stack.settings.secrets / "dashboard-password").read_text().strip())
        page.get_by_role("button", name="Log in").click()
        page.goto(f"{stack.settings.dashboard_url}/?q={word}")
        expect(page.locator(f"tr[data-id='{before.id}']")).to_be_visible()

        stack.kill("elasticsearch")
        expect(page.locator("#banner")).to_contain_text("The alert index does not answer since", timeout=LIVE_MS)
        for path in (*SCREENS, f"/alerts/{before.id}"):
            answer = program.get(path)
            assert answer.status_code in (200, 503), path
            assert "Traceback" not in answer.text
            if answer.status_code == 503:
                banner = re.search(r'<div class="banner"[^>]*>', answer.text)
                assert banner, path
                assert "hidden" not in banner[0], path
        for path in (*FEEDS, address, f"{address}/findings", f"/api/alerts/{before.id}"):
            eventually(lambda path=path: says_it_is_away(program, path))
        refused = program.post(f"{address}/workflow", json={"act": "close", "seen": 1, "value": "drill"})
        assert refused.status_code == 503, "what cannot be kept is refused, not forgotten"
        meanwhile = publish(stack, f"{word} meanwhile")
        log_in_wrongly(stack, word)

        stack.start("elasticsearch")
        expect(page.locator("#banner")).to_be_hidden(timeout=LIVE_MS)
        page.get_by_role("button", name="1 new").click(timeout=LIVE_MS)
        expect(page.locator(f"tr[data-id='{meanwhile.id}']")).to_be_visible(timeout=LIVE_MS)
        browser.close()

    found = eventually(lambda: (all_of := program.get(f"/api/v1/alerts?q={word}").json()["alerts"])[1:] and all_of)
    assert {one["alert"]["event"]["id"] for one in found} == {before.id, meanwhile.id}
    workflow = program.get(address).json()["workflow"]
    assert (workflow["status"], [entry["deed"] for entry in workflow["history"]]) == ("acknowledged", ["acknowledged"])
    eventually(lambda: word in program.get("/audit").text)
    log = stack.log("dashboard")
    assert "dashboard.failed" not in log
    assert "dashboard.round_failed" not in log
