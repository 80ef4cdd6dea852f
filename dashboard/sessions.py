"""Who is logged in: a signed cookie, and the form tokens that go with it."""

from __future__ import annotations

import hmac
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import astuple, dataclass
from hashlib import sha256
from typing import Any, Final

import orjson

LIFETIME_SECONDS: Final = 12 * 3600
"""One shift; then the password is asked for again."""


@dataclass(frozen=True, slots=True)
class Session:
    """One log-in, or one visit to the log-in page (then `user` is empty)."""

    user: str
    fingerprint: str
    nonce: str
    expires: int
    """Seconds since 1970."""
    role: str = ""
    """What an OpenID provider's claims stood for; empty: the role is the account's. Likewise the member."""
    member: str = ""


class Sessions:
    """Makes and reads signed session tokens; nothing is kept but the log-outs of the last hours.

    Args:
        key: signs; a new key ends every session.
        now: seconds since 1970.
    """

    def __init__(self, key: bytes, now: Callable[[], float] = time.time) -> None:
        self._key, self._now = key, now
        self._ended: dict[str, int] = {}

    def start(self, user: str, fingerprint: str, role: str = "", member: str = "") -> Session:
        """A new session."""
        expires = int(self._now()) + LIFETIME_SECONDS
        return Session(user, fingerprint, secrets.token_urlsafe(18), expires, role, member)

    def token(self, session: Session) -> str:
        """The session as a cookie value."""
        return self._signed("session", list(astuple(session)))

    def read(self, token: str) -> Session | None:
        """The session a cookie value stands for; None if it is forged, over, or logged out."""
        fields = self._checked("session", token)
        if fields is None:
            return None
        session = Session(*fields)
        if session.expires <= self._now() or session.nonce in self._ended:
            return None
        return session

    def end(self, session: Session) -> None:
        """Log out: the token is worth nothing from now on, even to someone who copied it."""
        now = self._now()
        self._ended = {nonce: expires for nonce, expires in self._ended.items() if expires > now}
        self._ended[session.nonce] = session.expires

    def seal(self, texts: list[str], seconds: int) -> str:
        """Texts as a cookie value that only we can make, good for so many seconds; whoever holds it can read it."""
        return self._signed("sealed", [int(self._now()) + seconds, *texts])

    def unseal(self, token: str) -> list[str] | None:
        """What was sealed; None if it is forged or over."""
        expires, *texts = self._checked("sealed", token) or [0]
        return texts if expires > self._now() else None

    def form_token(self, session: Session) -> str:
        """What a form of this session must carry, so that no other site can send it."""
        return self._sign("form", session.nonce.encode())

    def is_form_token(self, session: Session, token: str) -> bool:
        """Whether a form came from one of our own pages."""
        return hmac.compare_digest(token.encode(), self.form_token(session).encode())

    def _signed(self, purpose: str, fields: list[Any]) -> str:
        body = urlsafe_b64encode(orjson.dumps(fields))
        return f"{body.decode()}.{self._sign(purpose, body)}"

    def _checked(self, purpose: str, token: str) -> list[Any] | None:
        body, _, signature = token.partition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(purpose, body.encode()).encode()):
            return None
        fields: list[Any] = orjson.loads(urlsafe_b64decode(body))
        return fields

    def _sign(self, purpose: str, data: bytes) -> str:
        return hmac.new(self._key, purpose.encode() + b"\0" + data, sha256).hexdigest()
