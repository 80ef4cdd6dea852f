"""Times as logs write them, in milliseconds since 1970."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

FormatName = Literal["rfc3339", "clf", "syslog", "cef", "epoch_s", "epoch_ms", "bind", "ctime"]

ReadTime = Callable[[object], int]
"""A field's value -> ms. Raises ValueError or OverflowError where it is no such time."""

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
_CLF: Final = re.compile(r"(../.../....):(\d\d):(\d\d):(\d\d) (.....)", re.ASCII)
_CLF_DAY: Final = re.compile(r"(\d\d)/([A-Z][a-z]{2})/(\d{4}) ([+-])(\d\d)(\d\d)", re.ASCII)
_WORDS: Final = re.compile(
    r"([A-Z][a-z]{2}) +(\d{1,2})(?: (\d{4}))? (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?: (?:UTC|GMT|Z))?", re.ASCII
)
_BIND: Final = re.compile(
    r"(?P<day>\d{1,2})-(?P<month>[A-Z][a-z]{2})-(?P<year>\d{4}) (?P<clock>\d\d:\d\d:\d\d(?:\.\d{1,6})?)", re.ASCII
)
_CTIME: Final = re.compile(
    r"[A-Z][a-z]{2} (?P<month>[A-Z][a-z]{2}) {1,2}(?P<day>\d{1,2}) (?P<clock>\d\d:\d\d:\d\d) (?P<year>\d{4})", re.ASCII
)
_NO_CLF: Final = "not like 23/Nov/2026:10:00:00 +0800"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - `timezone` is needed below anyway
_MILLISECOND: Final = timedelta(milliseconds=1)
_LATEST_MS: Final = 253_402_300_799_999
"""The end of the year 9999: what RFC 3339 can say."""


def time_reader(name: FormatName, zone: ZoneInfo, now: Callable[[], int]) -> ReadTime:
    """A reader of one format.

    Args:
        name: `rfc3339`; `clf` (23/Nov/2026:10:00:00 +0800); `syslog` (Nov 23 10:00:00, or RFC 3339 as current daemons
            write it); `cef` (epoch milliseconds, or Nov 23 2026 10:00:00); `epoch_s`; `epoch_ms`; `bind` (23-Nov-2026
            10:00:00.123); `ctime` (Mon Nov 23 10:00:00 2026).
        zone: of times that name none.
        now: ms; a time without a year is the latest that is not more than a day ahead of this.
    """

    def syslog(text: str) -> int:
        return _rfc3339(text, zone) if text[:1].isdigit() else _words(text, zone, now)

    def cef(text: str) -> int:
        return _epoch(text, 1) if text.isdecimal() else syslog(text)

    readers: dict[FormatName, Callable[[str], int]] = {
        "rfc3339": lambda text: _rfc3339(text, zone),
        "clf": _clf,
        "syslog": syslog,
        "cef": cef,
        "bind": lambda text: _named_month(_BIND, text, zone),
        "ctime": lambda text: _named_month(_CTIME, text, zone),
        "epoch_s": lambda text: _epoch(text, 1000),
        "epoch_ms": lambda text: _epoch(text, 1),
    }
    # Neighbouring lines share their second. Small: a time without a year must not outlive a change of year.
    read = lru_cache(maxsize=64)(readers[name])
    return lambda value: read(value if isinstance(value, str) else str(value))


def _rfc3339(text: str, zone: ZoneInfo) -> int:
    moment = datetime.fromisoformat(text)
    return _ms(moment if moment.tzinfo is not None else moment.replace(tzinfo=zone))


def _clf(text: str) -> int:
    found = _CLF.fullmatch(text)
    if found is None:
        raise ValueError(_NO_CLF)
    day, hours, minutes, seconds, zone = found.groups()
    hour, minute, second = int(hours), int(minutes), int(seconds)
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("no such time of day")
    return _clf_midnight(f"{day} {zone}") + (hour * 3600 + minute * 60 + second) * 1000


@lru_cache(maxsize=64)  # all lines of a day share it
def _clf_midnight(day_and_zone: str) -> int:
    found = _CLF_DAY.fullmatch(day_and_zone)
    if found is None:
        raise ValueError(_NO_CLF)
    day, month, year, sign, zone_hours, zone_minutes = found.groups()
    offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
    zone = timezone(-offset if sign == "-" else offset)
    return _ms(datetime(int(year), _month(month), int(day), tzinfo=zone))


def _words(text: str, zone: ZoneInfo, now: Callable[[], int]) -> int:
    found = _WORDS.fullmatch(text)
    if found is None:
        raise ValueError("not like Nov 23 10:00:00")
    month, day, year, hour, minute, second, fraction = found.groups()
    micro = int((fraction or "0").ljust(6, "0"))

    def in_year(number: int) -> int:
        clock = (int(hour), int(minute), int(second), micro)
        return _ms(datetime(number, _month(month), int(day), *clock, tzinfo=zone))

    if year is not None:
        return in_year(int(year))
    limit = now() + 86_400_000
    this_year = (_EPOCH + timedelta(milliseconds=now())).year
    for number in range(this_year + 1, this_year - 8, -1):  # 29 February may be years back
        try:
            moment = in_year(number)
        except ValueError:
            continue
        if moment <= limit:
            return moment
    raise ValueError("no such day")


def _named_month(pattern: re.Pattern[str], text: str, zone: ZoneInfo) -> int:
    found = pattern.fullmatch(text)
    if found is None:
        raise ValueError("not a time of the format the mapping names")
    date = f"{found['year']}-{_month(found['month']):02}-{int(found['day']):02}"
    return _rfc3339(f"{date}T{found['clock']}", zone)


def _epoch(text: str, factor: int) -> int:
    moment = int(text) * factor if text.isdecimal() else int(float(text) * factor)
    if not 0 <= moment <= _LATEST_MS:
        raise ValueError("out of range")
    return moment


def _month(name: str) -> int:
    number = _MONTHS.get(name)
    if number is None:
        raise ValueError(f"no month {name}")
    return number


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND
