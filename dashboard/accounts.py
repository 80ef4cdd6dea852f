"""Who may log in: a file of argon2 hashes and roles, made with one generated password at the first start."""

from __future__ import annotations

import os
import re
import secrets
import threading
from hashlib import blake2b
from pathlib import Path
from typing import Final

import structlog
import yaml
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from connectors.settings import read_secret
from dashboard.rights import RIGHTS, Right, Role
from schemas.errors import ConfigError

log = structlog.get_logger()

FIRST_USER: Final = "analyst"
MAX_PASSWORD_BYTES: Final = 1024
MIN_PASSWORD_CHARACTERS: Final = 12
AT_ONCE: Final = 2
"""Passwords checked at the same time: each takes 64 MiB, and a flood of log-ins must not take all there is."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


class Account(BaseModel):
    """One person."""

    model_config = ConfigDict(extra="forbid")

    name: str
    password: str
    """Argon2id hash, with its parameters and salt."""
    role: Role = "analyst"
    member: str = Field(default="", description="the institution a member viewer belongs to")

    @model_validator(mode="after")
    def _viewers_belong_to_a_member(self) -> Account:
        if (self.role == "member_viewer") != bool(self.member):
            raise ValueError("a member viewer, and nobody else, belongs to a member")
        return self

    def may(self, right: Right) -> bool:
        """Whether this person's role has the right."""
        return right in RIGHTS[self.role]


class _AccountFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    accounts: list[Account]


class Accounts:
    """The accounts of `dashboard-users.yml`; read again when the file changes.

    Args:
        folder: the secrets folder; the file is made in it, with one account, if it is not there.

    Raises:
        ConfigError: the file cannot be read or written, or others can read it.
    """

    def __init__(self, folder: Path) -> None:
        self._hasher = PasswordHasher()
        self._turns = threading.Semaphore(AT_ONCE)
        self._lock = threading.RLock()
        self._file = folder / "dashboard-users.yml"
        if not self._file.exists():
            self._make_first(folder / "dashboard-password")
        self._stamp = self._stamp_now()
        self._accounts = {account.name: account for account in self._read()}
        self._nobody = self._hasher.hash(secrets.token_urlsafe(15))

    def find(self, name: str) -> Account | None:
        """The account of that name."""
        with self._lock:
            if (stamp := self._stamp_now()) != self._stamp:
                try:
                    self._accounts = {account.name: account for account in self._read()}
                except ConfigError:  # who was there may go on; who was removed meanwhile is not known
                    log.exception("dashboard.users_unreadable")
                self._stamp = stamp
            return self._accounts.get(name)

    def all(self) -> list[Account]:
        """Everybody, by name."""
        self.find("")
        return sorted(self._accounts.values(), key=lambda account: account.name)

    def verify(self, name: str, password: str) -> bool:
        """Whether the password is right; takes as long for an unknown name as for a known one."""
        account = self.find(name)
        try:
            with self._turns:
                matches = self._hasher.verify(account.password if account else self._nobody, password)
        except (VerificationError, InvalidHashError):
            return False
        return matches and account is not None

    def fingerprint(self, name: str) -> str | None:
        """Changes with password and role, so that sessions end when they do; None for an unknown name."""
        account = self.find(name)
        if account is None:
            return None
        return blake2b(f"{account.password} {account.role} {account.member}".encode(), digest_size=9).hexdigest()

    def add(self, name: str, role: Role, member: str = "") -> str:
        """A new account with a generated password, which is returned and kept nowhere.

        Raises:
            ConfigError: the name is taken or not a name; a member viewer without a member, or the reverse.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(f"user {name}", "not a user name", expected="a-z 0-9 . _ -, at most 40 characters")
        with self._lock:
            if self.find(name):
                raise ConfigError(f"user {name}", "there is one already", hint=f"jsoc user password {name}")
            password = secrets.token_urlsafe(15)
            try:
                account = Account(name=name, password=self._hasher.hash(password), role=role, member=member)
            except ValidationError as error:
                raise ConfigError(f"user {name}", error.errors()[0]["msg"], got=role) from error
            self._write([*self._accounts.values(), account])
        return password

    def remove(self, name: str) -> None:
        """Take an account away; its sessions and tokens end at once.

        Raises:
            ConfigError: nobody of that name, or the last lead.
        """
        with self._lock:
            self._known(name)
            rest = [account for account in self.all() if account.name != name]
            if not any(account.role == "lead" for account in rest):
                raise ConfigError(f"user {name}", "is the last lead", hint="jsoc user add NAME --role lead")
            self._write(rest)

    def set_password(self, name: str, password: str = "") -> str:
        """Give an account another password, a generated one unless one is given; returns it.

        Raises:
            ConfigError: nobody of that name, or the password is too short.
        """
        chosen = password or secrets.token_urlsafe(15)
        if len(chosen) < MIN_PASSWORD_CHARACTERS or len(chosen.encode()) > MAX_PASSWORD_BYTES:
            raise ConfigError(
                f"user {name}", "the password is too short", expected=f"{MIN_PASSWORD_CHARACTERS} characters"
            )
        with self._lock:
            account = self._known(name).model_copy(update={"password": self._hasher.hash(chosen)})
            self._write([account if one.name == name else one for one in self.all()])
        return chosen

    def _known(self, name: str) -> Account:
        account = self.find(name)
        if account is None:
            raise ConfigError(f"user {name}", "no such user", hint="jsoc user list")
        return account

    def _make_first(self, password_file: Path) -> None:
        password = secrets.token_urlsafe(15)
        first = Account(name=FIRST_USER, password=self._hasher.hash(password), role="lead")
        write_secret(password_file, password + "\n")
        self._write([first])
        # The password itself never goes to the log.
        log.info("dashboard.first_account", user=FIRST_USER, password_file=str(password_file))

    def _write(self, accounts: list[Account]) -> None:
        write_secret(self._file, yaml.safe_dump(_AccountFile(accounts=accounts).model_dump()))
        self._stamp = self._stamp_now()
        self._accounts = {account.name: account for account in accounts}

    def _stamp_now(self) -> tuple[int, int, int]:
        try:
            stat = self._file.stat()
        except OSError:
            return (0, 0, 0)
        return (stat.st_mtime_ns, stat.st_size, stat.st_ino)

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
