"""Logging in at an OpenID Connect provider, and coming back from it."""

from __future__ import annotations

from typing import Final

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from dashboard.accounts import Account
from dashboard.language import say
from dashboard.login_pages import form_page
from dashboard.oidc import Errand, Oidc, OidcRefused
from dashboard.site import Site, SiteOf, address_of, own_path
from schemas.errors import ConnectionError_

log = structlog.get_logger()
router = APIRouter()

ERRAND_SECONDS: Final = 600
PATH: Final = "/login/oidc"
AUDITED_AS: Final = "oidc"
"""The target of an entry of the audit: how somebody came in, with the role as its detail."""


@router.get(PATH)
def to_provider(request: Request, site: SiteOf) -> Response:
    """Send the person to the provider, with what must come back in a cookie of its own.

    The session's cookie is `strict`, so that the browser would leave it out when the provider sends the person back.
    """
    wanted = own_path(request.query_params.get("next", "/"))
    if site.oidc is None:
        return RedirectResponse("/login", 303)
    try:
        address, errand = site.oidc.begin(wanted)
    except ConnectionError_ as error:
        return _away(request, site, wanted, error)
    response = RedirectResponse(address, 303)
    response.set_cookie(
        _cookie(site),
        site.sessions.seal([errand.state, errand.nonce, errand.verifier, errand.wanted], ERRAND_SECONDS),
        max_age=ERRAND_SECONDS,
        path=PATH,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


@router.get(f"{PATH}/callback")
def from_provider(request: Request, site: SiteOf) -> Response:
    """Take the person whom the provider sends back, or say on the log-in page why not."""
    if site.session_of(request) is not None:
        return RedirectResponse("/", 303)  # a link to this page must not end a session
    kept = site.sessions.unseal(request.cookies.get(_cookie(site), ""))
    if site.oidc is None or kept is None:
        return form_page(request, site, "/", say("This form is too old. Please try again."), status=403)
    errand = Errand(*kept)
    response = _taken(request, site, site.oidc, errand)
    response.delete_cookie(_cookie(site), path=PATH)  # one answer for one errand
    return response


def _taken(request: Request, site: Site, oidc: Oidc, errand: Errand) -> Response:
    try:
        account = _with_a_free_name(site, oidc.finish(errand, str(request.url)))
    except ConnectionError_ as error:
        return _away(request, site, errand.wanted, error)
    except OidcRefused as refusal:
        site.audit.note("", "login_failed", AUDITED_AS, str(refusal)[:300], address_of(request))
        problem = say("Your organisation's log-in does not let you in here. Ask the joint SOC for a role.")
        return form_page(request, site, errand.wanted, problem, status=403)
    site.audit.note(account.name, "login", AUDITED_AS, account.role, address_of(request))
    # A redirect would still belong to the provider's page, and the browser would leave the strict cookie out of it.
    text = say("You are logged in.")
    response = site.page(request, "message.html", None, title=say("Log in"), text=text)
    response.headers["Refresh"] = f"0; url={errand.wanted}"
    fingerprint = oidc.fingerprint(account) or ""
    site.remember(request, response, site.sessions.start(account.name, fingerprint, account.role, account.member))
    return response


def _with_a_free_name(site: Site, account: Account) -> Account:
    if site.accounts.find(account.name):
        raise OidcRefused(f"{account.name} is the name of an account with a password")
    return account


def _away(request: Request, site: Site, wanted: str, error: ConnectionError_) -> Response:
    log.warning("dashboard.oidc_away", why=str(error))
    problem = say("Your organisation's log-in cannot be reached. Try again, or use a password.")
    return form_page(request, site, wanted, problem, status=503)


def _cookie(site: Site) -> str:
    return f"{site.cookie}-oidc"
