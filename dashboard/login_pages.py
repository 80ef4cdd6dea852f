"""Logging in and out."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from dashboard.accounts import MAX_PASSWORD_BYTES
from dashboard.site import LoggedIn, Site, SiteOf, own_path
from dashboard.wording import duration, safe

log = structlog.get_logger()
router = APIRouter()

MAX_FORM_BYTES: Final = 8 * 1024


@router.get("/login")
def login_page(request: Request, site: SiteOf) -> Response:
    """The form."""
    wanted = own_path(request.query_params.get("next", "/"))
    if site.session_of(request) is not None:
        return RedirectResponse(wanted, 303)
    return _form_page(request, site, wanted)


@router.post("/login")
async def log_in(request: Request, site: SiteOf) -> Response:
    """Check name and password; a wrong form, name or password all end on the form again, with one plain sentence."""
    form = await _form(request)
    wanted = own_path(form.get("next", "/"))
    visit = site.visit_of(request)
    if visit is None or not site.sessions.is_form_token(visit, form.get("form_token", "")):
        return _form_page(request, site, wanted, "This form is too old. Please try again.", status=403)
    name, password = form.get("name", ""), form.get("password", "")
    address = request.client.host if request.client else ""
    wait = site.limit.wait_seconds(address, name)
    if wait > 0:
        problem = f"Too many failures. Try again in {duration(int(wait + 1) * 1000)}."
        return _form_page(request, site, wanted, problem, status=429, name=name)
    short_enough = len(password.encode()) <= MAX_PASSWORD_BYTES
    if not short_enough or not await run_in_threadpool(site.accounts.verify, name, password):
        site.limit.failed(address, name)
        log.warning("dashboard.login_failed", user=safe(name, 60), address=address)
        return _form_page(request, site, wanted, "User name or password is wrong.", status=401, name=name)
    site.limit.succeeded(address, name)
    log.info("dashboard.login", user=name, address=address)
    response = RedirectResponse(wanted, 303)
    site.remember(request, response, site.sessions.start(name, site.accounts.fingerprint(name) or ""))
    return response


@router.post("/logout")
async def log_out(request: Request, site: SiteOf, session: LoggedIn) -> Response:
    """End the session, here and for every copy of its cookie."""
    form = await _form(request)
    if not site.sessions.is_form_token(session, form.get("form_token", "")):
        return RedirectResponse("/", 303)
    site.sessions.end(session)
    log.info("dashboard.logout", user=session.user)
    response = RedirectResponse("/login", 303)
    response.delete_cookie(site.cookie)
    return response


def _form_page(
    request: Request, site: Site, wanted: str, problem: str = "", *, status: int = 200, name: str = ""
) -> Response:
    known = site.visit_of(request)
    visit = known if known and not known.user else site.sessions.start("", "")  # two tabs share one visit
    response = site.page(request, "login.html", visit, status, wanted=wanted, problem=problem, name=safe(name, 60))
    site.remember(request, response, visit)
    return response


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form; empty if it is too big or not text."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM_BYTES:
            return {}
    try:
        fields = parse_qs(body.decode(), max_num_fields=20)
    except (UnicodeDecodeError, ValueError):
        return {}
    return {name: values[-1] for name, values in fields.items()}
