"""Tokens for programs: a member's ticket system reads and answers findings with one. Only hashes are kept."""

from __future__ import annotations

import secrets
import threading
from hashlib import sha256
from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connectors.settings import read_secret
from dashboard.accounts import write_secret
from schemas.errors import ConfigError
from schemas.times import now_ms

PREFIX: Final = "jsoc_"
DAY_MS: Final = 86_400_000
LONGEST_DAYS: Final = 366


class Token(BaseModel):
    """One token; the secret itself is shown once and kept nowhere."""

    model_config = ConfigDict(extra="forbid")

    label: str
    user: str
    hash: str = Field(description="SHA-256: the secret is 256 random bits, so stretching adds nothing")
    expires: int = Field(description="ms since 1970")


class _TokenFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tokens: list[Token] = []


class Tokens:
    """The tokens of `dashboard-tokens.yml`; read for every use, so that a withdrawn one ends at once."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "dashboard-tokens.yml"
        self._lock = threading.Lock()

    def make(self, user: str, label: str, days: int) -> str:
        """A new token that acts for the user; the secret is returned and kept nowhere.

        Raises:
            ConfigError: the user has one of that label, or it would live too long.
        """
        if not 1 <= days <= LONGEST_DAYS:
            raise ConfigError(f"token {label}", "cannot live so long", got=days, expected=f"1 to {LONGEST_DAYS} days")
        with self._lock:
            tokens = self._read()
            if any((token.user, token.label) == (user, label) for token in tokens):
                raise ConfigError(f"token {label}", f"{user} has one of that name", hint="withdraw it first")
            secret = PREFIX + secrets.token_urlsafe(32)
            new = Token(label=label, user=user, hash=_hash(secret), expires=now_ms() + days * DAY_MS)
            self._write([*tokens, new])
        return secret

    def withdraw(self, user: str, label: str) -> None:
        """End a token at once.

        Raises:
            ConfigError: there is none.
        """
        with self._lock:
            tokens = self._read()
            rest = [token for token in tokens if (token.user, token.label) != (user, label)]
            if len(rest) == len(tokens):
                raise ConfigError(f"token {label}", f"{user} has none of that name")
            self._write(rest)

    def of(self, user: str) -> list[Token]:
        """The user's tokens."""
        return [token for token in self._read() if token.user == user]

    def user_of(self, secret: str) -> str | None:
        """Whom a token acts for; None if it is unknown, withdrawn or expired."""
        if not secret.startswith(PREFIX):
            return None
        wanted, now = _hash(secret), now_ms()
        found = (t.user for t in self._read() if secrets.compare_digest(t.hash, wanted) and t.expires > now)
        return next(found, None)

    def _read(self) -> list[Token]:
        if not self._file.exists():
            return []
        try:
            return _TokenFile.model_validate(yaml.safe_load(read_secret(self._file))).tokens
        except (yaml.YAMLError, ValidationError) as error:
            raise ConfigError(
                str(self._file), "not a list of tokens", hint="remove it, and make the tokens anew"
            ) from error

    def _write(self, tokens: list[Token]) -> None:
        write_secret(self._file, yaml.safe_dump(_TokenFile(tokens=tokens).model_dump()))


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
