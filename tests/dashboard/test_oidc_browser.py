"""Logging in at an OpenID Connect provider in a real browser, which keeps cookies from other sites as browsers do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from dashboard.app import create_app
from schemas.times import now_ms
from tests.alert_samples import alert_id, stories
from tests.chromium import running_chromium
from tests.dashboard.documents_double import DocumentsDouble
from tests.dashboard.index_double import IndexDouble
from tests.dashboard.live_site import serving, settings_on_free_port
from tests.dashboard.oidc_provider import Provider, provider
from tests.dashboard.test_oidc import KIM, MEI, oidc_settings

pytestmark = pytest.mark.stack

LIN = {"preferred_username": "lin", "groups": ["soc-leads"]}
STRANGER = {"preferred_username": "someone", "groups": ["staff"]}
ROLES = [
    {"value": "soc-analysts", "role": "analyst"},
    {"value": "soc-leads", "role": "lead"},
    {"value": "kestrel", "role": "member_viewer", "member": "kestrel-bank"},
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as running:
        yield running


@dataclass(frozen=True, slots=True)
class Door:
    """A dashboard with a provider."""

    address: str
    provider: Provider
    browser: Browser

    def come(self, claims: dict[str, object], wanted: str = "/") -> Page:
        """Someone of whom the provider says this comes in, with a browser of their own."""
        self.provider.claims = claims
        page = self.browser.new_context().new_page()
        page.goto(self.address + wanted)
        page.get_by_role("link", name=re.compile("organisation")).click()
        expect(page).to_have_title("Provider")
        page.get_by_role("button", name="Continue").click()
        return page


@pytest.fixture
def door(tmp_path: Path, browser: Browser) -> Iterator[Door]:
    with provider() as one:
        settings = settings_on_free_port(tmp_path)
        address = f"http://127.0.0.1:{settings.port}"
        oidc = oidc_settings(tmp_path, one, redirect_uri=f"{address}/login/oidc/callback", roles=ROLES)
        app = create_app(settings.model_copy(update={"oidc": oidc}), IndexDouble(stories(now_ms())), DocumentsDouble())
        with serving(app):
            yield Door(address, one, browser)


def test_people_come_in_through_the_provider_each_with_the_rights_of_their_role(door: Door) -> None:
    mei = door.come(MEI, "/rules")
    expect(mei).to_have_title(re.compile("Rules"))
    assert refusal(mei, door.address + "/audit") == 403, "an analyst is no auditor"
    kim = door.come(KIM)
    expect(kim).to_have_url(door.address + "/own")
    assert refusal(kim, door.address + "/members") == 403, "a member viewer sees its own institution alone"


def refusal(page: Page, address: str) -> int:
    answer = page.goto(address)
    assert answer is not None
    return answer.status


def test_whom_no_role_fits_is_told_so_and_stays_outside(door: Door) -> None:
    page = door.come(STRANGER)
    expect(page.get_by_text("Ask the joint SOC for a role")).to_be_visible()
    page.goto(door.address + "/")
    expect(page.get_by_label("User name")).to_be_visible()


def test_an_alert_is_given_to_somebody_whom_only_the_provider_knows(door: Door) -> None:
    expect(door.come(MEI)).to_have_title(re.compile("Queue"))
    lin = door.come(LIN, f"/alerts/{alert_id('transfer')}")
    choice = lin.get_by_label("Assigned to")
    expect(choice.get_by_role("option")).to_have_text(["nobody", "analyst", "lin", "mei"])
    choice.select_option("mei")
    expect(lin.locator(".history")).to_contain_text("mei")
    expect(lin.get_by_label("Assigned to")).to_have_value("mei")
