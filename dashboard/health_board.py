"""Who reports, who is silent, and in which of the two ways; and whether every record is accounted for."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import structlog

from connectors.topic_follower import TopicRecord
from dashboard.member_hours import MINUTE_MS, Column, MemberHours
from schemas.health import Heartbeat, PartitionAccount, health_message
from schemas.member import Member, member_of_topic
from schemas.times import from_rfc3339

log = structlog.get_logger()

SILENT_AFTER_MS: Final = 3 * 60_000
"""Heartbeats come each minute: three missing ones are no accident."""
QUIET_AFTER_MS: Final = 15 * 60_000
"""Without an event for so long although the forwarder lives: its sources stopped."""

BEHIND_AFTER_MS: Final = 30_000
RATE_MINUTES: Final = 5

Health = Literal["reporting", "no_heartbeat", "no_events", "unknown", "disabled"]


@dataclass(frozen=True, slots=True)
class MemberLine:
    """One member, now.

    Attributes:
        heartbeat: ms since 1970 of the last one; None: never.
        events: ms since 1970 when lines were last counted; None: not since this process looks.
        lines: read from it since the job began.
        late: how many of them came too late to be correlated.
        dead: how many of them became dead letters.
        waiting: bytes in the forwarder's spool.
        lag: ms that the oldest line has waited at the forwarder.
        rate: lines per second, over the last five minutes.
        recent: lines, late ones and dead letters of the span that was asked for.
        columns: the same span, drawn.
    """

    member: Member
    health: Health
    heartbeat: int | None = None
    events: int | None = None
    lines: int = 0
    late: int = 0
    dead: int = 0
    waiting: int = 0
    agent: str = ""
    error: str = ""
    lag: int = 0
    rate: float = 0.0
    recent: tuple[int, int, int] = (0, 0, 0)
    columns: Sequence[Column] = ()

    @property
    def behind(self) -> bool:
        """Whether lines wait at the forwarder for longer than they should."""
        return self.health == "reporting" and self.lag > BEHIND_AFTER_MS


@dataclass(slots=True)
class _Beat:
    at: int
    beat: Heartbeat


@dataclass(slots=True)
class _Account:
    at: int
    """When it last counted a new line."""
    account: PartitionAccount


class HealthBoard:
    """The newest heartbeat of each member and the newest account of each partition; append times are the clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._beats: dict[str, _Beat] = {}
        self._accounts: dict[tuple[str, int], _Account] = {}
        self._hours: defaultdict[str, MemberHours] = defaultdict(MemberHours)
        self.newest = 0
        """Append time of the newest message, ms; 0: none yet."""

    def take(self, record: TopicRecord) -> None:
        """Take one message of a health topic; whose heartbeat it is, the topic tells."""
        try:
            message = health_message(record.topic, record.value or b"")
        except ValueError:  # also a member that gives itself out for the job
            log.warning("dashboard.health_unreadable", place=f"{record.topic}/{record.partition}/{record.offset}")
            return
        with self._lock:
            self.newest = max(self.newest, record.timestamp)
            if isinstance(message, Heartbeat):
                self._hours[message.member].heard(record.timestamp)
                known = self._beats.get(message.member)
                if known is None or record.timestamp >= known.at:
                    self._beats[message.member] = _Beat(record.timestamp, message)
            elif isinstance(message, PartitionAccount):
                self._count(message, record.timestamp)

    def lines(self, members: Iterable[Member], now: int, *, minutes: int = 0) -> list[MemberLine]:
        """One line for each member; those that need a person come first.

        Args:
            members: whom to tell of.
            now: ms since 1970.
            minutes: also what so many last minutes brought; every page asks for the states, only the board for this.
        """
        with self._lock:
            lines = [self._line(member, now) for member in members]
            if minutes:
                lines = [self._with_span(line, now, minutes) for line in lines]
        order = ("no_heartbeat", "no_events", "unknown", "reporting", "disabled")
        return sorted(lines, key=lambda line: (order.index(line.health), not line.behind, line.member.id))

    def silent(self, member: str, start: int, end: int) -> bool:
        """Whether nothing was heard of a member from one moment to another (ms), as far as is remembered."""
        with self._lock:
            return member in self._hours and self._hours[member].silent(start, end)

    def lines_between(self, start: int, end: int) -> int:
        """Lines counted of all members from one moment to another, ms."""
        with self._lock:
            return sum(hours.lines_between(start, end) for hours in self._hours.values())

    def known_since(self) -> int | None:
        """Since when anything at all is remembered, ms; None: nothing was heard yet."""
        with self._lock:
            return min((since for hours in self._hours.values() if (since := hours.known_since())), default=None)

    def accounts(self) -> list[PartitionAccount]:
        """The job's newest account of each partition."""
        with self._lock:
            return [entry.account for _, entry in sorted(self._accounts.items())]

    def _count(self, account: PartitionAccount, at: int) -> None:
        place = (account.topic, account.partition)
        known = self._accounts.get(place)
        if known is None:
            # The first account seen may be old news: its lines date from when the job began.
            self._accounts[place] = _Account(at if account.lines else 0, account)
        else:
            self._hours[member_of_topic(account.topic)].counted(at, known.account, account)
            grew = account.lines != known.account.lines
            self._accounts[place] = _Account(at if grew else known.at, account)

    def _line(self, member: Member, now: int) -> MemberLine:
        beat = self._beats.get(member.id)
        own = [entry for (topic, _), entry in self._accounts.items() if member_of_topic(topic) == member.id]
        events = max((entry.at for entry in own), default=0) or None
        return MemberLine(
            member,
            _health(member, beat.at if beat else None, events, now),
            beat.at if beat else None,
            events,
            sum(entry.account.lines for entry in own),
            sum(entry.account.late for entry in own),
            sum(entry.account.dead for entry in own),
            beat.beat.spool_bytes if beat else 0,
            beat.beat.agent if beat else "",
            beat.beat.last_error if beat else "",
            _lag(beat),
        )

    def _with_span(self, line: MemberLine, now: int, minutes: int) -> MemberLine:
        hours = self._hours[line.member.id]
        recent = hours.lines_between(now - RATE_MINUTES * MINUTE_MS, now)
        return replace(
            line,
            rate=recent / (RATE_MINUTES * MINUTE_MS / 1000),
            recent=hours.recent(now, minutes),
            columns=hours.columns(now, minutes),
        )


def _lag(beat: _Beat | None) -> int:
    waiting = [one.spool_oldest for one in beat.beat.inputs if one.spool_oldest] if beat else []
    try:
        return max((beat.at - from_rfc3339(oldest) for oldest in waiting), default=0) if beat else 0
    except ValueError:  # a member's own words
        return 0


def _health(member: Member, heartbeat: int | None, events: int | None, now: int) -> Health:
    if not member.enabled:
        return "disabled"
    if heartbeat is None and events is None:
        return "unknown"
    if heartbeat is None or now - heartbeat > SILENT_AFTER_MS:
        # Ordinary shippers send no heartbeat: fresh events are a sign of life too.
        return "reporting" if events is not None and now - events <= SILENT_AFTER_MS else "no_heartbeat"
    return "reporting" if events is not None and now - events <= QUIET_AFTER_MS else "no_events"
