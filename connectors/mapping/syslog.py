"""Syslog headers: RFC 5424, RFC 3164 as programs write it, and what log files keep of them."""

from __future__ import annotations

import re
from typing import Final

SYSLOG_FIELDS: Final = frozenset(
    f"syslog.{name}" for name in ("time", "host", "program", "pid", "message_id", "facility", "severity")
)
"""Structured data comes on top: `syslog.data.<id>.<name>`."""
MAX_PARAMETERS: Final = 200

_NEW: Final = re.compile(
    r"<(?P<priority>\d{1,3})>1 (?P<time>\S{1,64}) (?P<host>\S{1,255}) (?P<program>\S{1,48}) (?P<pid>\S{1,128}) "
    r"(?P<message_id>\S{1,32}) "
)
_OLD: Final = re.compile(
    r"(?:<(?P<priority>\d{1,3})>)?"
    r"(?P<time>[A-Z][a-z]{2} {1,2}\d{1,2} (?:\d{4} )?\d\d:\d\d:\d\d(?:\.\d{1,6})?|\d{4}-\d\d-\d\dT\S{8,30}) "
    r"(?P<host>\S{1,255}) (?:(?P<program>[^\s\[:]{1,100})(?:\[(?P<pid>[^\]\s]{1,40})\])?: ?)?"
)
_ELEMENT: Final = re.compile(r'\[([^\s\]="]{1,32})((?: [^\s\]="]{1,32}="(?:[^"\\]|\\.)*+")*+)\]')
_PARAMETER: Final = re.compile(r' ([^\s\]="]{1,32})="((?:[^"\\]|\\.)*+)"')
_NIL: Final = "-"


def split_syslog(line: str) -> tuple[dict[str, str], str]:
    r"""The parts of a header, named `syslog.*`, and the message behind it.

    Raises:
        ValueError: there is no such header.

    >>> split_syslog("<34>Oct 11 22:14:15 web su[7]: failed")[1]
    'failed'
    """
    found = _NEW.match(line) or _OLD.match(line)
    if found is None:
        raise ValueError("no syslog header (RFC 3164 or 5424) before the message")
    parts = {
        f"syslog.{name}": value
        for name, value in found.groupdict().items()
        if value is not None and value != _NIL and name != "priority"
    }
    priority = found["priority"]
    if priority is not None:
        parts["syslog.facility"], parts["syslog.severity"] = str(int(priority) // 8), str(int(priority) % 8)
    at = found.end()
    if found.re is _NEW:
        at = _read_data(line, at, parts)
    return parts, line[at:].removeprefix("\ufeff")


def _read_data(line: str, at: int, parts: dict[str, str]) -> int:
    """Structured data, `-` or elements in brackets; returns where the message begins."""
    if line.startswith(_NIL, at):
        return min(len(line), at + 2)
    while (element := _ELEMENT.match(line, at)) is not None:
        for parameter in _PARAMETER.finditer(element[2]):
            if len(parts) < MAX_PARAMETERS:
                value = re.sub(r'\\(["\\\]])', r"\1", parameter[2])
                parts.setdefault(f"syslog.data.{element[1]}.{parameter[1]}", value)
        at = element.end()
    return at + line.startswith(" ", at)
