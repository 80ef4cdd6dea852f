"""Numbers, times and foreign text as an analyst reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from dashboard.language import ENGLISH, current, say
from schemas.errors import printable

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
_UNBROKEN = re.compile(r"([!-~]{12})[!-~…]{18,}?([:;,.]?)(?!\S)")
"""Letters that are no words: Chinese, which needs no spaces, is none of them."""
NOTHING = "\N{EN DASH}"
"""Stands where there is no number to tell."""


def duration(milliseconds: int) -> str:
    """A span in its two largest units, in the language of the request.

    >>> duration(2_400_000), duration(5_460_000), duration(28_800_000), duration(61_000), duration(400)
    ('40 m', '1 h 31 m', '8 h', '1 m 1 s', '0 s')
    """
    units = (("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND))
    for place, (name, size) in enumerate(units):
        if milliseconds >= size:
            whole, rest = divmod(milliseconds, size)
            smaller = units[place + 1] if place + 1 < len(units) else None
            # Seconds beside ten or more minutes say nothing.
            part = rest // smaller[1] if smaller and not (name == "m" and whole >= 10) else 0
            whole_text = say(f"{{n}} {name}", n=whole)
            return f"{whole_text} {say(f'{{n}} {smaller[0]}', n=part)}" if smaller and part else whole_text
    return say("{n} s", n=0)


def tenths(milliseconds: int) -> str:
    """A short span with a tenth of a second, a longer one as `duration` tells it.

    >>> tenths(1234), tenths(61_000)
    ('1.2 s', '1 m 1 s')
    """
    return say("{n} s", n=f"{milliseconds / 1000:.1f}") if milliseconds < 10_000 else duration(milliseconds)


def clock(moment: int, zone: ZoneInfo, *, seconds: bool = False) -> str:
    """Time of day, such as `09:02` or `09:02:11`.

    >>> clock(1_795_435_200_000, ZoneInfo("Asia/Taipei"))
    '20:00'
    """
    return f"{_local(moment, zone):{'%H:%M:%S' if seconds else '%H:%M'}}"


def day(moment: int, zone: ZoneInfo) -> str:
    """Day and month, such as `23 Nov`."""
    local = _local(moment, zone)
    return _day(local, year=False)


def zone_offset(moment: int, zone: ZoneInfo) -> int:
    """How far the zone is ahead of UTC at that moment, ms."""
    offset = _local(moment, zone).utcoffset()
    return int(offset.total_seconds()) * SECOND if offset else 0


def day_and_clock(moment: int, zone: ZoneInfo, now: int, *, seconds: bool = False) -> str:
    """Time of day, with the date before it unless it is today's.

    >>> utc = ZoneInfo("UTC")
    >>> day_and_clock(1_795_435_200_000, utc, 1_795_435_260_000), day_and_clock(0, utc, 1_795_435_260_000)
    ('12:00', '1 Jan 1970 00:00')
    """
    local, today = _local(moment, zone), _local(now, zone)
    text = clock(moment, zone, seconds=seconds)
    if local.date() == today.date():
        return text
    return f"{_day(local, year=local.year != today.year)} {text}"


def span(first: int, last: int, zone: ZoneInfo, now: int) -> str:
    r"""From when to when; with seconds if it was short.

    >>> utc = ZoneInfo("UTC")
    >>> span(1_795_435_200_000, 1_795_437_600_000, utc, 1_795_437_600_000) == "12:00\N{EN DASH}12:40"
    True
    """
    seconds = last - first < 10 * MINUTE
    start = day_and_clock(first, zone, now, seconds=seconds)
    if last == first:
        return start
    same_day = _local(first, zone).date() == _local(last, zone).date()
    end = clock(last, zone, seconds=seconds) if same_day else day_and_clock(last, zone, now, seconds=seconds)
    return f"{start}\N{EN DASH}{end}"


def _day(local: datetime, *, year: bool) -> str:
    """Not `strftime`: its month names follow the machine's locale, not the reader's language."""
    if current() != ENGLISH:
        return f"{local.year}年" * year + f"{local.month}月{local.day}日"
    return f"{local.day} {_MONTHS[local.month - 1]}" + f" {local.year}" * year


def _local(moment: int, zone: ZoneInfo) -> datetime:
    # Not fromtimestamp(): it refuses times outside what the C library bears.
    return (datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC")) + timedelta(milliseconds=moment)).astimezone(zone)


def number(value: int, *, exact: bool = True) -> str:
    """With thousands separated; a count that reached a cap says so.

    >>> number(1286), number(5000, exact=False)
    ('1,286', '5,000+')
    """
    return f"{value:,}{'' if exact else '+'}"


def per_cent(part: int, whole: int) -> str:
    """A share with a tenth of a per cent; of nothing there is none.

    >>> per_cent(1, 3), per_cent(0, 0) == NOTHING
    ('33.3%', True)
    """
    return f"{100 * part / whole:.1f}%" if whole else NOTHING


def counted(value: int, one: str, many: str = "") -> str:
    """A number and its noun.

    >>> counted(1, "alert"), counted(2, "alert")
    ('1 alert', '2 alerts')
    """
    if current() != ENGLISH:
        return say(f"{{n}} {one}", n=f"{value:,}")
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def safe(text: str, longest: int = 300) -> str:
    r"""Foreign text for a page: direction marks and control characters made visible, overlong text cut.

    Escaping for HTML is the template's work; this keeps text from lying about itself.

    >>> safe("a\u202eb", 5)
    'a\\u2…'
    """
    shown = printable(text[: longest + 1])
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def shortened(value: str, longest: int = 26) -> str:
    """A long value cut in the middle, where hashes differ least.

    >>> shortened("9f2c41aa00bb11cc22dd33ee44ff5566d1e7b0")
    '9f2c41aa00bb…ff5566d1e7b0'
    """
    text = safe(value, 200)
    if len(text) <= longest:
        return text
    side = (longest - 1) // 2
    return f"{text[:side]}…{text[-side:]}"


def sentence(message: str) -> str:
    """An alert's sentence: what has no place to break in it, such as a hash, is cut, so that the words can be read.

    >>> sentence("5df729ce8364b76120199134afc96892b357fd2…: The same web shell, 4 events")
    '5df729ce8364…: The same web shell, 4 events'
    >>> sentence("同一位址於三家以上機構嘗試登入客戶入口網站後又於其中一家機構完成轉帳")[-2:]
    '轉帳'
    """
    return _UNBROKEN.sub(r"\1…\2", safe(message))


def key_text(group_by: Mapping[str, str], *, short: bool) -> str:
    """The shared key's values; empty for an alert without group-by."""
    return " · ".join(shortened(value) if short else safe(value) for value in group_by.values())


def state_note(state: str) -> str:
    """What a state means for the reader."""
    notes = {
        "open": say("still open to new hits"),
        "settled": say("settled: no earlier hit can change it"),
        "superseded": say("superseded: late data changed where it begins"),
    }
    return notes.get(state, "")
