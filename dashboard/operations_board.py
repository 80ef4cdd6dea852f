"""The board of operations: how fast an event becomes an alert, how fast people and institutions act on it."""

from __future__ import annotations

from typing import Any, Final

from connectors.alert_query import AlertQuery
from dashboard.boards import (
    AGES,
    GOALS,
    AgeRow,
    BoardQuery,
    Cells,
    age_edges,
    age_rows,
    balance,
    latencies,
    overdue,
    percentile,
    times_to,
)
from dashboard.charts import latency_chart, pace_ticks, paces, volume_chart
from dashboard.language import say
from dashboard.queue_query import CURRENT, SPANS
from dashboard.site import Site
from dashboard.spread import shade
from dashboard.vocabulary import label
from dashboard.wording import MINUTE, NOTHING, clock, counted, day_and_clock, duration, number, tenths
from schemas.times import from_rfc3339, now_ms, to_rfc3339
from schemas.workflow import Status

SAMPLE: Final = 500
LATENCY_GOAL: Final = 5_000
"""ms, from the completing event to the alert."""


def operations_data(site: Site, asked: BoardQuery) -> dict[str, Any]:
    """Cells and drawings; drills are left out."""
    now, span = now_ms(), asked.span if asked.span in SPANS else "24h"
    since = to_rfc3339((now - SPANS[span]) // MINUTE * MINUTE)
    latest = site.index.find(AlertQuery(states=CURRENT, since=since, drill=False, limit=SAMPLE, brief=True)).alerts
    workflows = site.desk.of_many(latest)
    answered = [one for one in site.member_desk.answered() if one.finding.made >= since and not one.finding.drill]
    done: tuple[Status, ...] = ("acknowledged", "closed")
    to_do = AlertQuery(states=CURRENT, without=site.desk.with_status(done), without_of=done)
    findings = site.member_desk.waiting()
    late = overdue(findings, to_rfc3339(now))
    delays = latencies(latest)
    sums = balance(site.health.accounts())
    ages = age_rows(site.index.ages(to_do, age_edges(now)))
    past = sum(count for row in ages for column, count in enumerate(row.counts) if row.past(column))
    p50, p95 = percentile(delays, 50), percentile(delays, 95)
    cells: Cells = _age_cells(ages) | {
        "p50": (_span(p50), ""),
        "p95": (say("95 % within {time}", time=_span(p95)), "warn" if (p95 or 0) > LATENCY_GOAL else ""),
        "past": (str(past), "warn" if past else ""),
        "acknowledge": (_span(percentile(times_to("acknowledged", latest, workflows), 50)), ""),
        "notify": (_span(percentile(times_to("notified", latest, workflows), 50)), ""),
        "rate": (f"{site.health.lines_between(now - 5 * MINUTE, now) / 300:,.0f}", ""),
        "waiting": (str(len(findings)), ""),
        "overdue": (say("{n} overdue", n=len(late)), "bad" if late else ""),
        "lines": (number(sums.lines), ""),
        "evaluated": (number(sums.evaluated), ""),
        "dead": (number(sums.dead), ""),
        "late": (number(sums.late), ""),
        "difference": (number(sums.difference), "" if sums.difference == 0 else "say no_heartbeat"),
    }
    names = site.names.names()
    return {
        "cells": cells,
        "rows": [],
        "ages": [duration(most) for most in AGES],
        "levels": [row.level for row in ages],
        "goals": {level: duration(goal) for level, goal in GOALS.items()},
        "late": [
            (one.finding.alert, names.get(one.finding.member, one.finding.member),
             day_and_clock(from_rfc3339(one.finding.deadline), site.zone, now))
            for one in late[:50]
        ],
        "sample": counted(len(latest), "alert"),
        "waiting_number": sum(sum(row.counts) for row in ages),
        "known": sums.lines > 0,
        "latency": latency_chart(latest, now, site.zone, LATENCY_GOAL, SPANS[span]),
        "volume": volume_chart(site.health.lines_between, site.health.known_since(), now, site.zone),
        "paces": paces(latest, workflows, answered),
        "pace_ticks": pace_ticks(),
        "checked": clock(now, site.zone, seconds=True),
        "span": span,
        "spans": {name: label(name) for name in SPANS},
    }  # fmt: skip


def _age_cells(ages: list[AgeRow]) -> Cells:
    cells: Cells = {}
    most = max((count for row in ages for count in row.counts), default=1) or 1
    for row in ages:
        for column, count in enumerate(row.counts):
            css = "z" if not count else "over" if row.past(column) else f"m{min(3, shade(count, most))}"
            cells[f"age.{row.level}.{column}"] = (str(count), css)
        cells[f"age.{row.level}.all"] = (str(sum(row.counts)), "")
    return cells


def _span(milliseconds: int | None) -> str:
    return NOTHING if milliseconds is None else tenths(milliseconds)
