"""IBM's Log Event Extended Format: `LEEF:2.0|vendor|product|version|event|^|key=value^key=value`."""

from __future__ import annotations

import re
from typing import Final

MAX_KEYS: Final = 1000
HEADER: Final = ("vendor", "product", "device_version", "event_id")
"""Header fields, in order; the mapping sees them as `leef.vendor`..."""

_START: Final = re.compile(r"LEEF:\s?([12])\.0\|")
_HEX: Final = re.compile(r"(?:0?x|\\x)([0-9A-Fa-f]{2,4})")
_TIME_AND_HOST: Final = re.compile(
    r"(?:<\d{1,3}>)?(?:1 )?(?P<time>\d{4}-\d\d-\d\dT\S{8,30}|[A-Z][a-z]{2} +\d{1,2} (?:\d{4} )?\d\d:\d\d:\d\d)"
    r"(?: (?P<host>\S+))?"
)


def parse_leef(line: str) -> dict[str, str]:
    """The fields of a LEEF line: attributes by their names, `leef.*` from the header, `syslog.{time,host}`.

    Raises:
        ValueError: not a LEEF line; says why.
    """
    start = _START.search(line)
    if start is None:
        raise ValueError("no `LEEF:1.0|` or `LEEF:2.0|` in the line")
    version = start[1]
    cells = line[start.end() :].split("|", 5 if version == "2" else 4)
    if len(cells) < len(HEADER) + 1:
        raise ValueError("the header ends too early")
    fields = {"leef.version": f"{version}.0"} | {
        f"leef.{name}": cell.strip() for name, cell in zip(HEADER, cells, strict=False)
    }
    before = _TIME_AND_HOST.match(line[: start.start()])
    if before is not None:
        fields |= {f"syslog.{name}": value for name, value in before.groupdict().items() if value is not None}
    separator, attributes = _separator(version, cells)
    for pair in attributes.split(separator):
        key, assigned, value = pair.partition("=")
        if assigned and key.strip():
            fields.setdefault(key.strip(), value.strip())
            if len(fields) > MAX_KEYS:
                raise ValueError(f"more than {MAX_KEYS} attributes")
    return fields


def _separator(version: str, cells: list[str]) -> tuple[str, str]:
    """What stands between attributes, and the attributes; version 2 may name it, as itself or in hexadecimal."""
    if version == "1":
        return "\t", cells[4]
    if len(cells) == 5:
        return "\t", cells[4]
    named, attributes = cells[4], cells[5]
    hexadecimal = _HEX.fullmatch(named)
    if hexadecimal is not None:
        return chr(int(hexadecimal[1], 16)), attributes
    if len(named) <= 1:
        return named or "\t", attributes
    return "\t", f"{named}|{attributes}"  # no separator was named, and the first attribute holds a bar
