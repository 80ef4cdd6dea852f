"""Grok patterns: `%{NAME}` and `%{NAME:field}` stand for regular expressions that everybody needs."""

from __future__ import annotations

import re
from typing import Final

MAX_DEPTH: Final = 8
MAX_EXPANDED: Final = 64 * 1024

PATTERNS: Final = {
    "INT": r"[+-]?\d+",
    "POSINT": r"[1-9]\d*",
    "NUMBER": r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)",
    "HEX": r"(?:0[xX])?[0-9A-Fa-f]+",
    "WORD": r"\b\w+\b",
    "NOTSPACE": r"\S+",
    "SPACE": r"\s*",
    "DATA": r".*?",
    "GREEDYDATA": r".*",
    "QUOTED": r'"(?:[^"\\]|\\.)*"',
    "UUID": r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}",
    "USER": r"[\w.@$+-]+",
    "EMAIL": r"[^\s@<>]+@[\w.-]+",
    "IPV4": r"(?:\d{1,3}\.){3}\d{1,3}",
    "IPV6": r"(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{0,4}|%{IPV4})(?:%\w+)?",
    "IP": r"(?:%{IPV6}|%{IPV4})",
    "MAC": r"(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}",
    "HOSTNAME": r"[\w](?:[\w-]*[\w])?(?:\.[\w](?:[\w-]*[\w])?)*\.?",
    "IPORHOST": r"(?:%{IP}|%{HOSTNAME})",
    "HOSTPORT": r"%{IPORHOST}:%{POSINT}",
    "PATH": r"(?:/[^\s]*|[A-Za-z]:\\[^\s]*)",
    "URIPATH": r"/[^\s?#]*",
    "URI": r"[A-Za-z][A-Za-z0-9+.-]*://\S+",
    "MONTH": r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)",
    "TIME": r"\d{2}:\d{2}:\d{2}(?:[.,]\d+)?",
    "SYSLOGTIMESTAMP": r"%{MONTH} +\d{1,2} %{TIME}",
    "HTTPDATE": r"\d{2}/%{MONTH}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4}",
    "TIMESTAMP_ISO8601": r"\d{4}-\d{2}-\d{2}[T ]%{TIME}(?:Z|[+-]\d{2}:?\d{2})?",
    "LOGLEVEL": r"(?i:trace|debug|info|notice|warn(?:ing)?|err(?:or)?|crit(?:ical)?|alert|fatal|emerg(?:ency)?)",
}
"""Name -> regular expression, in which other names may stand."""

_REFERENCE: Final = re.compile(r"%\{([A-Z0-9_]+)(?::([A-Za-z_][A-Za-z0-9_]*))?\}")


def expand_grok(pattern: str) -> str:
    r"""The regular expression a grok pattern means, in RE2 syntax.

    Raises:
        ValueError: no such name.

    >>> expand_grok("user %{INT:id}")
    'user (?P<id>[+-]?\\d+)'
    """
    for _ in range(MAX_DEPTH):
        if "%{" not in pattern:
            break
        pattern = _REFERENCE.sub(_expansion, pattern)
        if len(pattern) > MAX_EXPANDED:
            raise ValueError(f"the pattern grows beyond {MAX_EXPANDED} characters")
    if "%{" in pattern:
        raise ValueError("`%{` without a name; expected %{NAME} or %{NAME:field}, the field in letters, digits and _")
    return pattern


def _expansion(found: re.Match[str]) -> str:
    name, field = found.groups()
    if name not in PATTERNS:
        raise ValueError(f"no grok pattern {name}; there are {', '.join(PATTERNS)}")
    return f"(?P<{field}>{PATTERNS[name]})" if field else f"(?:{PATTERNS[name]})"
