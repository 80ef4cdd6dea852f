"""The story that recorded savepoints are about: what was sent before one was taken, and what is sent after.

Savepoints of earlier releases hold the first half, so neither half may change, nor the rules in `recorded/rules`. A new
release that needs another story gets one beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final

from pipeline.rulepack import RulePack, build_pack
from schemas.member import Member, MemberRegistry
from schemas.times import from_rfc3339, to_rfc3339
from tests.local_centre import Arrival

BEGAN: Final = from_rfc3339("2026-11-23T09:00:00.000Z")
MINUTE: Final = 60_000
FAR: Final = BEGAN + 24 * 60 * MINUTE
"""When everything is settled."""
REGISTRY: Final = MemberRegistry(members=tuple(Member(id=f"recorded-{name}", name=name) for name in ("ash", "birch")))
TOPICS: Final = tuple(member.topic for member in REGISTRY.members)
RULES: Final = Path(__file__).parent / "recorded" / "rules"

_EARLY: Final = (
    (0, "ash", "probe", "counted"),
    (1, "birch", "probe", "counted"),
    (2, "ash", "login", "named"),
    (3, "ash", "login", "named"),
    (4, "ash", "probe", "mixed"),
    (5, "birch", "login", "mixed"),
    (6, "ash", "login", "handed-on"),
    (7, "ash", "login", "forgotten"),
    (8, "ash", "transfer", "rich"),
    *((9 + number, ("ash", "birch")[number % 2], "probe", "growing") for number in range(4)),
)
"""Minute, member, action, and whose; two members' probes at `growing` are an alert before the savepoint."""
_LATER: Final = (
    (20, "ash", "probe", "counted"),
    (21, "ash", "logout", "leaving"),
    (22, "birch", "probe", "growing"),
)
"""After a rule was added: what was read till then has been written as pages, this stands in the journal."""
_REST: Final = (
    (30, "birch", "probe", "counted"),
    (31, "birch", "login", "named"),
    (32, "birch", "transfer", "mixed"),
    (33, "birch", "transfer", "handed-on"),
    (34, "birch", "transfer", "rich"),
    (35, "birch", "logout", "leaving"),
    (36, "ash", "probe", "growing"),
    (37, "ash", "transfer", "growing"),
)


def first_pack() -> RulePack:
    """The rules without the one that is added."""
    return build_pack([path for path in sorted(RULES.iterdir()) if path.stem != "later"], REGISTRY)


def whole_pack() -> RulePack:
    """All of the rules."""
    return build_pack([RULES], REGISTRY)


def halves() -> tuple[list[Arrival], list[Arrival], list[Arrival]]:
    """What comes before the rule is added, before the savepoint, and after it."""
    numbers = count()
    early, later, rest = ([_arrival(next(numbers), *one) for one in part] for part in (_EARLY, _LATER, _REST))
    return early, later, rest


def _arrival(number: int, minute: int, member: str, action: str, whose: str) -> Arrival:
    time = BEGAN + minute * MINUTE
    event: dict[str, Any] = {
        "@timestamp": to_rfc3339(time),
        "event.id": f"recorded-{number}",
        "event.action": action,
        "source.ip": whose,
        "user.hash": f"user-{number}",
        "transfer.amount": 600,
        "jointsoc.logsource.product": "jointsoc",
        "jointsoc.logsource.service": "recorded",
    }
    return Arrival(time, f"recorded-{member}", event)


def titles() -> Iterator[str]:
    """Of the rules that alert."""
    for correlation in whole_pack().correlations:
        yield correlation.title
