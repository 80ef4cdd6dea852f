"""What a raw value is made into before it leaves: the conversions a mapping can name after `as:`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, ip_address
from socket import AF_INET, inet_pton
from typing import Final, Literal

from connectors.forwarder.settings import Network
from connectors.mapping.memo import remembering

Value = str | int | float | bool | list[str]
Convert = Callable[[object], Value | None]
"""A raw value -> what leaves, or None for nothing. Raises ValueError where the value is not what it must be."""

ConversionName = Literal[
    "text",
    "account",
    "lower",
    "integer",
    "severity",
    "ip",
    "any_ip",
    "domain",
    "email_domain",
    "url_path",
    "path",
    "threat_path",
    "file_name",
    "command_line",
    "audit_args",
    "md5",
    "sha1",
    "sha256",
    "imphash",
]

MAX_ITEMS: Final = 100
_HASH_DIGITS: Final = {"md5": 32, "sha1": 40, "sha256": 64, "imphash": 32}
_SEVERITY_WORDS: Final = {"unknown": 0, "low": 3, "medium": 6, "high": 8, "very-high": 10}
_ADDRESS: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::\d{1,5})?")
_AUDIT_ARGUMENT: Final = re.compile(r'\ba\d{1,5}="?([^"\s]*)"?')
_PROFILE: Final = re.compile(
    r"((?:^|[\\/])(?:Users|home|Documents and Settings)[\\/])"
    r"(?!(?:Public|Default|All Users|Default User)[\\/])[^\\/]+(?=[\\/])",
    re.IGNORECASE,
)
_SECRET_SWITCH: Final = re.compile(
    r"""(?ix)
    ( (?:^|[\s;&|'"]) (?:--?|/)? [\w-]{0,40} (?:password|passwd|passphrase|pwd|secret|token|api[-_]?key|credential)s?
      [\w-]{0,40} (?:\s*[=:]\s*|\s+) )
    ( "[^"]*" | '[^']*' | \S+ )
    """
)
_SECRET_SHORT: Final = re.compile(r"(?i)((?:^|\s)(?:/p:|/pass:|-p\s+|-pw\s+|-u\s+[^\s:]{1,80}:))(\S+)")
_SECRET_URL: Final = re.compile(r"(?i)([a-z][a-z0-9+.-]{1,20}://[^\s/:@]{0,100}:)[^\s/@]{1,200}(?=@)")
_SECRET_NET_USER: Final = re.compile(r"(?i)(\bnet1?(?:\.exe)?\"?\s+user\s+\S+\s+)(?![/*])(\S+)")


def conversion(name: ConversionName, internal: Sequence[Network]) -> Convert:
    """The conversion of that name.

    Args:
        name: see `CONVERSIONS`.
        internal: networks whose addresses do not leave.
    """
    if name == "ip":
        return _external_ip(internal)
    if name == "any_ip":
        return _any_external_ip(internal)
    return _external_domain(internal) if name == "domain" else CONVERSIONS[name]


def text(value: object) -> Value | None:
    """Text as it is; numbers and truth values as JSON writes them; a list item by item."""
    if type(value) is str:  # what it nearly always is
        return value
    if not isinstance(value, list):
        return plain(value)
    if len(value) > MAX_ITEMS:
        raise ValueError(f"a list of {len(value)} items; at most {MAX_ITEMS}")
    return [plain(item) for item in value]


def account(value: object) -> str:
    r"""A Windows account without its domain: `CORP\bob` and `bob@corp.example` are `bob`."""
    return plain(value).rsplit("\\", 1)[-1].split("@", 1)[0]


def lower(value: object) -> Value | None:
    """Text in lower case."""
    return plain(value).lower()


def integer(value: object) -> Value | None:
    """A whole number that Elasticsearch's `long` can hold; `0x1f` too."""
    if type(value) is int:
        number = value
    else:
        shown = plain(value).strip()
        number = int(shown, 16) if shown[:2].lower() == "0x" else _decimal(shown)
    if not -(2**63) <= number < 2**63:
        raise ValueError("too large a number")
    return number


def severity(value: object) -> Value | None:
    """CEF's severity: 0 to 10, or one of its words."""
    shown = plain(value).strip().lower()
    number = _SEVERITY_WORDS.get(shown)
    if number is None:
        number = _decimal(shown)
    if not 0 <= number <= 10:
        raise ValueError("not between 0 and 10")
    return number


def domain(value: object) -> Value | None:
    """A host name in lower case, without the final dot and without a port."""
    name = plain(value).strip().lower().rstrip(".")
    return name.rsplit(":", 1)[0] if name.count(":") == 1 else name or None


def email_domain(value: object) -> Value | None:
    """The domain of a mail address: who writes stays home, where from does not."""
    address = plain(value).strip().strip("<>")
    return domain(address.rsplit("@", 1)[1]) if "@" in address else None


def url_path(value: object) -> Value | None:
    """The path of a request target: no query, no fragment, no session id; both may name a customer."""
    target = plain(value)
    if "://" in target[:12]:
        rest = target.split("://", 1)[1]
        target = rest[rest.find("/") :] if "/" in rest else "/"
    path = target.split("?", 1)[0].split("#", 1)[0]
    at = path.lower().find(";jsessionid=")
    return path[:at] if at >= 0 else path


def path(value: object) -> Value | None:
    r"""A file path; the name of a user's profile folder becomes `*`.

    >>> path(r"C:\Users\bob\x.exe")
    'C:\\Users\\*\\x.exe'
    """
    return _without_profile(plain(value))


_without_profile: Final = remembering(lambda text: _PROFILE.sub(r"\1*", text), max_chars=260)


def threat_path(value: object) -> Value | None:
    r"""The first file in Microsoft Defender's `Path`: `file:_C:\a.exe; process:_...`."""
    first = plain(value).split(";", 1)[0].strip()
    return path(first.split(":_", 1)[1] if ":_" in first[:40] else first)


def file_name(value: object) -> Value | None:
    """The last part of a path, whichever system wrote it."""
    return plain(value).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] or None


def command_line(value: object) -> Value | None:
    """A command line with what follows password-like switches masked, and profile folders as in `path`.

    A best effort: that a secret is always recognised cannot be promised, so mappings make such a field opt-in.
    """
    shown = plain(value)
    for pattern in (_SECRET_SWITCH, _SECRET_SHORT, _SECRET_NET_USER):
        shown = pattern.sub(r"\1***", shown)
    return _PROFILE.sub(r"\1*", _SECRET_URL.sub(r"\1***", shown))


def audit_args(value: object) -> Value | None:
    """The arguments of an EXECVE record, `a1="-k" a2="..."`, as a `command_line`."""
    return command_line(" ".join(_AUDIT_ARGUMENT.findall(plain(value)))) or None


def _hash_of(algorithm: str) -> Convert:
    digits = _HASH_DIGITS[algorithm]
    is_hash = re.compile(rf"[0-9a-f]{{{digits}}}")

    def convert(value: object) -> Value | None:
        r"""One hash in lower case: alone, or out of Sysmon's `SHA1=...,SHA256=...`; None if it is not among them."""
        shown = plain(value).strip().lower()
        if "=" in shown:
            pairs = dict(part.split("=", 1) for part in shown.split(",") if "=" in part)
            shown = pairs.get(algorithm, "").strip()
            if not shown:
                return None
        if is_hash.fullmatch(shown) is None:
            raise ValueError(f"not a {algorithm} hash")
        return None if shown == "0" * digits else shown  # Sysmon writes zeros where it could not tell

    return convert


def _external_ip(internal: Sequence[Network]) -> Convert:
    masks = [(int(one.network_address), int(one.netmask)) for one in internal if isinstance(one, IPv4Network)]

    @lru_cache(maxsize=8192)
    def read(shown: str) -> str | None:
        if ":" not in shown:
            return _external_ipv4(shown.strip(), masks)
        address = ip_address(shown.strip().strip("[]").split("%", 1)[0])
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return None if any(address in network for network in internal) else str(address)

    return lambda value: read(plain(value))


def _external_ipv4(shown: str, masks: list[tuple[int, int]]) -> str | None:
    """The common case without the objects of `ipaddress`, at a fifth of its cost."""
    try:
        packed = inet_pton(AF_INET, shown)
    except (OSError, ValueError, UnicodeEncodeError):
        raise ValueError(f"{shown[:60]!r} does not appear to be an IPv4 or IPv6 address") from None
    number = int.from_bytes(packed, "big")
    return None if any(number & mask == network for network, mask in masks) else shown


def _any_external_ip(internal: Sequence[Network]) -> Convert:
    """As `ip`, for fields that may also hold something else, or a port behind the address."""
    read = _external_ip(internal)

    def convert(value: object) -> Value | None:
        if isinstance(value, list):
            found_ones = [one for item in value[:MAX_ITEMS] if isinstance(one := convert(item), str)]
            return found_ones or None
        shown = plain(value).strip()
        found = _ADDRESS.fullmatch(shown)
        try:
            return read(found[1] or found[2] if found is not None else shown)
        except ValueError:
            return None

    return convert


def _external_domain(internal: Sequence[Network]) -> Convert:
    """As `domain`; an internal address in place of a name does not leave."""
    read = _any_external_ip(internal)

    def convert(value: object) -> Value | None:
        name = domain(value)
        is_address = isinstance(name, str) and (name.replace(".", "").isdecimal() or ":" in name)
        return read(name) if is_address else name

    return convert


def plain(value: object) -> str:
    """One scalar as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise ValueError(f"a {type(value).__name__} where one value was expected")


def _decimal(shown: str) -> int:
    if len(shown) > 20:  # int() of a million digits takes seconds
        raise ValueError("not a number")
    return int(shown)


CONVERSIONS: Final[dict[ConversionName, Convert]] = {
    "text": text,
    "account": account,
    "lower": lower,
    "integer": integer,
    "severity": severity,
    "ip": _external_ip(()),
    "any_ip": _any_external_ip(()),
    "domain": domain,
    "email_domain": email_domain,
    "url_path": url_path,
    "path": path,
    "threat_path": threat_path,
    "file_name": file_name,
    "command_line": command_line,
    "audit_args": audit_args,
    "md5": _hash_of("md5"),
    "sha1": _hash_of("sha1"),
    "sha256": _hash_of("sha256"),
    "imphash": _hash_of("imphash"),
}
