"""Keyed pseudonyms: equal identifiers stay equal, and nobody without the key can find out which they are."""

from __future__ import annotations

import hmac
import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

from connectors.settings import read_secret
from schemas.errors import ConfigError

MIN_KEY_BYTES: Final = 32
FROM_ENVIRONMENT: Final = "env:"
_MAKE_KEY: Final = "openssl rand -hex 32"

KeyName = Literal["federation", "institution"]
"""`federation`: for customers, the same at every member. `institution`: for staff and machines, this member's own."""


class Pseudonyms:
    """HMAC-SHA-256 over `kind|value`, the value in canonical form.

    Args:
        institution: this member's own key, at least 32 bytes.
        federation: the key all members share and the centre does not have; None where nothing needs it.
        previous: of the key epoch before, while identifiers leave under both.
    """

    def __init__(self, institution: bytes, federation: bytes | None, previous: OldPseudonyms | None = None) -> None:
        self._keys: dict[KeyName, bytes | None] = {"institution": institution, "federation": federation}
        self.previous = previous
        # A message without `|`: no pseudonym can ever be this one.
        self.event_id_key: Final = hmac.digest(institution, b"event.id", "sha256")

    def has(self, key: KeyName) -> bool:
        """Whether there is such a key."""
        return self._keys[key] is not None

    def of(self, key: KeyName, kind: str, value: str) -> str | None:
        """The pseudonym, 64 hex digits; None for an empty value.

        Args:
            key: whose key.
            kind: what the value names (`customer`, `user`, `host`...): the same text of two kinds gives two pseudonyms.
            value: the identifier.

        Raises:
            ConfigError: there is no such key.
        """
        secret = self._keys[key]
        if secret is None:
            raise ConfigError(f"keys.{key}", "a mapping needs this key, and the configuration names none")
        text = canonical(value)
        return _pseudonym(secret, kind, text) if text else None

    def under_all_keys(self, key: KeyName, kind: str, value: str) -> str | list[str] | None:
        """As `of`; while there is a previous key, a list: the pseudonym under the new key, then under the old one.

        A correlation groups by each item of a list, so that members who changed their keys and members who did not
        yet are still compared.
        """
        now = self.of(key, kind, value)
        old = self.previous.secrets.get(key) if self.previous is not None else None
        return now if now is None or old is None else [now, _pseudonym(old, kind, canonical(value))]


class OldPseudonyms(NamedTuple):
    """Keys of the epoch before; those that did not change are not among them."""

    epoch: int
    secrets: Mapping[KeyName, bytes]


def _pseudonym(secret: bytes, kind: str, text: str) -> str:
    return hmac.digest(secret, f"{kind}|{text}".encode("utf-8", "surrogatepass"), "sha256").hex()


def canonical(value: str) -> str:
    r"""One spelling of an identifier: NFKC, case-folded, trimmed.

    >>> canonical(" \uff21lice ")
    'alice'
    """
    if value.isascii():
        return value.strip().lower()
    folded = unicodedata.normalize("NFKC", value).casefold()
    return unicodedata.normalize("NFKC", folded).strip()  # folding can undo the first


def read_key(path: Path) -> bytes:
    """The key a file holds as hexadecimal digits; `env:NAME` in place of a path reads the environment.

    Raises:
        ConfigError: missing, readable by other users, not hexadecimal, or too short.
    """
    name = str(path).removeprefix(FROM_ENVIRONMENT)
    if name == str(path):
        digits = read_secret(path)
    else:
        digits = os.environ.get(name, "").strip()
        if not digits:
            raise ConfigError(str(path), "the environment has no such key")
    try:
        key = bytes.fromhex(digits)
    except ValueError:  # the text is a secret: not shown, and no cause that would show it
        raise ConfigError(str(path), "not a key", expected="hexadecimal digits", hint=_MAKE_KEY) from None
    if len(key) < MIN_KEY_BYTES:
        raise ConfigError(str(path), "the key is too short", got=f"{len(key)} bytes", expected="32", hint=_MAKE_KEY)
    return key
