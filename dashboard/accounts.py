"""Who may log in: a file of argon2 hashes, made with one generated password at the first start."""

from __future__ import annotations

import os
import secrets
import threading
from hashlib import blake2b
from pathlib import Path
from typing import Final

import structlog
import yaml
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import BaseModel, ConfigDict, ValidationError

from connectors.settings import read_secret
from schemas.errors import ConfigError

log = structlog.get_logger()

FIRST_USER: Final = "analyst"
MAX_PASSWORD_BYTES: Final = 1024
AT_ONCE: Final = 2
"""Passwords checked at the same time: each takes 64 MiB, and a flood of log-ins must not take all there is."""


class Account(BaseModel):
    """One person."""

    model_config = ConfigDict(extra="forbid")

    name: str
    password: str
    """Argon2id hash, with its parameters and salt."""


class _AccountFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    accounts: list[Account]


class Accounts:
    """The accounts of `dashboard-users.yml`.

    Args:
        folder: the secrets folder; the file is made in it, with one account, if it is not there.

    Raises:
        ConfigError: the file cannot be read or written, or others can read it.
    """

    def __init__(self, folder: Path) -> None:
        self._hasher = PasswordHasher()
        self._turns = threading.Semaphore(AT_ONCE)
        self._file = folder / "dashboard-users.yml"
        if not self._file.exists():
            self._make_first(folder / "dashboard-password")
        self._accounts = {account.name: account for account in self._read()}
        self._nobody = self._hasher.hash(secrets.token_urlsafe(15))

    def verify(self, name: str, password: str) -> bool:
        """Whether the password is right; takes as long for an unknown name as for a known one."""
        account = self._accounts.get(name)
        try:
            with self._turns:
                matches = self._hasher.verify(account.password if account else self._nobody, password)
        except (VerificationError, InvalidHashError):
            return False
        return matches and account is not None

    def fingerprint(self, name: str) -> str | None:
        """Changes with the password, so that sessions end when it does; None for an unknown name."""
        account = self._accounts.get(name)
        return blake2b(account.password.encode(), digest_size=9).hexdigest() if account else None

    def _make_first(self, password_file: Path) -> None:
        password = secrets.token_urlsafe(15)
        first = _AccountFile(accounts=[Account(name=FIRST_USER, password=self._hasher.hash(password))])
        write_secret(password_file, password + "\n")
        write_secret(self._file, yaml.safe_dump(first.model_dump()))
        # The password itself never goes to the log.
        log.info("dashboard.first_account", user=FIRST_USER, password_file=str(password_file))

    def _read(self) -> list[Account]:
        try:
            return _AccountFile.model_validate(yaml.safe_load(read_secret(self._file))).accounts
        except (yaml.YAMLError, ValidationError) as error:
            raise ConfigError(
                str(self._file), "not a list of accounts", hint="remove it: the next start makes a new one"
            ) from error


def write_secret(path: Path, text: str) -> None:
    """Write a file that only this user can read, whole or not at all.

    Raises:
        ConfigError: the folder cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
            stream.write(text)
        draft.replace(path)
    except OSError as error:
        raise ConfigError(str(path), f"cannot write the secret: {error.strerror}") from error


def session_key(folder: Path) -> bytes:
    """The key that signs session cookies; made at the first start.

    Raises:
        ConfigError: the file cannot be read or written, or others can read it.
    """
    path = folder / "dashboard-session-key"
    if not path.exists():
        write_secret(path, secrets.token_hex(32) + "\n")
    return read_secret(path).encode()
