"""Log-in through an OpenID Connect provider: code flow with PKCE, and roles from the claims of the ID token.

Follows OpenID Connect Core 1.0 (3.1) and Discovery 1.0 (4), RFC 7636 (S256).
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import OAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.settings import GuardedUrl, read_secret
from dashboard.accounts import Account
from dashboard.rights import Role
from schemas.errors import ConnectionError_

ALGORITHMS: Final = ["RS256", "PS256", "ES256"]
"""What an ID token may be signed with: never `none`, never a shared secret."""
TIMEOUT_SECONDS: Final = 5.0
DISCOVERY_SECONDS: Final = 3600.0
"""How long the provider's addresses and keys are believed; a key not among them is asked for at once."""
CLOCK_LEEWAY_SECONDS: Final = 60
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,79}")


class RoleRule(BaseModel):
    """Who has the claim's value has the role."""

    model_config = ConfigDict(extra="forbid")

    value: str = Field(min_length=1)
    role: Role
    member: str = Field(default="", description="the institution of a member viewer")

    @model_validator(mode="after")
    def _is_an_account(self) -> RoleRule:
        Account(name=self.value, password="", role=self.role, member=self.member)
        return self


class OidcSettings(BaseModel):
    """A provider, and what its claims mean here. Nobody has a role by default."""

    model_config = ConfigDict(extra="forbid")

    issuer: GuardedUrl = Field(description="its address, exactly as it calls itself")
    client_id: str
    client_secret_file: Path | None = Field(default=None, description="mode 0600; absent: a public client, PKCE alone")
    redirect_uri: GuardedUrl = Field(description="this dashboard's own address, ending in /login/oidc/callback")
    scope: str = "openid profile"
    name_claim: str = Field(description="the user name; one that the provider never gives to somebody else")
    role_claim: str = Field(description="a text or a list of texts, such as groups")
    roles: list[RoleRule] = Field(min_length=1, description="the first that fits counts")


class OidcRefused(Exception):
    """The provider, or what it says, does not let this person in; the text is for the audit."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What is remembered while a person is at the provider; kept in that person's own browser, signed."""

    state: str
    nonce: str
    verifier: str
    wanted: str
    """Path to go to afterwards."""


@dataclass(frozen=True, slots=True)
class _Provider:
    authorize: str
    token: str
    keys: KeySet
    read_at: float


class Oidc:
    """The code flow with one provider.

    Args:
        settings: the provider, and what its claims mean.
        now: seconds; decides when the provider's addresses and keys are read again.
    """

    def __init__(self, settings: OidcSettings, now: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._now = settings, now
        self._lock = threading.Lock()
        self._known: _Provider | None = None

    @property
    def roles(self) -> frozenset[Role]:
        """Roles that its people can have here."""
        return frozenset(rule.role for rule in self._settings.roles)

    def begin(self, wanted: str) -> tuple[str, Errand]:
        """The provider's page to send the person to, and what to remember meanwhile.

        Raises:
            ConnectionError_: the provider is away or is not what the settings say.
        """
        errand = Errand(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), wanted)
        with self._client() as client:
            url, _ = client.create_authorization_url(
                self._provider().authorize, state=errand.state, nonce=errand.nonce, code_verifier=errand.verifier
            )
        return str(url), errand

    def finish(self, errand: Errand, answer: str) -> Account:
        """The person the provider sends back.

        Args:
            errand: what was remembered.
            answer: the address the provider sent the browser to.

        Raises:
            OidcRefused: the answer belongs to another errand, the token is not good, or no role goes with its claims.
            ConnectionError_: the provider is away.
        """
        try:
            with self._client() as client:
                tokens = client.fetch_token(
                    self._provider().token,
                    authorization_response=answer,
                    state=errand.state,
                    code_verifier=errand.verifier,
                )
        except AuthlibBaseError as error:
            raise OidcRefused(f"the provider answers {error.error}") from error
        except (httpx2.HTTPError, ValueError) as error:
            raise self._away(error) from error
        return account_of(self._claims(str(tokens.get("id_token", "")), errand.nonce), self._settings)

    def fingerprint(self, account: Account) -> str | None:
        """Changes with the settings, so that sessions end when a role is taken away there; None: no such role."""
        if not any((rule.role, rule.member) == (account.role, account.member) for rule in self._settings.roles):
            return None
        text = f"{self._settings.model_dump_json()} {account.name} {account.role} {account.member}"
        return blake2b(text.encode(), digest_size=9).hexdigest()

    def _client(self) -> OAuth2Client:
        secret = self._settings.client_secret_file
        return OAuth2Client(
            self._settings.client_id,
            read_secret(secret) if secret else None,
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
            scope=self._settings.scope,
            redirect_uri=self._settings.redirect_uri,
            code_challenge_method="S256",
            timeout=TIMEOUT_SECONDS,
        )

    def _claims(self, token: str, nonce: str) -> dict[str, Any]:
        """The claims of an ID token that is the provider's, for us, of now, and of this errand."""
        try:
            decoded = self._decoded(token)
            jwt.JWTClaimsRegistry(
                leeway=CLOCK_LEEWAY_SECONDS,
                iss={"essential": True, "value": self._settings.issuer},
                aud={"essential": True, "value": self._settings.client_id},
                exp={"essential": True},
                iat={"essential": True},
                sub={"essential": True},
                nonce={"essential": True, "value": nonce},
            ).validate(decoded.claims)
        except (JoseError, ValueError) as error:
            raise OidcRefused(f"the ID token is not good: {error}") from error
        claims: dict[str, Any] = decoded.claims
        if claims.get("azp", self._settings.client_id) != self._settings.client_id:
            raise OidcRefused("the ID token was made for another program")
        return claims

    def _decoded(self, token: str) -> jwt.Token:
        try:
            return jwt.decode(token, self._provider().keys, algorithms=ALGORITHMS)
        except (JoseError, ValueError):  # the provider may have changed its keys a moment ago
            return jwt.decode(token, self._provider(afresh=True).keys, algorithms=ALGORITHMS)

    def _provider(self, *, afresh: bool = False) -> _Provider:
        with self._lock:
            known = self._known
            if known is None or afresh or self._now() - known.read_at > DISCOVERY_SECONDS:
                self._known = known = self._discover()
            return known

    def _discover(self) -> _Provider:
        try:
            with httpx2.Client(timeout=TIMEOUT_SECONDS) as client:
                about = _json(client, self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
                named = about["issuer"] == self._settings.issuer
                keys = KeySet.import_key_set(_json(client, about["jwks_uri"]))  # type: ignore[arg-type]
            found = _Provider(str(about["authorization_endpoint"]), str(about["token_endpoint"]), keys, self._now())
        except (httpx2.HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
            raise self._away(error) from error
        if not named:
            raise self._away(ValueError(f"calls itself {about['issuer']}"))
        return found

    def _away(self, error: Exception) -> ConnectionError_:
        return ConnectionError_(
            f"OpenID provider {self._settings.issuer}",
            f"does not answer as one ({type(error).__name__}: {str(error)[:200]})",
            hint="compare issuer in the dashboard's configuration with the provider's own",
        )


def account_of(claims: dict[str, Any], settings: OidcSettings) -> Account:
    """The person and role that claims stand for.

    Raises:
        OidcRefused: no usable name, or no role goes with the claims.
    """
    name = claims.get(settings.name_claim)
    if not isinstance(name, str) or not _NAME.fullmatch(name.casefold()):
        raise OidcRefused(f"the claim {settings.name_claim} holds no user name")
    held = claims.get(settings.role_claim, [])
    values = held if isinstance(held, list) else [held]
    for rule in settings.roles:
        if rule.value in values:
            return Account(name=name.casefold(), password="", role=rule.role, member=rule.member)
    raise OidcRefused(f"no role goes with the claim {settings.role_claim} of {name.casefold()}")


def _json(client: httpx2.Client, url: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(url).raise_for_status().json()
    return answer
