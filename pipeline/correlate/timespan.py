"""Spans of time as rules write them: `30s`, `5m`, `1h`, `3d`, `2w`, `1M`."""

from __future__ import annotations

import re
from typing import Final

from schemas.errors import RuleError

UNITS: Final = {
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "M": 2_629_746_000,
}
"""Unit -> milliseconds; a month is a twelfth of the mean Gregorian year, as in pySigma."""
RETENTION: Final = 31 * UNITS["d"]
"""Longest span in milliseconds: hits are not kept for longer."""

_SPAN: Final = re.compile(r"(\d{1,9})([smhdwM])", re.ASCII)


def parse_timespan(text: object, where: str, name: str = "timespan") -> int:
    """A span in milliseconds.

    Raises:
        RuleError: not a span, zero, or longer than hits are kept.
    """
    match = _SPAN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise RuleError(
            where, f"{name} is not a span of time", got=text, expected="a number and one of s m h d w M, as in `15m`"
        )
    span = int(match[1]) * UNITS[match[2]]
    if not 0 < span <= RETENTION:
        days = RETENTION // UNITS["d"]
        raise RuleError(
            where, f"{name} is outside what can be kept", got=text, expected=f"more than zero, at most {days}d"
        )
    return span
