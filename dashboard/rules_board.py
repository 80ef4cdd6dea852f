"""The board of rules: what fired, how right it was, what never fired and whether its data comes in at all."""

from __future__ import annotations

from typing import Any, Final

from connectors.alert_query import MAX_FOUND, AlertQuery
from dashboard.boards import BoardQuery, Cells, RuleLine, rule_lines, tactic_cells, techniques_of
from dashboard.language import say
from dashboard.queue_query import CURRENT
from dashboard.rule_data import Feed, feeds_of
from dashboard.rule_words import condition_text, fired_by_day, tactic_text
from dashboard.shares import shares
from dashboard.site import Site
from dashboard.spread import shade
from dashboard.wording import DAY, MINUTE, NOTHING, clock, counted, number, per_cent, safe
from pipeline.rulepack import RulePack
from schemas.times import now_ms, to_rfc3339

POOR: Final = 25
"""Per cent of precision under which a rule is marked."""


def rules_data(site: Site, _asked: BoardQuery) -> dict[str, Any]:
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
    feeds = _feeds(site, pack, now)
    dry = {rule for rule, feed in feeds.items() if feed.too_few}
    in_force = [e for e in site.exceptions.all() if e.state == "in_force" and e.expires >= to_rfc3339(now)]
    kept = {c.id: c for c in pack.correlations} if pack else {}
    cells = _totals(lines, dry) | {
        "rules": (str(len(pack.correlations) if pack else len(alerting)), ""),
        "alerts": (number(found.total), ""),
        "joined": (say("{n} repeats joined in 7 days", n=f"{sum(a.jointsoc.events - 1 for a in recent):,}"), ""),
        "exceptions": (str(len(in_force)), ""),
    }
    for line in lines:
        cells |= _rule_cells(line, feeds.get(line.id))
    cells |= {f"tactic.{cell.name}": (counted(cell.fired, "alert"), "") for cell in tactics}
    return {
        "cells": cells, "rows": [line.id for line in lines], "lines": lines, "tactics": tactics,
        "most": max((cell.fired for tactic in tactics for cell in tactic.techniques), default=0),
        "pack": safe(pack.version, 60) if pack else "", "checked": clock(now, site.zone, seconds=True), "shade": shade,
        "detections": f"{len(pack.detections):,}" if pack else NOTHING, "days": fired_by_day(recent, now),
        "clear": sum(line.confirmed + line.false_alarm for line in lines),
        "unclear": sum(line.cannot_tell for line in lines), "poor_under": POOR, "dry": _dry_techniques(pack, dry),
        "conditions": {key: condition_text(rule) for key, rule in kept.items()},
        "tactic_of": {key: tactic_text(rule.tags) for key, rule in kept.items()},
        "covered": {cell.name: counted(cell.rules, "rule") for cell in tactics},
        "verdicts": {line.id: shares({"confirmed": line.confirmed, "false_alarm": line.false_alarm,
                                      "cannot_tell": line.cannot_tell}) for line in lines},
    }  # fmt: skip


def _totals(lines: list[RuleLine], dry: set[str]) -> Cells:
    never = [line.id for line in lines if not line.fired]
    confirmed, false = sum(line.confirmed for line in lines), sum(line.false_alarm for line in lines)
    poor = sum(line.precision is not None and line.precision < POOR for line in lines)
    lacking = sum(rule in dry for rule in never)
    return {
        "never": (str(len(never)), "warn" if never else ""),
        "never_why": (say("{n} of them lack their data", n=lacking) if lacking else say("test them with attack data"),
                      ""),
        "precision": (per_cent(confirmed, confirmed + false), ""),
        "poor": (str(poor), "warn" if poor else ""),
    }  # fmt: skip


def _rule_cells(line: RuleLine, feed: Feed | None) -> Cells:
    right = say("few") if line.precision is None else f"{line.precision}%"
    return {
        f"{line.id}.fired": (number(line.fired) if line.fired else say("never"), "" if line.fired else "hot"),
        f"{line.id}.precision": (right, "hot" if line.precision is not None and line.precision < POOR else ""),
        f"{line.id}.said": (f"{line.confirmed} / {line.false_alarm} / {line.cannot_tell}", ""),
        f"{line.id}.feed": (_feed_text(feed) if feed and feed.too_few else "", ""),
    }


def _feed_text(feed: Feed) -> str:
    if not feed.declared:
        return say("no institution declares its data")
    return say("{n} of {m} groups send its data; it wants {k}", n=feed.healthy, m=feed.declared, k=feed.wanted)


def _feeds(site: Site, pack: RulePack | None, now: int) -> dict[str, Feed]:
    members = site.names.registry().members
    reporting = frozenset(line.member.id for line in site.health.lines(members, now) if line.health == "reporting")
    return feeds_of(pack, members, reporting) if pack else {}


def _dry_techniques(pack: RulePack | None, dry: set[str]) -> frozenset[str]:
    """Techniques that only rules without their data cover."""
    if pack is None:
        return frozenset()
    rules = [(one.id, techniques_of(one.tags)) for one in pack.correlations if one.alerts]
    rules += [(one.id, techniques_of(one.tags)) for one in pack.detections if one.alerts]
    fed = {technique for rule, own in rules if rule not in dry for technique in own}
    return frozenset(technique for rule, own in rules if rule in dry for technique in own - fed)
