"""What every page needs: the index, the people's documents, names, sessions, templates; and who may see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Protocol
from urllib.parse import quote
from zoneinfo import ZoneInfo

from fastapi import Depends, Request, Response
from fastapi.templating import Jinja2Templates

from connectors.alert_index import Counts, Found
from connectors.alert_query import AlertQuery
from connectors.documents import Documents
from connectors.event_reader import EventReader
from dashboard.accounts import Account, Accounts
from dashboard.audit import Audit
from dashboard.desk import Desk
from dashboard.exceptions import Exceptions
from dashboard.health_board import HealthBoard
from dashboard.language import LANGUAGES, current, say, script_words
from dashboard.login_limit import LoginLimit
from dashboard.member_desk import MemberDesk
from dashboard.members import MemberNames
from dashboard.oidc import Oidc
from dashboard.pulse import Pulse
from dashboard.readers import Readers
from dashboard.rights import Right
from dashboard.rule_book import RuleBook
from dashboard.sessions import LIFETIME_SECONDS, Session, Sessions
from dashboard.sharing import Sharing
from dashboard.tokens import Tokens
from dashboard.wording import tenths
from schemas.alert import Alert
from schemas.times import now_ms

FOLDER: Final = Path(__file__).parent
PAGE_HEADER: Final = "x-form-token"
LATE_AFTER_MS: Final = 10_000
"""An index that is further behind is marked."""
_SAFE: Final = frozenset({"GET", "HEAD"})


class AlertReader(Protocol):
    """What the pages ask of the index; `dashboard.shared_answers.SharedAnswers` is one."""

    def find(self, query: AlertQuery) -> Found:
        """Alerts that fit the query."""

    def counts(self, query: AlertQuery, *, patient: bool = True) -> Counts:
        """How many alerts fit the query, and how those divide; who is not patient may learn nothing yet."""

    def ages(self, query: AlertQuery, edges: Sequence[str]) -> dict[str, list[int]]:
        """For each level, how many alerts had their last hit in each span of time."""

    def tally(self) -> dict[tuple[str, str], int]:
        """Number of alerts for each (state, level)."""

    def get(self, alert_id: str) -> Alert | None:
        """One alert as it stands now."""


class NotLoggedIn(Exception):
    """The page is for people who are logged in."""


class NotAllowed(Exception):
    """The person's role lacks the right, or the request did not come from our own page."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who sends a request: by a session's cookie, or by a token (then without session)."""

    account: Account
    session: Session | None

    @property
    def name(self) -> str:
        """The user name."""
        return self.account.name

    def may(self, right: Right) -> bool:
        """Whether the role has the right."""
        return self.account.may(right)


@dataclass(frozen=True, slots=True)
class Site:
    """The parts of the running dashboard."""

    index: AlertReader
    names: MemberNames
    accounts: Accounts
    sessions: Sessions
    tokens: Tokens
    audit: Audit
    documents: Documents
    rows: Sharing
    """Rows of the queue, made once from an answer that is shared."""
    desk: Desk
    member_desk: MemberDesk
    exceptions: Exceptions
    health: HealthBoard
    pulse: Pulse
    readers: Readers
    events: EventReader
    rules: RuleBook
    limit: LoginLimit
    oidc: Oidc | None
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
        return session if self._account_of(session) else None

    def visit_of(self, request: Request) -> Session | None:
        """The visit to the log-in page this request belongs to."""
        token = request.cookies.get(self._visit_cookie)
        return self.sessions.read(token) if token else None

    def remember(self, request: Request, response: Response, session: Session) -> None:
        """Put the session into the answer's cookie.

        A visit has a cookie of its own: a link from elsewhere comes without the strict session cookie, sees the log-in
        page, and must not end the session it did not bring.
        """
        response.set_cookie(
            self.cookie if session.user else self._visit_cookie,
            self.sessions.token(session),
            max_age=LIFETIME_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )

    @property
    def _visit_cookie(self) -> str:
        return f"{self.cookie}-visit"

    def person_of(self, request: Request) -> Person | None:
        """Who sends this request."""
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        session = None
        if scheme.lower() == "bearer":
            name = self.tokens.user_of(secret.strip())
            account = self.accounts.find(name) if name else None
        else:
            session = self.session_of(request)
            account = self._account_of(session) if session else None
        return Person(account, session) if account else None

    def _account_of(self, session: Session) -> Account | None:
        """Whose session it is; None if what it was given for does not hold any more."""
        known = self.accounts.find(session.user)
        if not session.role:
            return known if self.accounts.fingerprint(session.user) == session.fingerprint else None
        if self.oidc is None or known is not None:  # an account made since has the name now
            return None
        account = Account.model_validate(
            {"name": session.user, "password": "", "role": session.role, "member": session.member}
        )
        return account if self.oidc.fingerprint(account) == session.fingerprint else None

    def page(self, request: Request, template: str, person: Person | None, status: int = 200, **data: Any) -> Response:
        """Render a template in the language of the request."""
        session = person.session if person else data.pop("visit", None)
        context = {
            "user": person.name if person else "",
            "may": person.may if person else _nothing,
            "form_token": self.sessions.form_token(session) if session else "",
            "zone": self.zone.key.rpartition("/")[2].replace("_", " "),
            "language": current(),
            "languages": LANGUAGES,
            "script_words": script_words(),
            **(self.pulse_words() if person and person.may("read") else {}),
        }
        return self.templates.TemplateResponse(request, template, context | data, status_code=status)

    def pulse_words(self) -> dict[str, Any]:
        """What a page and its updates say of this moment: the navigation's counts, and how far the index is behind."""
        lines = self.health.lines(self.names.registry().members, now_ms())
        silent = sum(line.health in ("no_heartbeat", "no_events") or line.behind for line in lines)
        to_do, behind = self.pulse.to_do, self.pulse.behind
        return self.pulse.words() | {
            "nav": {"queue": "" if to_do is None else f"{to_do:,}", "members": str(silent or "")},
            "behind_text": "" if behind is None else say("{time} behind", time=tenths(behind)),
            "is_late": (behind or 0) > LATE_AFTER_MS,
        }


def _nothing(_: Right) -> bool:
    return False


def _site(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


SiteOf = Annotated[Site, Depends(_site)]


def _logged_in(request: Request, site: SiteOf) -> Person:
    person = site.person_of(request)
    if person is None:
        raise NotLoggedIn
    if request.method not in _SAFE and person.session is not None:
        token = request.headers.get(PAGE_HEADER, "")
        if request.url.path != "/logout" and not site.sessions.is_form_token(person.session, token):
            raise NotAllowed(say("this page is too old: load it again"))
    return person


Anyone = Annotated[Person, Depends(_logged_in)]
"""Whoever is logged in, whatever the role."""


def needs(right: Right) -> Any:
    """A dependency: the person who sends the request, whose role has the right."""

    def check(request: Request, site: SiteOf, person: Anyone) -> Person:
        if not person.may(right):
            site.audit.note(person.name, "denied", request.url.path, right, address_of(request))
            raise NotAllowed(say("your role does not allow this"))
        return person

    return Depends(check)


Reader = Annotated[Person, needs("read")]
"""Someone of the centre: sees all institutions."""


def address_of(request: Request) -> str:
    """Where the request came from."""
    return request.client.host if request.client else ""


def login_path(request: Request) -> str:
    """The log-in page, with the way back to where the person wanted to go."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return "/login" if wanted == "/" else f"/login?next={quote(wanted)}"


def own_path(path: str) -> str:
    """A path of this site; anything else becomes the queue, so that a link cannot lead a person elsewhere."""
    own = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if own else "/"
