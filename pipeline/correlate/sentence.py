"""The one sentence that a person reads first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline.correlate.content import Content
from pipeline.correlate.correlation import Correlation
from schemas.errors import printable

LONGEST_VALUE: Final = 40
LONGEST_TITLE: Final = 80


def correlated_sentence(correlation: Correlation, group: Sequence[str], content: Content, groups: int) -> str:
    """Who, what, how much, where, how quickly.

    For example `203.0.113.7: Password spraying, 84 events at 4 institutions (3 groups) in 12 min`.
    """
    key = ", ".join(_shortened(printable(value), LONGEST_VALUE) for value in group)
    title = _shortened(printable(correlation.title), LONGEST_TITLE)
    members = len(content.members)
    where = _counted(members, "institution") + (f" ({_counted(groups, 'group')})" if groups != members else "")
    first = min(part.first for part in content.members.values())
    last = max(part.last for part in content.members.values())
    what = f"{title}, {_counted(content.count, 'event')} at {where} in {duration(last - first)}"
    return f"{key}: {what}" if key else what


def single_sentence(title: str, member: str) -> str:
    """What, and where."""
    return f"{_shortened(printable(title), LONGEST_TITLE)} at {member}"


def duration(milliseconds: int) -> str:
    """A length of time as a person would say it.

    >>> [duration(ms) for ms in (0, 90_000, 7_200_000, 200_000_000)]
    ['1 s', '90 s', '2 h', '2 days']
    """
    seconds = max(1, round(milliseconds / 1000))
    if seconds < 120:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = round(minutes / 60)
    return f"{hours} h" if hours < 48 else f"{round(hours / 24)} days"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
