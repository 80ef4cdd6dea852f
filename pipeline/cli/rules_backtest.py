"""`jsoc rules backtest`: what a rule would have done on files of events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from pydantic import BaseModel

from connectors.event_log import EventLog
from connectors.settings import KafkaConnection, load_settings
from pipeline.cli.replay import parse_span
from pipeline.cli.replay_records import disorder_of, read_merged, registry_of, registry_with, source_of
from pipeline.detect.placeholders import load_placeholders
from pipeline.jobs.local_job import Line, patient
from pipeline.rulepack import RulePack
from pipeline.workbench.backtest import Backtest
from pipeline.workbench.backtest import backtest as run_backtest
from pipeline.workbench.rule_set import RuleSet
from schemas.alert import Alert
from schemas.errors import ConfigError, printable
from schemas.member import MemberRegistry, load_registry
from schemas.rule_document import RuleDocument
from schemas.times import now_ms

ALERTS_SHOWN: Final = 10


class _Settings(BaseModel):
    """What is read of a configuration file; it may hold more."""

    kafka: KafkaConnection


@click.command()
@click.argument("rule")
@click.argument("events", nargs=-1, metavar="[member=FILE]...")
@click.option("--rules", "-r", "folders", type=Path, multiple=True, required=True, help="Where the rules are.")
@click.option("--members", type=Path, help="Member registry, members.yml; without it each member is its own group.")
@click.option(
    "--kafka",
    "settings",
    type=Path,
    metavar="FILE",
    help="Instead of files: what is in Kafka. YAML file with `kafka:`, such as the stack's etc/operator.yml.",
)
@click.option("--since", default="24h", show_default=True, help="With --kafka: how far back.")
@click.option("--placeholders", type=Path, help="YAML file with values for `expand`.")
@click.option(
    "--lateness",
    help="How late events may be, as in the job; left out, files' events however late they are, with --kafka 1h.",
)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def backtest(
    rule: str,
    events: tuple[str, ...],
    folders: tuple[Path, ...],
    members: Path | None,
    settings: Path | None,
    since: str,
    placeholders: Path | None,
    lateness: str | None,
    form: str,
) -> int:
    """Run one rule, by name or id, over recorded events: alerts, members, keys, state, alerts a day.

    A detection is counted as if each match were an alert. Exit code 1 if the rule alerts, 0 if it stays silent.

    \b
    Example:
      jsoc rules backtest portal_credential_stuffing -r rules/sigma kestrel-bank=a.ndjson cobalt-bank=b.ndjson.gz
      jsoc rules backtest ssh_guessing_at_many -r rules/sigma --kafka .jointsoc/etc/operator.yml --since 2h
    """
    if bool(events) == bool(settings):
        raise ConfigError("jsoc rules backtest", "nothing to read, or two things", expected="either files or --kafka")
    registry = load_registry(members) if members else None
    span, disorder = parse_span(lateness, "--lateness") if lateness else None, 0
    if settings:
        log = EventLog(load_settings(settings, _Settings).kafka)
        registry = registry or registry_with(log.members())
        lines = _stored_lines(log, registry, now_ms() - parse_span(since, "--since"))
    else:
        sources = [source_of(argument) for argument in events]
        registry = registry or registry_of(sources)
        offsets = registry.clock_offsets()
        lines = read_merged(sources, lambda _: None, offsets)
        disorder = disorder_of(sources, offsets) if span is None else 0
    rules = RuleSet(folders, load_placeholders(placeholders) if placeholders else None)
    document = rules.find(rule)
    pack = _pack_of(rules, document, registry)
    if span is None:
        pack, span = patient(pack, disorder)
    result = run_backtest(pack, document.id, lines, span)
    if form == "json":
        click.echo(json.dumps(_summary(result), indent=2, ensure_ascii=False))
    else:
        for line in _table(result):
            click.echo(printable(line))
    return 1 if result.alerts else 0


def _stored_lines(log: EventLog, registry: MemberRegistry, since: int) -> Iterator[Line]:
    """The lines of the members' records; a record may hold several."""
    members = sorted(registry.enabled_ids())
    stored = ((record, raw) for record in log.records(members, since) for raw in record.value.splitlines() if raw)
    for number, (record, raw) in enumerate(stored):
        yield Line(record.append_time, 0, number, record.topic, record.partition, raw)


def _pack_of(rules: RuleSet, document: RuleDocument, registry: MemberRegistry) -> RulePack:
    if document.kind == "correlation":
        return rules.pack_of(document, registry)
    if document.kind == "filter":
        raise ConfigError(document.where(), "a filter does not alert", expected="a detection or a correlation")
    return RulePack([msgspec.structs.replace(rules.plan(document), alerts=True)], [], registry)


def _table(result: Backtest) -> Iterator[str]:
    yield f"lines          {result.lines:>10,}   over {result.days:,.2f} days"
    yield f"refused        {result.refused:>10,}"
    for title, count in result.matched.most_common():
        yield f"matched        {count:>10,}   {title}"
    for member, count in result.members.most_common():
        yield f"member         {count:>10,}   {member}"
    yield f"keys           {result.keys:>10,}   distinct groups"
    yield f"peak state     {result.peak_hits:>10,}   hits, of {result.peak_keys:,} keys"
    for dropped, count in result.dropped.items():
        yield f"not counted    {count:>10,}   {dropped.member}: {dropped.reason} ({dropped.field})"
    yield f"alerts         {len(result.alerts):>10,}   about {result.alerts_a_day:,.1f} a day"
    for alert in result.alerts[:ALERTS_SHOWN]:
        yield f"  {alert.event.start}  {alert.message}"
    if len(result.alerts) > ALERTS_SHOWN:
        yield f"  ... and {len(result.alerts) - ALERTS_SHOWN:,} more"


def _summary(result: Backtest) -> dict[str, Any]:
    return {
        "lines": result.lines,
        "refused": result.refused,
        "days": round(result.days, 4),
        "matched": result.matched,
        "members": result.members,
        "keys": result.keys,
        "peak": {"hits": result.peak_hits, "keys": result.peak_keys},
        "not_counted": [one._asdict() | {"events": count} for one, count in result.dropped.items()],
        "alerts": [_alert(alert) for alert in result.alerts],
        "alerts_a_day": round(result.alerts_a_day, 3),
    }


def _alert(alert: Alert) -> dict[str, Any]:
    return {"start": alert.event.start, "message": alert.message, "group_by": alert.jointsoc.group_by}
