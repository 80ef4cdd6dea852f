"""What every page needs: the index, the names, the sessions, the templates; and who may see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Protocol
from urllib.parse import quote
from zoneinfo import ZoneInfo

from fastapi import Depends, Request, Response
from fastapi.templating import Jinja2Templates

from connectors.alert_index import AlertQuery, Found
from dashboard.accounts import Accounts
from dashboard.login_limit import LoginLimit
from dashboard.members import MemberNames
from dashboard.sessions import LIFETIME_SECONDS, Session, Sessions
from schemas.alert import Alert

FOLDER: Final = Path(__file__).parent


class AlertReader(Protocol):
    """What the pages ask of the index; `connectors.alert_index.AlertIndex` is one."""

    def find(self, query: AlertQuery) -> Found:
        """Alerts that fit the query."""

    def tally(self) -> dict[tuple[str, str], int]:
        """Number of alerts for each (state, level)."""

    def get(self, alert_id: str) -> Alert | None:
        """One alert as it stands now."""


class NotLoggedIn(Exception):
    """The page is for people who are logged in."""


@dataclass(frozen=True, slots=True)
class Site:
    """The parts of the running dashboard."""

    index: AlertReader
    names: MemberNames
    accounts: Accounts
    sessions: Sessions
    limit: LoginLimit
    zone: ZoneInfo
    cookie: str
    """Name of the session cookie; holds the port, since cookies do not tell ports apart."""
    templates: Jinja2Templates

    def session_of(self, request: Request) -> Session | None:
        """Who sends this request; None if nobody is logged in, or the password changed since."""
        token = request.cookies.get(self.cookie)
        session = self.sessions.read(token) if token else None
        if session is None or not session.user:
            return None
        return session if self.accounts.fingerprint(session.user) == session.fingerprint else None

    def visit_of(self, request: Request) -> Session | None:
        """The visit to the log-in page this request belongs to."""
        token = request.cookies.get(self.cookie)
        return self.sessions.read(token) if token else None

    def remember(self, request: Request, response: Response, session: Session) -> None:
        """Put the session into the answer's cookie."""
        response.set_cookie(
            self.cookie,
            self.sessions.token(session),
            max_age=LIFETIME_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )

    def page(
        self, request: Request, template: str, session: Session | None, status: int = 200, **data: Any
    ) -> Response:
        """Render a template."""
        context = {
            "user": session.user if session else "",
            "form_token": self.sessions.form_token(session) if session else "",
            "zone": self.zone.key.rpartition("/")[2].replace("_", " "),
        }
        return self.templates.TemplateResponse(request, template, context | data, status_code=status)


def _site(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


SiteOf = Annotated[Site, Depends(_site)]


def _logged_in(request: Request, site: SiteOf) -> Session:
    session = site.session_of(request)
    if session is None:
        raise NotLoggedIn
    return session


LoggedIn = Annotated[Session, Depends(_logged_in)]


def login_path(request: Request) -> str:
    """The log-in page, with the way back to where the person wanted to go."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return "/login" if wanted == "/" else f"/login?next={quote(wanted)}"


def own_path(path: str) -> str:
    """A path of this site; anything else becomes the queue, so that a link cannot lead a person elsewhere."""
    own = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if own else "/"
