"""`jsoc demo --check`, as a newcomer runs it: real servers, six forwarder processes, a stack of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from deploy.demo.institutions import load_institutions
from deploy.local import processes
from deploy.local.settings import load_stack_settings, project_root
from tests.chromium import running_chromium
from tests.running_stack import free_port_base

SECONDS = 900
STUFFED = [re.compile(name) for name in ("^Kestrel", "^Harbor", "^Juniper", "^Cobalt")]
"""Where stolen passwords were tried, in this order."""
INSTITUTION = re.compile("bank|securities|insurer")
Place = dict[str, str]


def jsoc(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    return subprocess.run(command, env=place, capture_output=True, text=True, timeout=SECONDS, check=False)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    root = project_root() / ".jointsoc"
    own = {
        "JSOC_HOME": str(root / "test-demo"),
        "JSOC_JVM_HOME": os.environ.get("JSOC_JVM_HOME") or str(root / "jvm"),
        "JSOC_PORT_BASE": str(free_port_base()),
    }
    place = {**os.environ, **own}
    jsoc(place, "down", "--wipe", "--yes")
    yield place
    jsoc(place, "down", "--wipe", "--yes")


@pytest.fixture(scope="module")
def played(place: Place) -> list[subprocess.CompletedProcess[str]]:
    """The demo's stories, twice; the servers stay up."""
    return [jsoc(place, "demo", "--check", "--speed", "2") for _ in range(2)]


@pytest.mark.stack
def test_the_demo_raises_exactly_the_alerts_it_promises_twice_and_leaves_the_servers_up(
    place: Place, played: list[subprocess.CompletedProcess[str]]
) -> None:
    for run in played:
        assert run.returncode == 0, f"{run.stdout[-6000:]}\n{run.stderr[-3000:]}"
        assert "exactly those that the stories promise" in run.stdout
    listed = jsoc(place, "alerts", "list", "--format", "json", "--limit", "100")
    alerts = [json.loads(line) for line in listed.stdout.splitlines()]
    assert len([alert for alert in alerts if alert["jointsoc"]["alert"]["state"] != "superseded"]) == 9
    shown = jsoc(place, "alerts", "show", alerts[0]["event"]["id"], "--evidence", "--format", "json")
    originals = json.loads(shown.stdout)["originals"]
    for evidence, original in zip(alerts[0]["jointsoc"]["evidence"], originals, strict=True):
        assert evidence["event_id"] in original["pretty"]
    for institution in load_institutions():
        letters = Path(place["JSOC_HOME"]) / "demo" / institution.id / "forwarder" / "dead-letters.ndjson"
        assert not letters.exists() or not letters.read_bytes()
    status = json.loads(jsoc(place, "status", "--format", "json").stdout)
    running = {row["process"] for row in status if row["state"] == "running"}
    assert {"kafka", "elasticsearch", "job", "dashboard"} <= running
    assert not processes.find_processes(load_stack_settings(place), "forwarder-kestrel-bank")


@pytest.mark.stack
@pytest.mark.usefixtures("played")
def test_somebody_new_finds_the_campaign_sees_its_spread_tells_the_institutions_and_closes_it(place: Place) -> None:
    settings = load_stack_settings(place)
    with running_chromium() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda told: complaints.append(told.text) if told.type in ("error", "warning") else None)
        page.goto(settings.dashboard_url)
        page.get_by_label("User name").fill("analyst")
        page.get_by_label("Password").fill((settings.secrets / "dashboard-password").read_text().strip())
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("#queue tbody tr.a")).to_have_count(9)
        keep(page, "1-queue")

        page.locator("#queue tbody tr.a").filter(has_text="transfer").first.get_by_role("link").first.click()
        expect(page.locator("#mx tbody th").filter(has_text=INSTITUTION)).to_have_text(STUFFED)
        page.get_by_role("button", name="Event").first.click()
        expect(page.locator("tr.raw pre")).to_contain_text("event.action")
        keep(page, "2-alert")
        page.locator("#asked").fill("Did the transfer go out?")
        page.get_by_role("button", name="Notify").click()
        expect(page.locator(".answers > li")).to_have_count(len(STUFFED))
        expect(page.locator(".history")).to_contain_text("Did the transfer go out?")

        page.locator("#closing summary").click()
        page.locator("#close-form select").select_option("true_positive")
        page.locator("#close-form input").fill("accounts blocked")
        page.locator("#close-form button").click()
        expect(page.locator("#work-h + .note")).to_have_text("Closed")
        keep(page, "3-closed")
        for name in ("Institutions", "Rules", "Operations", "Queue"):
            page.get_by_role("navigation").get_by_role("link", name=name).first.click()
            expect(page).to_have_title(re.compile(name))
            keep(page, f"4-{name.lower()}")
        expect(page.locator("#queue tbody tr.a")).to_have_count(8)
        browser.close()
    assert complaints == []


def keep(page: Page, name: str) -> None:
    """A picture of what somebody new sees."""
    page.wait_for_load_state("networkidle")
    pictures = project_root() / ".jointsoc" / "screenshots"
    pictures.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=pictures / f"walk-{name}.png", full_page=True)
