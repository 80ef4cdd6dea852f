"""Puts the dashboard together and serves it."""

from __future__ import annotations

from typing import Final
from zoneinfo import ZoneInfo

import structlog
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from connectors.alert_index import AlertIndex
from dashboard import alert_pages, login_pages, queue_pages
from dashboard.accounts import Accounts, session_key
from dashboard.headers import HEADERS, SecurityHeaders
from dashboard.login_limit import LoginLimit
from dashboard.members import MemberNames
from dashboard.sessions import Sessions
from dashboard.settings import DashboardSettings
from dashboard.site import FOLDER, AlertReader, NotLoggedIn, Site, login_path

log = structlog.get_logger()

INDEX_TIMEOUT_SECONDS: Final = 3.0
"""A page that waits longer is worse than a banner."""


def create_app(settings: DashboardSettings, index: AlertReader | None = None) -> FastAPI:
    """The web application.

    Args:
        settings: addresses, and where the secrets lie; the first start makes an account and a session key there.
        index: where alerts are read; None: Elasticsearch, as the settings say.

    Raises:
        ConfigError: a secret cannot be read or written.
    """
    app = FastAPI(title="Joint SOC", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.site = Site(
        index=index or AlertIndex(settings.elasticsearch, request_timeout=INDEX_TIMEOUT_SECONDS),
        names=MemberNames(settings.members_file),
        accounts=Accounts(settings.secrets),
        sessions=Sessions(session_key(settings.secrets)),
        limit=LoginLimit(),
        zone=ZoneInfo(settings.timezone),
        cookie=f"jsoc-{settings.port}",
        templates=Jinja2Templates(FOLDER / "templates"),
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", *settings.served_as])
    app.add_middleware(SecurityHeaders)
    app.add_exception_handler(NotLoggedIn, _to_login)
    app.add_exception_handler(HTTPException, _plain_error)
    app.add_exception_handler(Exception, _our_fault)
    app.add_api_route("/healthz", _alive, methods=["GET"])
    app.mount("/static", StaticFiles(directory=FOLDER / "static"))
    for pages in (login_pages, queue_pages, alert_pages):
        app.include_router(pages.router)
    return app


def run_dashboard(settings: DashboardSettings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigError: a secret cannot be read or written.
    """
    app = create_app(settings)
    log.info("dashboard.started", address=f"http://{settings.host}:{settings.port}")
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=3,
    )


def _alive() -> dict[str, str]:
    """That the process answers; says nothing of the index."""
    return {"status": "ok"}


def _to_login(request: Request, _: Exception) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": "not logged in"}, 401)
    return RedirectResponse(login_path(request), 303)


def _plain_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    title = {404: "No such page", 405: "Not like this"}.get(status, "That did not work")
    return _message(request, status, title, "The address is wrong, or the page is gone.")


def _our_fault(request: Request, error: Exception) -> Response:
    # The server itself writes the traceback, to its own log.
    log.error("dashboard.failed", path=request.url.path, error=type(error).__name__)
    response = _message(request, 500, "Something is broken here", "It is not your doing; the cause stands in the log.")
    response.headers.update(HEADERS)  # this answer passes outside the middleware
    return response


def _message(request: Request, status: int, title: str, text: str) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": title.lower()}, status)
    site: Site = request.app.state.site
    return site.page(request, "message.html", site.session_of(request), status, title=title, text=text)
