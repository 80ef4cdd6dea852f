"""The dashboard in a real Chromium: over an index in memory, and once over the whole stack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from connectors.kafka import open_producer
from dashboard.accounts import Accounts
from dashboard.rights import Role
from deploy.local.settings import project_root
from schemas.alert import Alert
from schemas.times import now_ms
from tests.alert_samples import alert_id, make_alert, stories
from tests.chromium import running_chromium
from tests.dashboard.documents_double import DocumentsDouble
from tests.dashboard.index_double import IndexDouble
from tests.dashboard.live_site import live_site
from tests.running_stack import RunningStack

pytestmark = pytest.mark.stack

LIVE_MS = 8000
"""Updates come every second; a busy machine gets more time."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as running:
        yield running


@pytest.fixture
def index() -> IndexDouble:
    return IndexDouble(stories(now_ms()))


@pytest.fixture
def documents() -> DocumentsDouble:
    return DocumentsDouble()


@pytest.fixture
def site(tmp_path: Path, index: IndexDouble, documents: DocumentsDouble) -> Iterator[str]:
    with live_site(tmp_path, index, documents) as address:
        yield address


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport={"width": 1280, "height": 800})
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext, site: str, tmp_path: Path) -> Iterator[Page]:
    """Logged in, at the queue; fails if the browser had anything to complain about."""
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: complaints.append(message.text) if "Security Policy" in message.text else None)
    opened.on("dialog", lambda dialog: complaints.append("a script of an event ran") or dialog.dismiss())
    log_in(opened, site, tmp_path / "dashboard-password")
    yield opened
    assert complaints == []


def log_in(page: Page, address: str, password_file: Path) -> None:
    page.goto(address + "/")
    page.get_by_label("User name").fill("analyst")
    page.get_by_label("Password").fill(password_file.read_text().strip())
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_title(re.compile("Queue"))
    page.wait_for_load_state()  # keys pressed before the scripts are there would be lost
    page.wait_for_load_state("load")  # the title is there before the scripts that listen for keys


def shown(page: Page) -> list[str]:
    return page.eval_on_selector_all("#queue tbody tr.a", "rows => rows.map(row => row.dataset.id)")


def test_a_wrong_password_stays_outside(context: BrowserContext, site: str) -> None:
    page = context.new_page()
    page.goto(site + "/alerts/" + alert_id("transfer"))
    page.get_by_label("User name").fill("analyst")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("User name or password is wrong.")


def test_the_keyboard_alone_finds_and_opens_an_alert_and_comes_back_to_it(page: Page) -> None:
    ids = shown(page)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    wanted = page.locator("tr.cur").get_attribute("data-id")
    assert wanted == ids[1]
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/alerts/{wanted}$"))
    page.wait_for_load_state()
    page.keyboard.press("g")
    page.keyboard.press("q")
    expect(page.locator("tr.cur")).to_have_attribute("data-id", wanted)


def test_the_preview_shows_the_order_of_spread_of_the_row_under_the_cursor(page: Page) -> None:
    page.locator(f"tr[data-id='{alert_id('transfer')}'] td.c-n").click()
    expect(page.locator("#preview h2")).to_contain_text("then a transfer at Kestrel Bank")
    names = page.locator("#preview .order .nm").all_text_contents()
    assert names == [
        "Bank Aurora",
        "Meridian Bank",
        "Aurora Securities",
        "cobalt-bank",
        "harbor-securities",
        "Kestrel Bank",
    ]
    expect(page.locator("#preview .order")).to_contain_text("same group")


def test_filters_narrow_the_list_and_stay_in_the_address(page: Page) -> None:
    page.get_by_role("link", name=re.compile("Critical and high")).click()
    expect(page.locator("#summary")).to_contain_text("4 alerts, ")
    page.locator("#filters summary", has_text="Level").click()
    page.locator("#filters input[name=level][value=high]").uncheck()
    expect(page.locator("#summary")).to_contain_text("2 alerts, ")
    page.wait_for_load_state()
    page.keyboard.press("/")
    page.keyboard.type("web shell")
    page.keyboard.press("Enter")
    expect(page.locator("#summary")).to_contain_text("1 alert, ")
    assert "level=critical" in page.url


def test_a_row_changes_in_place_and_new_alerts_wait_until_they_are_asked_for(page: Page, index: IndexDouble) -> None:
    before = shown(page)
    page.keyboard.press("j")
    cursor = page.locator("tr.cur").get_attribute("data-id")
    grown = make_alert(
        "ddos", spread=(("cobalt-bank", 0, 4, 9), ("meridian-bank", 6, 11, 1100)), start=now_ms() - 700_000
    )
    fresh = make_alert("fresh", start=now_ms(), message="Brand new", level="critical")
    index.alerts = [fresh, *(grown if alert.id == grown.id else alert for alert in index.alerts)]
    row = page.locator(f"tr[data-id='{grown.id}']")
    expect(row.locator("[data-f=hits]")).to_have_text("1,109", timeout=LIVE_MS)
    expect(page.get_by_role("button", name="1 new")).to_be_visible(timeout=LIVE_MS)
    assert shown(page) == before, "nothing moves under the hand"
    expect(page).to_have_title(re.compile(r"^\(1\)"))
    page.keyboard.press(".")
    expect(page.locator("#queue tbody tr").first).to_contain_text("Brand new")
    assert page.locator("tr.cur").get_attribute("data-id") == cursor, "the cursor belongs to the alert"
    expect(page.get_by_role("button", name="1 new")).to_be_hidden()


def test_a_row_that_no_longer_fits_stays_dimmed_until_the_list_is_placed_anew(page: Page, index: IndexDouble) -> None:
    index.alerts = [alert for alert in index.alerts if alert.id != alert_id("scanner")]
    row = page.locator(f"tr[data-id='{alert_id('scanner')}']")
    expect(row).to_have_class(re.compile("gone"), timeout=LIVE_MS)
    page.keyboard.press(".")
    expect(row).to_have_count(0)


def test_an_index_that_is_away_is_told_and_noticed_when_it_is_back(page: Page, index: IndexDouble) -> None:
    before = shown(page)
    index.away = True
    expect(page.locator("#banner")).to_be_visible(timeout=LIVE_MS)
    expect(page.locator("#banner")).to_contain_text("The alert index does not answer since")
    expect(page.locator("#live")).to_contain_text("Paused at")
    assert shown(page) == before
    index.away = False
    expect(page.locator("#banner")).to_be_hidden(timeout=LIVE_MS)
    expect(page.locator("#live")).to_contain_text("Live")


def test_a_page_opened_while_the_index_is_away_fills_itself_when_it_is_back(page: Page, index: IndexDouble) -> None:
    index.away = True
    page.reload()
    expect(page.locator("#banner")).to_be_visible()
    index.away = False
    expect(page.locator("#queue tbody tr")).to_have_count(6, timeout=LIVE_MS)


def test_an_open_alert_says_that_it_grew_and_shows_it_when_asked(page: Page, index: IndexDouble, site: str) -> None:
    page.goto(f"{site}/alerts/{alert_id('ddos')}")
    grown = make_alert(
        "ddos", spread=(("cobalt-bank", 0, 4, 9), ("meridian-bank", 6, 11, 1100)), start=now_ms() - 700_000
    )
    index.alerts = [grown if alert.id == grown.id else alert for alert in index.alerts]
    expect(page.locator("#news")).to_contain_text("1,109 hits", timeout=LIVE_MS)
    page.keyboard.press(".")
    expect(page.locator(".kf")).to_contain_text("1,109")


def test_hostile_text_in_a_live_update_stays_text(page: Page, index: IndexDouble) -> None:
    nasty = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    hostile = make_alert(
        "hostile", start=now_ms(), message=nasty, rule=nasty, group_by={nasty: nasty}, detections=(nasty,)
    )
    for member in hostile.jointsoc.members:
        member.id = nasty
    index.alerts = [hostile, *index.alerts]
    page.get_by_role("button", name="1 new").click(timeout=LIVE_MS)
    row = page.locator("#queue tbody tr").first
    expect(row.locator(".reason")).to_have_text("<img src=x onerror=aler…")
    row.locator("td.c-n").click()
    expect(page.locator("#preview [data-p=rule]")).to_have_text(nasty)
    page.keyboard.press("Enter")
    expect(page.locator(".rule-name")).to_have_text(nasty)
    assert page.locator("img").count() == 0


def test_the_chosen_theme_is_kept(page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    page.keyboard.press("Shift+T")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def log_in_as(context: BrowserContext, site: str, folder: Path, role: Role, member: str = "") -> Page:
    name = f"{role.replace('_', '-')}-{len(context.browser.contexts)}"  # type: ignore[union-attr]
    password = Accounts(folder).add(name, role, member)
    page = context.new_page()
    page.goto(site + "/")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("header.top")).to_be_visible()
    return page


def test_the_keyboard_alone_works_an_alert_from_open_to_closed(page: Page) -> None:
    wanted = alert_id("ddos")
    expect(page.locator("tr.cur")).to_have_attribute("data-id", wanted)
    row = page.locator(f"tr[data-id='{wanted}']")
    page.keyboard.press("a")
    expect(row.locator(".st")).to_have_text("Acknowledged", timeout=LIVE_MS)
    expect(page.locator("#outcome")).to_have_text("Done: 1")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("DDoS alarms")
    page.wait_for_load_state()
    page.keyboard.press("c")
    page.keyboard.type("False")
    page.keyboard.press("Tab")
    page.keyboard.type("a load test of ours")
    page.keyboard.press("Enter")
    expect(page.locator(".history")).to_contain_text("a load test of ours")
    expect(page.locator(".history")).to_contain_text("False positive")
    page.wait_for_load_state()
    page.keyboard.press("g")
    page.keyboard.press("q")
    expect(page.locator("#queue")).to_be_visible()
    page.wait_for_load_state()
    assert wanted not in shown(page)


def test_many_alerts_are_selected_closed_and_the_closing_undone(page: Page) -> None:
    before = shown(page)
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("#picked")).to_have_text("2 selected")
    page.keyboard.press("c")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#queue tbody tr.gone")).to_have_count(2, timeout=LIVE_MS)
    page.keyboard.press("Escape")
    page.locator("body").click(position={"x": 5, "y": 400})
    page.keyboard.press("z")
    expect(page.locator("#queue tbody tr.gone")).to_have_count(0, timeout=LIVE_MS)
    assert shown(page) == before


def test_two_analysts_in_conflict_see_who_did_what_and_overwrite_nothing(
    page: Page, browser: Browser, site: str, tmp_path: Path
) -> None:
    address = f"{site}/alerts/{alert_id('ddos')}"
    with browser.new_context() as second:
        other = log_in_as(second, site, tmp_path, "analyst")
        page.goto(address)
        other.goto(address)
        other.locator("#note").fill("a note I am still writing")
        page.keyboard.press("a")
        expect(page.locator("#work-h + .note")).to_have_text("Acknowledged")
        expect(other.locator("#news")).to_contain_text("analyst: Acknowledged", timeout=LIVE_MS)
        expect(other.locator("#note")).to_have_value("a note I am still writing")
        other.locator(".crumb [data-act=acknowledge]").click()
        expect(other.locator("#outcome")).to_contain_text("analyst changed this at")
        other.get_by_role("button", name="Add the note").click()
        expect(other.locator(".notes")).to_contain_text("a note I am still writing")
        expect(other.locator("#work-h + .note")).to_have_text("Acknowledged")


def test_institutions_are_told_and_a_viewer_answers_without_seeing_others(
    page: Page, browser: Browser, site: str, tmp_path: Path
) -> None:
    page.goto(f"{site}/alerts/{alert_id('transfer')}")
    page.locator("#asked").fill("Did the transfer go out?")
    page.get_by_role("button", name="Notify").click()
    expect(page.locator(".answers > li")).to_have_count(6)
    with browser.new_context() as theirs:
        viewer = log_in_as(theirs, site, tmp_path, "member_viewer", "kestrel-bank")
        expect(viewer.locator("main")).to_contain_text("Did the transfer go out?")
        expect(viewer.locator("body")).not_to_contain_text("Aurora")
        viewer.get_by_label("Your answer").select_option("confirmed")
        viewer.get_by_label(re.compile("incident number")).fill("INC-9")
        viewer.get_by_role("button", name="Answer").click()
        expect(viewer.locator("main")).to_contain_text("INC-9")
        assert Axe().run(viewer).response["violations"] == []
    page.reload()
    expect(page.locator(".answers")).to_contain_text("INC-9")


def test_a_board_changes_while_it_is_open(page: Page, site: str, index: IndexDouble) -> None:
    page.goto(site + "/rules")
    index.alerts = [make_alert("one more", start=now_ms()), *index.alerts]
    expect(page.locator("[data-cell=alerts]")).to_have_text("7", timeout=LIVE_MS)


def test_an_alert_on_the_topic_is_found_and_read_by_an_analyst(stack: RunningStack, browser: Browser) -> None:
    alert = a_spray_at_the_stacks_members()
    producer = open_producer(stack.kafka("pipeline"))
    producer.send("alerts", key=alert.id.encode(), value=alert.to_json()).get(30)
    producer.close()
    pictures = project_root() / ".jointsoc" / "screenshots"
    pictures.mkdir(parents=True, exist_ok=True)
    with browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="dark") as context:
        page = context.new_page()
        log_in(page, stack.settings.dashboard_url, stack.settings.secrets / "dashboard-password")
        page.goto(stack.settings.dashboard_url + "/?q=browser-test")
        link = page.get_by_role("link", name=alert.message)
        expect(link).to_be_visible(timeout=15_000)
        page.screenshot(path=pictures / "stack-queue.png")
        link.click()
        expect(page.locator("h1")).to_have_text(alert.message)
        assert page.locator("#mx tr[data-member] th, .lanes tbody tr:not(.groups) th").evaluate_all(
            "cells => cells.map(cell => cell.firstChild.textContent)"
        ) == ["Heron Bank", "Kestrel Bank", "Heron Life"]
        page.screenshot(path=pictures / "stack-alert.png", full_page=True)


def a_spray_at_the_stacks_members() -> Alert:
    """One alert that names members of the test stack, and is found by a text no other alert holds."""
    alert = make_alert(
        f"browser {now_ms()}",
        spread=(("heron-bank", 0, 4, 30), ("kestrel-bank", 2, 5, 21), ("heron-life", 3, 3.5, 7)),
        start=now_ms() - 600_000,
        message="browser-test: one address failed 58 log-ins at 3 institutions",
        rule="Browser test",
    )
    for member in alert.jointsoc.members:
        member.group = "heron" if member.id.startswith("heron") else member.id
    alert.jointsoc.groups = 2
    return alert
