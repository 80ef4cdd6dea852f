"""Puts the dashboard together and serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from zoneinfo import ZoneInfo

import structlog
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from connectors.alert_index import AlertIndex
from connectors.documents import Documents, ElasticsearchDocuments
from connectors.event_reader import EventReader
from dashboard import (
    alert_pages,
    api_pages,
    board_pages,
    evidence_api,
    exception_pages,
    findings_api,
    login_pages,
    oidc_pages,
    own_pages,
    queue_pages,
    saved_views,
    triage_api,
)
from dashboard.accounts import Accounts, session_key
from dashboard.audit import Audit
from dashboard.background import Background
from dashboard.desk import Desk
from dashboard.exceptions import Exceptions
from dashboard.headers import HEADERS, SecurityHeaders
from dashboard.health_board import HealthBoard
from dashboard.language import ChosenLanguage, say
from dashboard.login_limit import LoginLimit
from dashboard.member_desk import MemberDesk
from dashboard.members import MemberNames
from dashboard.oidc import Oidc
from dashboard.pulse import Pulse
from dashboard.readers import Readers
from dashboard.rule_book import RuleBook
from dashboard.sessions import Sessions
from dashboard.settings import DashboardSettings
from dashboard.shared_answers import SharedAnswers, SharedDocuments
from dashboard.sharing import Sharing
from dashboard.site import FOLDER, AlertReader, NotAllowed, NotLoggedIn, Site, login_path
from dashboard.tokens import Tokens

log = structlog.get_logger()

ROUTERS: Final = tuple(
    pages.router
    for pages in (
        login_pages,
        oidc_pages,
        queue_pages,
        alert_pages,
        triage_api,
        saved_views,
        evidence_api,
        findings_api,
        own_pages,
        board_pages,
        exception_pages,
        api_pages,
    )
)
INDEX_TIMEOUT_SECONDS: Final = 3.0
"""A page that waits longer is worse than a banner."""


def create_app(
    settings: DashboardSettings, index: AlertReader | None = None, documents: Documents | None = None
) -> FastAPI:
    """The web application.

    Args:
        settings: addresses, and where the secrets lie; the first start makes an account and a session key there.
        index: where alerts are read; None: Elasticsearch, as the settings say.
        documents: where what people write is kept; None: likewise.

    Raises:
        ConfigError: a secret cannot be read or written.
    """
    app = FastAPI(
        title="Joint SOC", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=_lifespan
    )
    answers, searches, patience = Sharing(), Sharing(), INDEX_TIMEOUT_SECONDS
    alerts = index or SharedAnswers(AlertIndex(settings.elasticsearch, request_timeout=patience), answers)
    kept = documents or SharedDocuments(
        ElasticsearchDocuments(settings.elasticsearch, request_timeout=patience), searches
    )
    templates = Jinja2Templates(FOLDER / "templates")
    templates.env.globals["_"] = say
    desk = Desk(kept, alerts)
    book = RuleBook(settings.rules, settings.pack_file)
    app.state.settings = settings
    app.state.site = Site(
        index=alerts,
        names=MemberNames(settings.members_file),
        accounts=Accounts(settings.secrets),
        sessions=Sessions(session_key(settings.secrets)),
        tokens=Tokens(settings.secrets),
        audit=Audit(kept),
        documents=kept,
        rows=Sharing(),
        desk=desk,
        member_desk=MemberDesk(kept, alerts, desk),
        exceptions=Exceptions(kept, book.pack, settings.exceptions_dir),
        health=HealthBoard(),
        pulse=Pulse(),
        readers=Readers(),
        events=EventReader(settings.kafka),
        rules=book,
        limit=LoginLimit(),
        oidc=Oidc(settings.oidc) if settings.oidc else None,
        zone=ZoneInfo(settings.timezone),
        cookie=f"jsoc-{settings.port}",
        templates=templates,
    )
    app.add_middleware(ChosenLanguage)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", *settings.served_as])
    app.add_middleware(SecurityHeaders)
    app.add_exception_handler(NotLoggedIn, _to_login)
    app.add_exception_handler(NotAllowed, _not_allowed)
    app.add_exception_handler(HTTPException, _plain_error)
    app.add_exception_handler(Exception, _our_fault)
    app.add_api_route("/healthz", _alive, methods=["GET"])
    app.mount("/static", StaticFiles(directory=FOLDER / "static"))
    for router in ROUTERS:
        app.include_router(router)
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


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The centre's own work goes on while pages are served."""
    background = Background(app.state.site, app.state.settings.kafka)
    background.start()
    yield
    await run_in_threadpool(background.stop)


def _alive() -> dict[str, str]:
    """That the process answers; says nothing of the index."""
    return {"status": "ok"}


def _to_login(request: Request, _: Exception) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": "not logged in"}, 401)
    return RedirectResponse(login_path(request), 303)


def _not_allowed(request: Request, error: Exception) -> Response:
    return _message(request, 403, say("Not for you"), str(error))


def _plain_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    title = {404: say("No such page"), 405: say("Not like this")}.get(status, say("That did not work"))
    return _message(request, status, title, say("The address is wrong, or the page is gone."))


def _our_fault(request: Request, error: Exception) -> Response:
    # The server itself writes the traceback, to its own log.
    log.error("dashboard.failed", path=request.url.path, error=type(error).__name__)
    response = _message(
        request, 500, say("Something is broken here"), say("It is not your doing; the cause stands in the log.")
    )
    response.headers.update(HEADERS)  # this answer passes outside the middleware
    return response


def _message(request: Request, status: int, title: str, text: str) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": text if status == 403 else title}, status)
    site: Site = request.app.state.site
    return site.page(request, "message.html", site.person_of(request), status, title=title, text=text)
