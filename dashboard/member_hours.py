"""What each institution sent in the last hours, minute by minute: the difference between accounts, and heartbeats."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from schemas.health import PartitionAccount

MINUTE_MS: Final = 60_000
KEPT_MINUTES: Final = 6 * 60
COLUMNS: Final = 30
"""Of a drawing, however many minutes it spans."""


@dataclass(frozen=True, slots=True)
class Column:
    """A few minutes of one institution."""

    lines: int
    alive: bool
    """A heartbeat or an event was heard; without either nothing is known."""
    heartbeat: bool


@dataclass(slots=True)
class _Minute:
    lines: int = 0
    late: int = 0
    dead: int = 0
    heartbeat: bool = False


@dataclass(slots=True)
class MemberHours:
    """One institution's last hours; times are append times, ms since 1970."""

    _minutes: dict[int, _Minute] = field(default_factory=dict)

    def heard(self, at: int) -> None:
        """A heartbeat came."""
        self._minute(at).heartbeat = True

    def counted(self, at: int, before: PartitionAccount, after: PartitionAccount) -> None:
        """An account came; it holds what was read since the account before it."""
        minute = self._minute(at)
        minute.lines += max(0, after.lines - before.lines)
        minute.late += max(0, after.late - before.late)
        minute.dead += max(0, after.dead - before.dead)

    def columns(self, now: int, minutes: int) -> list[Column]:
        """So many last minutes (a multiple of `COLUMNS`), oldest first."""
        last, width = now // MINUTE_MS, minutes // COLUMNS
        return [self._column(range(start, start + width)) for start in range(last - minutes + 1, last + 1, width)]

    def lines_between(self, start: int, end: int) -> int:
        """Lines counted from one moment to another."""
        return sum(one.lines for number, one in self._minutes.items() if start <= number * MINUTE_MS < end)

    def known_since(self) -> int | None:
        """When the first remembered minute began, ms; None: nothing was heard yet."""
        return min(self._minutes) * MINUTE_MS if self._minutes else None

    def recent(self, now: int, minutes: int) -> tuple[int, int, int]:
        """Lines, late ones and dead letters of so many last minutes."""
        oldest = now // MINUTE_MS - minutes
        recent = [one for number, one in self._minutes.items() if number > oldest]
        return sum(m.lines for m in recent), sum(m.late for m in recent), sum(m.dead for m in recent)

    def silent(self, start: int, end: int) -> bool:
        """Whether nothing was heard in a stretch that lies wholly within what is remembered."""
        if not self._minutes or start < min(self._minutes) * MINUTE_MS:
            return False
        minutes = range(start // MINUTE_MS, max(-(-end // MINUTE_MS), start // MINUTE_MS + 1))
        return not self._column(minutes).alive

    def _column(self, minutes: range) -> Column:
        known = [one for number in minutes if (one := self._minutes.get(number)) is not None]
        lines, beat = sum(one.lines for one in known), any(one.heartbeat for one in known)
        return Column(lines, beat or lines > 0, beat)

    def _minute(self, at: int) -> _Minute:
        number = at // MINUTE_MS
        if number not in self._minutes:
            self._minutes[number] = _Minute()
            oldest = max(self._minutes) - KEPT_MINUTES
            for old in [minute for minute in self._minutes if minute < oldest]:
                del self._minutes[old]
        return self._minutes[number]
