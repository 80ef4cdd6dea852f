"""Logging in at an OpenID Connect provider."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from joserfc.jwk import RSAKey
from pydantic import ValidationError

from dashboard.app import create_app
from dashboard.colleagues import colleagues
from dashboard.oidc import OidcSettings
from schemas.times import now_ms
from tests.alert_samples import stories
from tests.dashboard.documents_double import DocumentsDouble
from tests.dashboard.index_double import IndexDouble, log_in, settings_in
from tests.dashboard.oidc_provider import CLIENT, SECRET, Provider, provider

MEI = {"preferred_username": "Mei", "groups": ["staff", "soc-analysts"]}
KIM = {"preferred_username": "kim", "groups": ["kestrel"]}


@pytest.fixture(scope="module")
def the_provider() -> Iterator[Provider]:
    with provider() as one:
        yield one


def oidc_settings(folder: Path, one: Provider, **changes: Any) -> OidcSettings:
    secret = folder / "client-secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    return OidcSettings.model_validate(
        {
            "issuer": one.address,
            "client_id": CLIENT,
            "client_secret_file": secret,
            "redirect_uri": "http://127.0.0.1:19080/login/oidc/callback",
            "name_claim": "preferred_username",
            "role_claim": "groups",
            "roles": [
                {"value": "soc-analysts", "role": "analyst"},
                {"value": "kestrel", "role": "member_viewer", "member": "kestrel-bank"},
            ],
        }
        | changes
    )


def site_with(folder: Path, oidc: OidcSettings) -> TestClient:
    settings = settings_in(folder).model_copy(update={"oidc": oidc})
    app = create_app(settings, IndexDouble(stories(now_ms())), DocumentsDouble())
    return TestClient(app, base_url="http://127.0.0.1:19080", follow_redirects=False)


@pytest.fixture
def client(tmp_path: Path, the_provider: Provider) -> TestClient:
    the_provider.claims, the_provider.signs_with = MEI, None
    return site_with(tmp_path, oidc_settings(tmp_path, the_provider))


def come_back(client: TestClient, one: Provider, wanted: str = "/") -> Any:
    to_provider = client.get("/login/oidc", params={"next": wanted})
    assert to_provider.status_code == 303
    return client.get(one.log_in(to_provider.headers["location"]))


def test_whoever_the_provider_knows_comes_in_with_the_role_of_the_claims(
    client: TestClient, the_provider: Provider
) -> None:
    assert "/login/oidc?next=/rules" in client.get("/login", params={"next": "/rules"}).text
    answer = come_back(client, the_provider, "/rules")
    assert answer.headers["refresh"] == "0; url=/rules"
    assert client.get("/").status_code == 200
    assert client.get("/audit").status_code == 403
    audit = client.app.state.site.audit.newest(10)  # type: ignore[attr-defined]
    assert ("mei", "login", "oidc") in {(entry.who, entry.action, entry.target) for entry in audit}


def test_a_member_viewer_of_the_provider_sees_its_own_institution_alone(
    client: TestClient, the_provider: Provider
) -> None:
    the_provider.claims = KIM
    come_back(client, the_provider)
    assert client.get("/own").status_code == 200
    assert client.get("/members").status_code == 403


@pytest.mark.parametrize(
    "claims",
    [
        {"groups": ["staff"]},
        {"groups": None},
        {"groups": {"soc-analysts": True}},
        {"preferred_username": ""},
        {"preferred_username": "<b>"},
        {"preferred_username": ["mei"]},
        {"preferred_username": "analyst"},
        {"iss": "https://elsewhere.example"},
        {"aud": "another-program"},
        {"azp": "another-program"},
        {"nonce": "of another errand"},
        {"exp": 1},
        {"exp": None},
    ],
    ids=str,
)
def test_claims_that_are_not_good_let_nobody_in(
    client: TestClient, the_provider: Provider, claims: dict[str, Any]
) -> None:
    the_provider.claims = MEI | claims
    answer = come_back(client, the_provider)
    assert answer.status_code == 403
    assert "Ask the joint SOC for a role" in answer.text
    assert client.get("/").status_code == 303
    assert client.app.state.site.audit.newest(1)[0].action == "login_failed"  # type: ignore[attr-defined]


def test_a_token_signed_with_a_foreign_key_lets_nobody_in(client: TestClient, the_provider: Provider) -> None:
    the_provider.signs_with = RSAKey.generate_key(2048, parameters={"kid": "first"})
    assert come_back(client, the_provider).status_code == 403


def test_a_provider_may_change_its_key_at_any_time(client: TestClient, the_provider: Provider) -> None:
    assert come_back(client, the_provider).status_code == 200
    client.cookies.clear()
    the_provider.key = RSAKey.generate_key(2048, parameters={"kid": "second"})
    assert come_back(client, the_provider).status_code == 200


def test_an_answer_counts_once_and_only_for_the_browser_that_asked(
    client: TestClient, the_provider: Provider, tmp_path: Path
) -> None:
    begun = client.get("/login/oidc")
    back = the_provider.log_in(begun.headers["location"])
    other = TestClient(client.app, base_url="http://127.0.0.1:19080", follow_redirects=False)
    assert other.get(back).status_code == 403
    other.get("/login/oidc")
    assert other.get(back).status_code == 403  # an errand of its own, with another state
    assert client.get(back).status_code == 200
    client.cookies.clear()
    assert client.get(back).status_code == 403


def test_a_role_taken_from_the_configuration_ends_the_sessions_that_had_it(
    client: TestClient, the_provider: Provider, tmp_path: Path
) -> None:
    come_back(client, the_provider)
    without = [{"value": "kestrel", "role": "member_viewer", "member": "kestrel-bank"}]
    later = site_with(tmp_path, oidc_settings(tmp_path, the_provider, roles=without))
    later.cookies.update(client.cookies)
    assert client.get("/").status_code == 200
    assert later.get("/").status_code == 303


def test_the_password_still_works_while_the_provider_is_away(tmp_path: Path) -> None:
    client = site_with(tmp_path, oidc_settings(tmp_path, Provider("http://127.0.0.1:9")))
    answer = client.get("/login/oidc")
    assert answer.status_code == 503
    assert "or use a password" in answer.text
    assert log_in(client, tmp_path) == 303
    assert client.get("/").status_code == 200


def test_a_link_from_elsewhere_to_the_log_in_page_ends_no_session(tmp_path: Path, client: TestClient) -> None:
    assert log_in(client, tmp_path) == 303
    kept = dict(client.cookies)
    client.cookies.clear()  # as a browser does with strict cookies
    set_there = client.get("/login").cookies
    client.cookies.update(kept | dict(set_there))
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"roles": []},
        {"issuer": "http://sso.example"},
        {"roles": [{"value": "x", "role": "member_viewer"}]},
        {"roles": [{"value": "x", "role": "root"}]},
    ],
    ids=str,
)
def test_settings_that_would_let_the_wrong_people_in_are_refused(
    tmp_path: Path, the_provider: Provider, changes: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        oidc_settings(tmp_path, the_provider, **changes)


def test_people_of_the_provider_can_be_given_an_alert(client: TestClient, the_provider: Provider) -> None:
    come_back(client, the_provider)
    other = TestClient(client.app, base_url="http://127.0.0.1:19080", follow_redirects=False)
    the_provider.claims = KIM
    come_back(other, the_provider)
    assert colleagues(client.app.state.site) == ["analyst", "mei"]  # type: ignore[attr-defined]
