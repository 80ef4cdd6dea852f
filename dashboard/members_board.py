"""The board of institutions: who reports, who is silent and in which of the two ways, by sector, group or data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from dashboard.boards import BoardQuery, Cells
from dashboard.health_board import MemberLine
from dashboard.language import say
from dashboard.member_lines import in_columns, spark
from dashboard.site import Site
from dashboard.vocabulary import label
from dashboard.wording import MINUTE, NOTHING, clock, duration, number, per_cent, safe, tenths
from schemas.member import Member
from schemas.times import now_ms

LATE_SHARE: Final = 20
"""One line in so many may come late before the board marks it."""
MANY_DEAD: Final = 100
MINUTES: Final[Mapping[str, int]] = {"1h": 60, "6h": 360}
"""Spans the lines may be drawn over; no more is remembered."""


def members_data(site: Site, asked: BoardQuery) -> dict[str, Any]:
    """Cells and lines: a panel for each kind of institution, corporate group or data set."""
    now, span = now_ms(), asked.span if asked.span in MINUTES else "1h"
    by = asked.by if asked.by in PANELS else "sector"
    lines = site.health.lines(site.names.registry().members, now, minutes=MINUTES[span])
    return {
        "cells": _totals(lines) | {key: cell for line in lines for key, cell in _member_cells(line, now).items()},
        "rows": [line.member.id for line in lines],
        "lines": lines,
        "checked": clock(now, site.zone, seconds=True),
        "columns": in_columns(panels_of(lines, by)),
        "sparks": {line.member.id: spark(line.columns) for line in lines},
        "span": span,
        "by": by,
        "span_text": duration(MINUTES[span] * MINUTE),
        "spans": {name: duration(minutes * MINUTE) for name, minutes in MINUTES.items()},
        "cuts": {"sector": say("By sector"), "group": say("By group"), "dataset": say("By data set")},
    }


def panels_of(lines: Iterable[MemberLine], by: str) -> dict[str, list[MemberLine]]:
    """Title -> lines, in their order; an institution stands under each of its data sets.

    Args:
        lines: all institutions.
        by: `sector`, `group` or `dataset`.
    """
    known = list(lines)
    groups = Counter(line.member.group or line.member.id for line in known)
    titles = PANELS[by]
    panels: dict[str, list[MemberLine]] = {}
    for line in known:
        for title in titles(line.member, groups):
            panels.setdefault(title, []).append(line)
    return panels


def _by_group(member: Member, groups: Mapping[str, int]) -> list[str]:
    group = member.group or member.id
    return [safe(group, 40) if groups[group] > 1 else say("On their own")]


PANELS: Final[Mapping[str, Callable[[Member, Mapping[str, int]], list[str]]]] = {
    "sector": lambda member, _: [label(member.kind)],
    "group": _by_group,
    "dataset": lambda member, _: [safe(name, 40) for name in member.datasets] or [say("No data set declared")],
}


def _totals(lines: list[MemberLine]) -> Cells:
    states = Counter(line.health for line in lines)
    behind = [line for line in lines if line.behind]
    total, late, dead = (sum(line.recent[part] for line in lines) for part in range(3))
    worst_late = max(lines, key=lambda line: line.recent[1] / max(1, line.recent[0]), default=None)
    worst_dead = max(lines, key=lambda line: line.recent[2], default=None)
    return {
        "reporting": (str(states["reporting"]), ""),
        "rate": (say("{n} lines/s", n=f"{sum(line.rate for line in lines):,.0f}"), ""),
        "no_heartbeat": (str(states["no_heartbeat"]), "bad" if states["no_heartbeat"] else ""),
        "no_events": (str(states["no_events"]), "warn" if states["no_events"] else ""),
        "unknown": (str(states["unknown"]), ""),
        "behind": (str(len(behind)), "warn" if behind else ""),
        "behind_who": (", ".join(safe(line.member.name, 30) for line in behind[:2]) or say("none"), ""),
        "late": (per_cent(late, total), ""),
        "late_who": (
            _worst(worst_late, per_cent(*reversed(worst_late.recent[:2]))) if worst_late and late else say("none"),
            "",
        ),
        "dead": (number(dead), ""),
        "dead_who": (_worst(worst_dead, number(worst_dead.recent[2])) if worst_dead and dead else say("none"), ""),
    }


def _worst(line: MemberLine, value: str) -> str:
    return say("worst: {name} {value}", name=safe(line.member.name, 30), value=value)


def _member_cells(line: MemberLine, now: int) -> Cells:
    key, heard = line.member.id, line.health == "reporting"
    since = {"no_heartbeat": line.heartbeat or line.events, "no_events": line.events}.get(line.health)
    name = say("No events") if line.health == "no_events" else label(line.health)
    state = f"{name} {duration(now - since)}" if since else name
    total, late, dead = line.recent
    much_late, much_dead = late > total // LATE_SHARE, dead > MANY_DEAD
    return {
        f"{key}.health": (say("Behind") if line.behind else state, f"say {'behind' if line.behind else line.health}"),
        f"{key}.rate": (f"{line.rate:,.0f}" if heard or line.events else NOTHING, ""),
        f"{key}.lag": (tenths(line.lag) if heard else NOTHING, "hot" if line.behind else ""),
        f"{key}.late": (per_cent(late, total), "hot" if much_late else ""),
        f"{key}.dead": (number(dead) if line.events else NOTHING, "hot" if much_dead else ""),
    }
