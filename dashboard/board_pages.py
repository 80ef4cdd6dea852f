"""The boards: institutions now, rules, operations; each a page and the numbers that keep it up to date."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from connectors.alert_index import MAX_FOUND, AlertQuery
from connectors.documents import MAX_IDS
from dashboard.answers import away
from dashboard.boards import (
    AGES,
    GOALS,
    age_edges,
    age_rows,
    balance,
    latencies,
    overdue,
    percentile,
    rule_lines,
    tactic_cells,
    times_to,
)
from dashboard.charts import latency_chart, paces, volume_chart
from dashboard.health_board import MemberLine
from dashboard.language import say
from dashboard.member_lines import in_columns, spark
from dashboard.queue_query import CURRENT
from dashboard.rule_words import condition_text, fired_by_day, tactic_text
from dashboard.shares import shares
from dashboard.site import Person, Reader, Site, SiteOf, needs
from dashboard.spread import shade
from dashboard.vocabulary import label
from dashboard.wording import DAY, MINUTE, clock, counted, day_and_clock, duration, number, safe, tenths
from schemas.errors import ConnectionError_
from schemas.times import from_rfc3339, now_ms, to_rfc3339
from schemas.workflow import Status

router = APIRouter()

Auditor = Annotated[Person, needs("audit")]
Cells = dict[str, tuple[str, str]]
"""Name of a cell -> its text and its class: what changes while the page is open."""
SAMPLE: Final = 500
LATE_SHARE: Final = 20
"""One line in so many may come late before the board marks it."""
MANY_DEAD: Final = 100
POOR: Final = 25
"""Per cent of precision under which a rule is marked."""
LATENCY_GOAL: Final = 5_000
"""ms, from the completing event to the alert."""
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
    told = {name: data[name] for name in ("cells", "rows", "checked")}
    return JSONResponse(told | site.pulse.words())


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
    lines = site.health.lines(site.names.registry().members, now, hour=True)
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
    found = site.index.counts(AlertQuery(states=CURRENT))
    week = AlertQuery(states=CURRENT, since=to_rfc3339((now - 7 * DAY) // MINUTE * MINUTE), limit=MAX_FOUND, brief=True)
    recent = site.index.find(week).alerts
    pack = site.rules.pack()
    alerting = [(c.id, c.title, str(c.level)) for c in pack.correlations if c.alerts] if pack else []
    alerting += [(d.id, d.title, d.level) for d in pack.detections if d.alerts] if pack else []
    gone = {alert.rule.uuid: (alert.rule.name, str(alert.jointsoc.alert.level)) for alert in recent}
    alerting += [(key, *gone[key]) for key in gone.keys() - {identity for identity, *_ in alerting}]
    lines = rule_lines(alerting, found.by_rule, site.member_desk.verdicts())
    tags = [c.tags for c in pack.correlations] + [d.tags for d in pack.detections] if pack else []
    tactics = tactic_cells(tags, found.by_tactic, found.by_technique)
    most = max((cell.fired for tactic in tactics for cell in tactic.techniques), default=0)
    never = sum(not line.fired for line in lines)
    confirmed, false = sum(line.confirmed for line in lines), sum(line.false_alarm for line in lines)
    poor = sum(line.precision is not None and line.precision < POOR for line in lines)
    in_force = [e for e in site.exceptions.all() if e.state == "in_force" and e.expires >= to_rfc3339(now)]
    cells: Cells = {
        "rules": (str(len(pack.correlations) if pack else len(alerting)), ""),
        "never": (str(never), "warn" if never else ""),
        "alerts": (number(found.total), ""),
        "joined": (say("{n} repeats joined in 7 days", n=f"{sum(a.jointsoc.events - 1 for a in recent):,}"), ""),
        "precision": (_share(confirmed, confirmed + false), ""),
        "poor": (str(poor), "warn" if poor else ""),
        "exceptions": (str(len(in_force)), ""),
    }
    kept = {c.id: c for c in pack.correlations} if pack else {}
    days = fired_by_day(recent, now)
    for line in lines:
        right = say("few") if line.precision is None else f"{line.precision}%"
        cells |= {
            f"{line.id}.fired": (number(line.fired) if line.fired else say("never"), "" if line.fired else "hot"),
            f"{line.id}.precision": (right, "hot" if line.precision is not None and line.precision < POOR else ""),
            f"{line.id}.said": (f"{line.confirmed} / {line.false_alarm} / {line.cannot_tell}", ""),
        }
    cells |= {f"tactic.{cell.name}": (number(cell.fired), "") for cell in tactics}
    return {
        "cells": cells, "rows": [line.id for line in lines], "lines": lines, "tactics": tactics, "most": most,
        "pack": safe(pack.version, 60) if pack else "", "checked": _checked(site, now), "shade": shade,
        "detections": f"{len(pack.detections):,}" if pack else NOTHING, "days": days,
        "clear": confirmed + false, "unclear": sum(line.cannot_tell for line in lines), "poor_under": POOR,
        "conditions": {key: condition_text(rule) for key, rule in kept.items()},
        "tactic_of": {key: tactic_text(rule.tags) for key, rule in kept.items()},
        "verdicts": {line.id: shares({"confirmed": line.confirmed, "false_alarm": line.false_alarm,
                                      "cannot_tell": line.cannot_tell}) for line in lines},
    }  # fmt: skip


def operations_data(site: Site) -> dict[str, Any]:
    """Cells and drawings of the operations' board; drills are left out."""
    now = now_ms()
    sample = site.index.find(AlertQuery(states=CURRENT, limit=SAMPLE, brief=True)).alerts
    latest = [alert for alert in sample if not alert.jointsoc.drill]
    workflows = site.desk.of_many(latest)
    done: tuple[Status, ...] = ("acknowledged", "closed")
    to_do = AlertQuery(states=CURRENT, without=site.desk.with_status(done)[-MAX_IDS:], without_of=done)
    findings = site.member_desk.waiting()
    late = overdue(findings, to_rfc3339(now))
    delays = latencies(latest)
    sums = balance(site.health.accounts())
    ages = age_rows(site.index.ages(to_do, age_edges(now)))
    past = sum(count for row in ages for column, count in enumerate(row.counts) if row.past(column))
    rate = site.health.lines_between(now - 5 * MINUTE, now) / 300
    p50, p95 = percentile(delays, 50), percentile(delays, 95)
    cells: Cells = {
        "p50": (_span(p50), ""),
        "p95": (say("95 % within {time}", time=_span(p95)), "warn" if (p95 or 0) > LATENCY_GOAL else ""),
        "past": (str(past), "warn" if past else ""),
        "acknowledge": (_span(percentile(times_to("acknowledged", latest, workflows), 50)), ""),
        "notify": (_span(percentile(times_to("notified", latest, workflows), 50)), ""),
        "rate": (f"{rate:,.0f}", ""),
        "waiting": (str(len(findings)), ""),
        "overdue": (say("{n} overdue", n=len(late)), "bad" if late else ""),
        "lines": (number(sums.lines), ""),
        "evaluated": (number(sums.evaluated), ""),
        "dead": (number(sums.dead), ""),
        "late": (number(sums.late), ""),
        "difference": (number(sums.difference), "" if sums.difference == 0 else "say no_heartbeat"),
    }
    most = max((count for row in ages for count in row.counts), default=1) or 1
    for row in ages:
        for column, count in enumerate(row.counts):
            css = "z" if not count else "over" if row.past(column) else f"m{min(3, shade(count, most))}"
            cells[f"age.{row.level}.{column}"] = (str(count), css)
        cells[f"age.{row.level}.all"] = (str(sum(row.counts)), "")
    names = site.names.names()
    return {
        "cells": cells,
        "rows": [],
        "ages": [duration(most) for most in AGES],
        "levels": [row.level for row in ages],
        "goals": {level: duration(goal) for level, goal in GOALS.items()},
        "late": [
            (
                one.finding.alert,
                names.get(one.finding.member, one.finding.member),
                _when(one.finding.deadline, site, now),
            )
            for one in late[:50]
        ],
        "sample": counted(len(latest), "alert"),
        "waiting_number": sum(sum(row.counts) for row in ages),
        "known": sums.lines > 0,
        "latency": latency_chart(latest, now, site.zone),
        "volume": volume_chart(site.health.lines_between, site.health.known_since(), now, site.zone),
        "paces": paces(latest, workflows),
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
