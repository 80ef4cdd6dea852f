"""Until when a certificate is valid, read from its PEM file; needs no more than the standard library."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from schemas.errors import ConfigError

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0


def expires(path: Path) -> datetime:
    """When the first of a file's certificates ends to be valid (RFC 5280: `tbsCertificate.validity.notAfter`).

    Raises:
        ConfigError: the file cannot be read, or holds no certificate.
    """
    try:
        found = _PEM.search(path.read_bytes())
        if found is None:
            raise ConfigError(str(path), "holds no certificate", expected="PEM")
        return _not_after(base64.b64decode(found[1], validate=False))
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from error
    except (ValueError, IndexError, binascii.Error) as error:
        raise ConfigError(str(path), "a damaged certificate") from error


def _not_after(der: bytes) -> datetime:
    _, certificate, _ = _element(der, 0)
    _, at, _ = _element(der, certificate)  # tbsCertificate
    kind, _, behind = _element(der, at)
    if kind == _VERSION:
        at = behind
    for _ in range(3):  # serial number, signature algorithm, issuer
        _, _, at = _element(der, at)
    kind, validity, _ = _element(der, at)
    if kind != _SEQUENCE:
        raise ValueError("no validity")
    _, _, second = _element(der, validity)
    kind, begin, end = _element(der, second)
    if kind not in (_UTC_TIME, _GENERALIZED_TIME):
        raise ValueError("no time")
    shown = der[begin:end].decode("ascii")
    return datetime.strptime(shown, "%y%m%d%H%M%SZ" if kind == _UTC_TIME else "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """A DER element: its tag, where its content begins, and where it ends."""
    length, begin = der[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length, begin = int.from_bytes(der[begin : begin + count], "big"), begin + count
    if begin + length > len(der):
        raise ValueError("cut off")
    return der[at], begin, begin + length
