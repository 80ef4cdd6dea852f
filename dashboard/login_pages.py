"""Logging in and out."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from dashboard.accounts import MAX_PASSWORD_BYTES
from dashboard.language import COOKIE as LANGUAGE_COOKIE
from dashboard.language import LANGUAGES, say
from dashboard.site import Anyone, Site, SiteOf, address_of, own_path
from dashboard.wording import duration, safe

router = APIRouter()

MAX_FORM_BYTES: Final = 8 * 1024


@router.get("/login")
def login_page(request: Request, site: SiteOf) -> Response:
    """The form."""
    wanted = own_path(request.query_params.get("next", "/"))
    if site.session_of(request) is not None:
        return RedirectResponse(wanted, 303)
    return form_page(request, site, wanted)


@router.post("/login")
async def log_in(request: Request, site: SiteOf) -> Response:
    """Check name and password; a wrong form, name or password all end on the form again, with one plain sentence."""
    form = await _form(request)
    wanted = own_path(form.get("next", "/"))
    visit = site.visit_of(request)
    if visit is None or not site.sessions.is_form_token(visit, form.get("form_token", "")):
        return form_page(request, site, wanted, say("This form is too old. Please try again."), status=403)
    name, password = form.get("name", ""), form.get("password", "")
    address = address_of(request)
    wait = site.limit.wait_seconds(address, name)
    if wait > 0:
        problem = say("Too many failures. Try again in {time}.", time=duration(int(wait + 1) * 1000))
        return form_page(request, site, wanted, problem, status=429, name=name)
    short_enough = len(password.encode()) <= MAX_PASSWORD_BYTES
    if not short_enough or not await run_in_threadpool(site.accounts.verify, name, password):
        site.limit.failed(address, name)
        await run_in_threadpool(site.audit.note, name, "login_failed", address=address)
        return form_page(request, site, wanted, say("User name or password is wrong."), status=401, name=name)
    site.limit.succeeded(address, name)
    await run_in_threadpool(site.audit.note, name, "login", address=address)
    response = RedirectResponse(wanted, 303)
    site.remember(request, response, site.sessions.start(name, site.accounts.fingerprint(name) or ""))
    return response


@router.post("/logout")
async def log_out(request: Request, site: SiteOf, person: Anyone) -> Response:
    """End the session, here and for every copy of its cookie."""
    form = await _form(request)
    session = person.session
    if session is None or not site.sessions.is_form_token(session, form.get("form_token", "")):
        return RedirectResponse("/", 303)
    site.sessions.end(session)
    await run_in_threadpool(site.audit.note, session.user, "logout", address=address_of(request))
    response = RedirectResponse("/login", 303)
    response.delete_cookie(site.cookie)
    return response


@router.get("/language/{name}")
def choose_language(request: Request, name: str) -> Response:
    """Keep the language for this browser, and go back to the page it was chosen on."""
    response = RedirectResponse(own_path(request.query_params.get("next", "/")), 303)
    if name in LANGUAGES:
        response.set_cookie(LANGUAGE_COOKIE, name, max_age=366 * 86_400, samesite="lax", httponly=True)
    return response


def form_page(
    request: Request, site: Site, wanted: str, problem: str = "", *, status: int = 200, name: str = ""
) -> Response:
    """The log-in page, with what went wrong before."""
    known = site.visit_of(request)
    visit = known if known and not known.user else site.sessions.start("", "")  # two tabs share one visit
    response = site.page(
        request, "login.html", None, status,
        visit=visit, wanted=wanted, problem=problem, name=safe(name, 60), oidc=site.oidc is not None,
    )  # fmt: skip
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
