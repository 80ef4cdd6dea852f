"""Keyed pseudonyms: equal identifiers stay equal, and nobody without the key can find out which they are."""

from __future__ import annotations

import hmac
import unicodedata
from pathlib import Path
from typing import Final, Literal

from connectors.settings import read_secret
from schemas.errors import ConfigError

MIN_KEY_BYTES: Final = 32

KeyName = Literal["federation", "institution"]
"""`federation`: for customers, the same at every member. `institution`: for staff and machines, this member's own."""


class Pseudonyms:
    """HMAC-SHA-256 over `kind|value`, the value in canonical form.

    Args:
        institution: this member's own key, at least 32 bytes.
        federation: the key all members share and the centre does not have; None where nothing needs it.
    """

    def __init__(self, institution: bytes, federation: bytes | None) -> None:
        self._keys: dict[KeyName, bytes | None] = {"institution": institution, "federation": federation}
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
        if not text:
            return None
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
    """The key a file holds: hexadecimal digits, mode 0600.

    Raises:
        ConfigError: missing, readable by others, not hexadecimal, or shorter than 32 bytes.
    """
    try:
        key = bytes.fromhex(read_secret(path))
    except ValueError:  # the text is a secret: not shown, and no cause that would show it
        raise ConfigError(str(path), "not a key", expected="hexadecimal digits", hint=_HINT) from None
    if len(key) < MIN_KEY_BYTES:
        raise ConfigError(str(path), "the key is too short", got=f"{len(key)} bytes", expected="32", hint=_HINT)
    return key


_HINT = "openssl rand -hex 32"
