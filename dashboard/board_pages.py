"""The boards: institutions now, rules, operations; each a page and the numbers that keep it up to date."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from connectors.alert_index import MAX_FOUND, AlertQuery
from dashboard.answers import away
from dashboard.boards import (
    AGES,
    age_rows,
    balance,
    latencies,
    overdue,
    percentile,
    rule_lines,
    tactic_cells,
    times_to,
)
from dashboard.health_board import MemberLine
from dashboard.language import say
from dashboard.member_lines import in_columns, spark
from dashboard.queue_query import CURRENT
from dashboard.site import Person, Reader, Site, SiteOf, needs
from dashboard.vocabulary import label
from dashboard.wording import clock, counted, day_and_clock, duration, number, safe, tenths
from schemas.errors import ConnectionError_
from schemas.times import from_rfc3339, now_ms, to_rfc3339

router = APIRouter()

Auditor = Annotated[Person, needs("audit")]
Cells = dict[str, tuple[str, str]]
"""Name of a cell -> its text and its class: what changes while the page is open."""
SAMPLE: Final = 500
LATE_SHARE: Final = 20
"""One line in so many may come late before the board marks it."""
MANY_DEAD: Final = 100
NOTHING: Final = "\N{EN DASH}"


@router.get("/members")
def members_page(request: Request, site: SiteOf, person: Reader) -> Response:
    """Who reports, who is silent, and in which of the two ways."""
    return _page(request, site, person, "members.html", "members", members_data)


@router.get("/rules")
def rules_page(request: Request, site: SiteOf, person: Reader) -> Response:
    """What fired, how right it was, what never fired, and which tactics are covered."""
    return _page(request, site, person, "rules.html", "rules", rules_data)


@router.get("/operations")
def operations_page(request: Request, site: SiteOf, person: Reader) -> Response:
    """Latency, what waits and how long, and whether every record is accounted for."""
    return _page(request, site, person, "operations.html", "operations", operations_data)


@router.get("/api/boards/{name}")
def board_update(site: SiteOf, person: Reader, name: str) -> Response:  # noqa: ARG001 - guards the page
    """The cells of one board."""
    if name not in BOARDS:
        return JSONResponse({"error": "no such board"}, 404)
    try:
        data = BOARDS[name](site)
    except ConnectionError_:
        return away()
    return JSONResponse({"cells": data["cells"], "rows": data["rows"], "checked": data["checked"]})


@router.get("/audit")
def audit_page(request: Request, site: SiteOf, person: Auditor, who: str = "") -> Response:
    """Who did what, newest first."""
    now = now_ms()
    try:
        entries = site.audit.newest(200, who[:60])
    except ConnectionError_:
        return _away(request, site, person)
    return site.page(
        request, "audit.html", person, here="audit", entries=entries, safe=safe, who=safe(who, 60),
        when=lambda at: day_and_clock(from_rfc3339(at), site.zone, now, seconds=True),
    )  # fmt: skip


def members_data(site: Site) -> dict[str, Any]:
    """Cells and lines of the members' board: a panel for each kind of institution."""
    now = now_ms()
    lines = site.health.lines(site.names.registry().members, now)
    states = Counter(line.health for line in lines)
    behind = [line for line in lines if line.behind]
    total, late, dead = (sum(line.hour[part] for line in lines) for part in range(3))
    worst_late = max(lines, key=lambda line: line.hour[1] / max(1, line.hour[0]), default=None)
    worst_dead = max(lines, key=lambda line: line.hour[2], default=None)
    cells: Cells = {
        "reporting": (str(states["reporting"]), ""),
        "rate": (say("{n} lines/s", n=f"{sum(line.rate for line in lines):,.0f}"), ""),
        "no_heartbeat": (str(states["no_heartbeat"]), "bad" if states["no_heartbeat"] else ""),
        "no_events": (str(states["no_events"]), "warn" if states["no_events"] else ""),
        "unknown": (str(states["unknown"]), ""),
        "behind": (str(len(behind)), "warn" if behind else ""),
        "behind_who": (", ".join(safe(line.member.name, 30) for line in behind[:2]) or say("none"), ""),
        "late": (_share(late, total), ""),
        "late_who": (_worst(worst_late, _share(worst_late.hour[1], worst_late.hour[0])) if worst_late else "", ""),
        "dead": (number(dead), ""),
        "dead_who": (_worst(worst_dead, number(worst_dead.hour[2])) if worst_dead and dead else say("none"), ""),
    }
    for line in lines:
        cells |= _member_cells(line, now)
    sectors: dict[str, list[MemberLine]] = {}
    for line in lines:
        sectors.setdefault(line.member.kind, []).append(line)
    return {
        "cells": cells, "rows": [line.member.id for line in lines], "lines": lines, "checked": _checked(site, now),
        "columns": in_columns(sectors), "sparks": {line.member.id: spark(line.columns) for line in lines},
        "up": Counter(line.member.kind for line in lines if line.health == "reporting"),
    }  # fmt: skip


def _worst(line: MemberLine, value: str) -> str:
    return say("worst: {name} {value}", name=safe(line.member.name, 30), value=value)


def _member_cells(line: MemberLine, now: int) -> Cells:
    key, heard = line.member.id, line.health == "reporting"
    since = {"no_heartbeat": line.heartbeat or line.events, "no_events": line.events}.get(line.health)
    name = say("No events") if line.health == "no_events" else label(line.health)
    state = f"{name} {duration(now - since)}" if since else name
    total, late, dead = line.hour
    much_late, much_dead = late > total // LATE_SHARE, dead > MANY_DEAD
    return {
        f"{key}.health": (say("Behind") if line.behind else state, f"say {'behind' if line.behind else line.health}"),
        f"{key}.rate": (f"{line.rate:,.0f}" if heard or line.events else NOTHING, ""),
        f"{key}.lag": (tenths(line.lag) if heard else NOTHING, "hot" if line.behind else ""),
        f"{key}.late": (_share(late, total), "hot" if much_late else ""),
        f"{key}.dead": (number(dead) if line.events else NOTHING, "hot" if much_dead else ""),
    }


def rules_data(site: Site) -> dict[str, Any]:
    """Cells and lines of the rules' board."""
    now = now_ms()
    found = site.index.find(AlertQuery(states=CURRENT, limit=1))
    pack = site.rules.pack()
    alerting = [(c.id, c.title, str(c.level)) for c in pack.correlations] if pack else []
    alerting += [(d.id, d.title, d.level) for d in pack.detections if d.alerts] if pack else []
    lines = rule_lines(alerting, found.by_rule, site.member_desk.verdicts())
    tags = [c.tags for c in pack.correlations] + [d.tags for d in pack.detections] if pack else []
    tactics = tactic_cells(tags, found.by_tactic)
    cells: Cells = {
        "rules": (str(len(alerting)), "tile"),
        "never": (str(sum(not line.fired for line in lines)), "tile"),
        "alerts": (number(found.total), "tile"),
    }
    for line in lines:
        right = say("few answers") if line.precision is None else f"{line.precision} %"
        cells |= {
            f"{line.id}.fired": (number(line.fired), "n"),
            f"{line.id}.precision": (right, "n"),
            f"{line.id}.said": (f"{line.confirmed} / {line.false_alarm} / {line.cannot_tell}", "n"),
        }
    cells |= {f"tactic.{cell.name}": (number(cell.fired), "") for cell in tactics}
    return {
        "cells": cells, "rows": [line.id for line in lines], "lines": lines, "tactics": tactics,
        "pack": safe(pack.version, 60) if pack else "", "checked": _checked(site, now),
    }  # fmt: skip


def operations_data(site: Site) -> dict[str, Any]:
    """Cells of the operations' board."""
    now = now_ms()
    latest = site.index.find(AlertQuery(states=CURRENT, limit=SAMPLE)).alerts
    workflows = site.desk.of_many(latest)
    closed = site.desk.with_status(("closed",))
    to_do = site.index.find(AlertQuery(states=CURRENT, without=closed, limit=MAX_FOUND))
    waiting = site.member_desk.waiting()
    late = overdue(waiting, to_rfc3339(now))
    delays = latencies(latest)
    sums = balance(site.health.accounts())
    cells: Cells = {
        "p50": (_span(percentile(delays, 50)), "tile"),
        "p95": (_span(percentile(delays, 95)), "tile"),
        "acknowledge": (_span(percentile(times_to("acknowledged", latest, workflows), 50)), "tile"),
        "notify": (_span(percentile(times_to("notified", latest, workflows), 50)), "tile"),
        "waiting": (str(len(waiting)), "tile"),
        "overdue": (str(len(late)), "tile alarm" if late else "tile"),
        "lines": (number(sums.lines), "n"),
        "evaluated": (number(sums.evaluated), "n"),
        "dead": (number(sums.dead), "n"),
        "late": (number(sums.late), "n"),
        "difference": (number(sums.difference), "n" if sums.difference == 0 else "n say no_heartbeat"),
    }
    for row in age_rows(to_do.alerts, now):
        for column, count in enumerate(row.counts):
            cells[f"age.{row.level}.{column}"] = (str(count), "n")
    names = site.names.names()
    return {
        "cells": cells,
        "rows": [],
        "ages": [duration(most) for most in AGES],
        "levels": [row.level for row in age_rows([], now)],
        "late": [
            (
                one.finding.alert,
                names.get(one.finding.member, one.finding.member),
                _when(one.finding.deadline, site, now),
            )
            for one in late[:50]
        ],
        "sample": counted(len(latest), "alert"),
        "known": sums.lines > 0,
        "checked": _checked(site, now),
    }


BOARDS: Final[dict[str, Callable[[Site], dict[str, Any]]]] = {
    "members": members_data,
    "rules": rules_data,
    "operations": operations_data,
}


def _page(
    request: Request, site: Site, person: Person, template: str, here: str, data_of: Callable[[Site], dict[str, Any]]
) -> Response:
    try:
        data = data_of(site)
    except ConnectionError_:
        return _away(request, site, person)
    return site.page(request, template, person, here=here, label=label, safe=safe, **data)


def _away(request: Request, site: Site, person: Person) -> Response:
    text = say("It is kept, and will be here when the index is back.")
    return site.page(request, "message.html", person, 503, away=True, title=say("This cannot be read now"), text=text)


def _checked(site: Site, now: int) -> str:
    return clock(now, site.zone, seconds=True)


def _when(at: str, site: Site, now: int) -> str:
    return day_and_clock(from_rfc3339(at), site.zone, now)


def _span(milliseconds: int | None) -> str:
    return NOTHING if milliseconds is None else tenths(milliseconds)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else NOTHING
