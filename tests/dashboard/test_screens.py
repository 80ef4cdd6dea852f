"""Every screen on a busy day: accessible, within its window, and its picture kept for people to look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from connectors.event_reader import EventReader
from deploy.local.settings import project_root
from schemas.times import now_ms
from tests.alert_samples import alert_id, make_alert
from tests.chromium import running_chromium
from tests.dashboard.index_double import IndexDouble
from tests.dashboard.live_site import BusySite, busy_site, live_site

pytestmark = pytest.mark.stack

PICTURES = project_root() / ".jointsoc" / "screenshots"
SCREENS = {
    "queue": "/?group=key",
    "queue-empty": "/?q=nothing",
    "alert": f"/alerts/{alert_id('transfer')}",
    "alert-without-counts": f"/alerts/{alert_id('older')}",
    "nowhere": "/nowhere",
    "members": "/members",
    "members-by-group": "/members?by=group&span=6h",
    "rules": "/rules",
    "operations": "/operations",
    "exceptions": "/exceptions",
    "audit": "/audit",
    "api": "/api",
}
LOOKS: list[tuple[int, Literal["dark", "light"], str]] = [
    (1280, "dark", "en-GB"),
    (1280, "light", "zh-TW"),
    (390, "light", "en-GB"),
    (390, "dark", "zh-TW"),
]


BACKGROUNDS = {"dark": "rgb(14, 19, 21)", "light": "rgb(237, 241, 240)"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("busy")


@pytest.fixture(scope="module")
def busy(folder: Path) -> Iterator[BusySite]:
    with busy_site(folder) as site:
        yield site


@pytest.mark.parametrize(("width", "scheme", "locale"), LOOKS)
def test_every_screen_of_a_busy_day_is_accessible_and_fits(
    browser: Browser, busy: BusySite, folder: Path, width: int, scheme: Literal["dark", "light"], locale: str
) -> None:
    faults: list[tuple[str, str, str]] = []

    def look(page: Page, name: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / f"{name}-{width}-{scheme}-{locale[:2]}.png", full_page=True)
        found = Axe().run(page).response["violations"]
        if page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != BACKGROUNDS[scheme]:
            faults.append((name, f"not {scheme}", ""))
        faults.extend((name, fault["id"], fault["nodes"][0]["html"]) for fault in found)
        if page.evaluate("document.documentElement.scrollWidth") > width:
            faults.append((name, "wider than its window", ""))

    size = {"width": width, "height": 844}
    with browser.new_context(viewport=size, color_scheme=scheme, locale=locale) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(busy.address + "/login")
        look(page, "login")
        enter(page, "analyst", (folder / "dashboard-password").read_text().strip())
        for name, path in SCREENS.items():
            page.goto(busy.address + path)
            if name == "queue" and width > 1100:
                expect(page.locator("[data-b=before]")).not_to_be_empty()
            look(page, name)
        page.goto(busy.address + "/")
        busy.index.away = True
        expect(page.locator("#banner")).to_be_visible()
        look(page, "queue-degraded")
        busy.index.away = False
        page.context.clear_cookies()
        page.goto(busy.address + "/login")
        enter(page, "kim", busy.viewer_password)
        look(page, "own")
    assert faults == []


def enter(page: Page, name: str, password: str) -> None:
    page.locator("input[name=name]").fill(name)
    page.locator("input[name=password]").fill(password)
    page.locator("form[action='/login'] button[type=submit]").click()
    expect(page.locator("header.top")).to_be_visible()
    page.wait_for_load_state()


def test_the_matrix_is_walked_with_arrows_and_a_cell_filters_the_evidence(
    browser: Browser, busy: BusySite, folder: Path
) -> None:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        page.goto(f"{busy.address}/login?next=/alerts/{alert_id('transfer')}")
        enter(page, "analyst", (folder / "dashboard-password").read_text().strip())
        every = page.locator("[data-evidence]").count()
        first = page.locator("#mx td[data-start]").first
        first.focus()
        expect(first).to_have_attribute("tabindex", "0")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Enter")
        expect(page.locator("[data-evidence]:visible")).to_have_count(1)
        expect(page.locator("[data-evidence]:visible")).to_contain_text("Bank Aurora")
        page.get_by_role("button", name="Show all").click()
        expect(page.locator("[data-evidence]:visible")).to_have_count(every)


def test_evidence_is_kept_or_left_out_by_a_value_of_a_line_or_of_an_event(
    browser: Browser, busy: BusySite, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EventReader, "line", a_transfer_at_kestrel)
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        page.goto(f"{busy.address}/login?next=/alerts/{alert_id('transfer')}")
        enter(page, "analyst", (folder / "dashboard-password").read_text().strip())
        lines = page.locator("[data-evidence]:visible")
        every = lines.count()
        page.get_by_role("button", name="Kestrel Bank").first.click()
        page.get_by_role("button", name="Without this value").click()
        expect(lines.filter(has_text="Kestrel Bank")).to_have_count(0)
        page.get_by_role("button", name="Show all").click()
        expect(lines).to_have_count(every)
        page.locator(".raw-open").last.click()
        page.get_by_role("button", name='"transfer"').click()
        expect(page.locator("#chosen-find")).to_have_attribute("href", "/?q=transfer")
        page.get_by_role("button", name="Only this value").click()
        expect(page.locator("#evidence-note")).to_have_text('1 shown: event.action = "transfer"')
        expect(page.locator("tr.raw pre")).to_contain_text("12345678901234567890")
        columns = page.locator("#mx thead .on")
        minutes = columns.count()
        page.get_by_role("link", name="1 h", exact=True).click()
        expect(page.get_by_role("link", name="1 h", exact=True)).to_have_attribute("aria-current", "true")
        assert 1 < columns.count() < minutes / 4


def a_transfer_at_kestrel(_reader: EventReader, _topic: str, _partition: int, offset: int, _line: int) -> bytes:
    """An event whose number no script could keep; the last one of the evidence is the transfer."""
    action = "transfer" if offset > 18_206_999 else "login"
    return b'{"event": {"action": "%s"}, "sequence": 12345678901234567890}' % action.encode()


NASTY = (
    "W" * 300,
    "<b>x</b><script>alert(1)</script>" * 4,
    "\u202eelpmaxe \u05e9\u05dc\u05d5\u05dd",
    "\U0001f525" * 90,
)
"""Unbroken, HTML, right to left, emoji."""


@pytest.mark.parametrize("width", [390, 1280])
def test_values_that_nobody_should_send_stay_within_their_columns(browser: Browser, tmp_path: Path, width: int) -> None:
    alerts = [
        make_alert(f"nasty {n}", start=now_ms() - 3_600_000, message=text, rule=text, detections=(text, text),
                   group_by={text[:100]: text}, spread=[(f"member-{m}", m, m + 9, 30) for m in range(len(NASTY))])
        for n, text in enumerate(NASTY)
    ]  # fmt: skip
    for alert, text in zip(alerts, NASTY, strict=True):
        alert.threat.tactic.name = alert.threat.technique.id = alert.rule.author = [text]
        alert.rule.description = alert.rule.version = alert.jointsoc.pack = text
    members = [{"id": f"member-{m}", "name": text, "datasets": [text[:80]]} for m, text in enumerate(NASTY)]
    wide = []
    with live_site(tmp_path, IndexDouble(alerts)) as address, browser.new_context() as context:
        (tmp_path / "members.yml").write_text(yaml.safe_dump({"members": members}))
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 844})
        page.goto(address + "/login")
        enter(page, "analyst", (tmp_path / "dashboard-password").read_text().strip())
        for path in ("/?group=key", "/members?by=dataset", "/rules", *(f"/alerts/{alert.id}" for alert in alerts)):
            page.goto(address + path)
            if page.evaluate("document.documentElement.scrollWidth") > width:
                wide.append(path)
    assert wide == []


def test_who_never_saw_it_finds_the_campaign_tells_the_institutions_and_closes_it(
    browser: Browser, busy: BusySite, folder: Path
) -> None:
    """By keyboard alone: the queue by urgency, the preview with the order of spread, notify, open, close."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        page.goto(busy.address + "/login")
        enter(page, "analyst", (folder / "dashboard-password").read_text().strip())
        page.keyboard.press("/")
        page.keyboard.type("203.0.113.77 failed")
        page.keyboard.press("Enter")
        expect(page.locator("#summary")).to_contain_text("1 alert, ")
        page.wait_for_load_state()
        expect(page.locator("#preview .order .nm").first).to_have_text("Bank Aurora")
        page.keyboard.press("n")
        expect(page.locator("#tell-who")).to_have_text("6 institutions are told their own part")
        page.keyboard.type("Please block this address.")
        page.keyboard.press("Enter")
        expect(page.locator("#outcome")).to_have_text("Done: 1")
        page.locator("tr.cur .reason").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#mx tr[data-member]")).to_have_count(6)
        expect(page.locator(".answers > li")).to_have_count(6)
        page.wait_for_load_state()
        page.keyboard.press("c")
        page.keyboard.type("True")
        page.keyboard.press("Tab")
        page.keyboard.type("six institutions, told")
        page.keyboard.press("Enter")
        expect(page.locator(".history")).to_contain_text("six institutions, told")
