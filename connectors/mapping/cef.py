r"""ArcSight's Common Event Format: `CEF:0|vendor|product|version|signature|name|severity|key=value ...`.

In the header `\|` and `\\` are escaped, in the extension `\=`, `\\`, `\n` and `\r`; values may hold spaces.
"""

from __future__ import annotations

import re
from typing import Final

MAX_KEYS: Final = 1000
HEADER: Final = ("vendor", "product", "device_version", "signature", "name", "severity")
"""Header fields, in order; the mapping sees them as `cef.vendor`..."""

# The bar ends a field unless escaped. Possessive: no backtracking on a line of backslashes.
_FIELD: Final = re.compile(r"((?:[^\\|]|\\.)*+)\|", re.DOTALL)
_KEY: Final = re.compile(r"(?:^|(?<=\s))([A-Za-z0-9_.\[\]-]{1,200})=")
_ESCAPE: Final = re.compile(r"\\([\\=|nr])")
_ESCAPED: Final = {"n": "\n", "r": "\r"}
_VERSION: Final = re.compile(r"CEF:\s?(\d{1,3})\|")
_SYSLOG: Final = re.compile(
    r"(?:<\d{1,3}>)?(?:\d )?(?P<time>\d{4}-\d\d-\d\dT\S{8,30}|[A-Z][a-z]{2} +\d{1,2} (?:\d{4} )?\d\d:\d\d:\d\d)"
    r"(?: (?P<host>\S+))?"
)


def parse_cef(line: str) -> dict[str, str]:
    """The fields of a CEF line: extension keys by their names, `cef.*` from the header, `syslog.{time,host}`.

    Raises:
        ValueError: not a CEF line; says why.
    """
    start = _VERSION.search(line)
    if start is None:
        raise ValueError("no `CEF:0|` in the line")
    fields: dict[str, str] = {"cef.version": start.group(1)}
    syslog = _SYSLOG.match(line[: start.start()])
    if syslog is not None:
        fields |= {f"syslog.{key}": value for key, value in syslog.groupdict().items() if value is not None}
    position = start.end()
    for name in HEADER:
        found = _FIELD.match(line, position)
        if found is None:
            raise ValueError(f"the header ends before its field {name}")
        fields["cef." + name] = _unescape(found.group(1)).strip()
        position = found.end()
    _read_extension(line[position:], fields)
    return fields


def _read_extension(extension: str, fields: dict[str, str]) -> None:
    keys = list(_KEY.finditer(extension))
    if len(keys) > MAX_KEYS:
        raise ValueError(f"more than {MAX_KEYS} extension keys")
    ends = [key.start() for key in keys] + [len(extension)]
    for key, end in zip(keys, ends[1:], strict=True):
        fields.setdefault(key.group(1), _unescape(extension[key.end() : end]).strip())


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found.group(1), found.group(1)), text)
