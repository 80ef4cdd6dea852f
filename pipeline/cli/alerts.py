"""`jsoc alerts`: what was found, on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Final, get_args

import click
from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connectors.alert_index import LEVELS, MAX_FOUND, AlertIndex, AlertQuery
from connectors.settings import ElasticsearchConnection, KafkaConnection, load_settings
from deploy.local.settings import load_stack_settings
from pipeline.cli.alert_evidence import BaseEvent, json_lines, read_events, text_lines
from schemas.alert import Alert, Level, State
from schemas.errors import ConfigError, printable

STATES: Final[tuple[State, ...]] = get_args(State)
_LEVEL_STYLES: Final = {"critical": "bold white on red", "high": "bold yellow", "medium": "yellow", "low": "dim"}


class OperatorSettings(BaseModel):
    """Configuration of the person at the keyboard; `jsoc up` writes it to `etc/operator.yml`."""

    model_config = ConfigDict(extra="forbid")

    elasticsearch: ElasticsearchConnection
    kafka: KafkaConnection | None = None
    """For `jsoc rules backtest --kafka` and `jsoc alerts show --evidence`."""


CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="YAML file with `elasticsearch:`; default: the one-machine stack's etc/operator.yml.",
)
FORMAT = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)


@click.group()
def alerts() -> None:
    """List and show what was found.

    \b
    Example:
      jsoc alerts list --level critical --level high
    """


@alerts.command("list")
@CONFIG
@FORMAT
@click.option(
    "--state",
    "states",
    type=click.Choice(STATES),
    multiple=True,
    help="May be given several times; default: open and settled.",
)
@click.option("--level", "levels", type=click.Choice(LEVELS), multiple=True, help="May be given several times.")
@click.option("--text", default="", help="Words of the sentence; the beginning of an address, hash or member's id.")
@click.option("--limit", type=click.IntRange(1, MAX_FOUND), default=50, show_default=True)
def list_alerts(
    config: Path | None, form: str, states: tuple[State, ...], levels: tuple[Level, ...], text: str, limit: int
) -> None:
    """List alerts, newest first.

    \b
    Example:
      jsoc alerts list --state open --limit 20
    """
    index = _open_index(config)
    query = AlertQuery(states=states or ("open", "settled"), levels=levels, text=text, limit=limit)
    found = index.find(query)
    index.close()
    if form == "json":
        for alert in found.alerts:
            click.echo(alert.to_json())
    else:
        Console().print(_table(found.alerts))
    _tell_rest(found.total, len(found.alerts), found.unreadable)


@alerts.command("show")
@click.argument("alert_id", metavar="ID")
@CONFIG
@FORMAT
@click.option("--evidence", is_flag=True, help="Also the events themselves, from Kafka; with json: these alone.")
def show_alert(alert_id: str, config: Path | None, form: str, evidence: bool) -> None:  # noqa: FBT001 - click
    """Show one alert: who was hit, in which order, and the evidence.

    \b
    Example:
      jsoc alerts show 202611-0123456789abcdef01234567 --format json
      jsoc alerts show 202611-0123456789abcdef01234567 --evidence
    """
    index = _open_index(config)
    alert = index.get(alert_id)
    index.close()
    if alert is None:
        raise ConfigError("ID", "no such alert", got=alert_id, hint="jsoc alerts list")
    events = _read_evidence(config, alert) if evidence else []
    if form == "json":
        for line in json_lines(events) if evidence else [alert.to_json()]:
            click.echo(line)
        return
    _print_alert(Console(), alert)
    for text in text_lines(events):
        click.echo(text)


def _settings(config: Path | None) -> tuple[Path, OperatorSettings]:
    path = config or load_stack_settings().etc / "operator.yml"
    if config is None and not path.exists():
        raise ConfigError(str(path), "there is no stack here yet", hint="jsoc up, or --config FILE")
    return path, load_settings(path, OperatorSettings)


def _open_index(config: Path | None) -> AlertIndex:
    return AlertIndex(_settings(config)[1].elasticsearch, request_timeout=10.0)


def _read_evidence(config: Path | None, alert: Alert) -> list[BaseEvent]:
    path, settings = _settings(config)
    if settings.kafka is None:
        raise ConfigError(str(path), "does not say where the events are", expected="a section `kafka:`")
    events = read_events(settings.kafka, alert.jointsoc.evidence)
    gone = sum(event.line is None for event in events)
    if gone:
        click.echo(f"{gone} of {len(events)} events are not in Kafka any more", err=True)
    return events


def _tell_rest(total: int, shown: int, unreadable: int) -> None:
    if total > shown + unreadable:
        click.echo(f"{shown} of {total} alerts shown; --limit shows more", err=True)
    if unreadable:
        click.echo(f"{unreadable} documents are not alerts of this version and are left out", err=True)
    if not total:
        click.echo("no alert fits", err=True)


def _table(found: list[Alert]) -> Table:
    """Few columns, so that it can be read at 80 characters: key, members and id stand below the sentence."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("Level")
    table.add_column("Alert, key, members hit, id", overflow="fold")
    table.add_column("Hits", justify="right")
    table.add_column("First, last")
    table.add_column("State")
    for alert in found:
        body = alert.jointsoc
        lines = [_text(alert.message, "bold")]
        lines += [_text(f"{name} {value}") for name, value in body.group_by.items()]
        lines += [_text(" > ".join(member.id for member in body.members)), _text(alert.id, "dim")]
        times = Text("\n").join([_text(_short(alert.event.start)), _text(_short(alert.event.end))])
        table.add_row(_level(body.alert.level), Text("\n").join(lines), _hits(alert), times, _text(body.alert.state))
        table.add_row()
    return table


def _print_alert(console: Console, alert: Alert) -> None:
    body = alert.jointsoc
    console.print(_level(body.alert.level), _text(alert.message, "bold"))
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    successor = f" by {body.alert.superseded_by}" if body.alert.superseded_by else ""
    for label, value in (
        ("Id", alert.id),
        ("State", body.alert.state + successor),
        *((name, value) for name, value in body.group_by.items()),
        ("Hits", _hits(alert)),
        ("First to last hit", f"{alert.event.start} to {alert.event.end}"),
        ("Rule", f"{alert.rule.name} ({alert.rule.uuid})"),
        ("Technique", ", ".join(alert.threat.technique.id)),
        ("TLP", body.tlp),
        ("Rule pack", body.pack),
    ):
        facts.add_row(_text(label), _text(value))
    console.print(facts)
    members = Table(
        "Member", "Group", "First seen", "Last seen", "Hits", title="Order of spread", title_justify="left", box=None
    )
    for member in body.members:
        members.add_row(
            *map(_text, (member.id, member.group, member.first_seen, member.last_seen, f"{member.count:,}"))
        )
    evidence = Table(
        "Time",
        "Member",
        "Detection",
        "Topic / partition / offset / line",
        title="Evidence",
        title_justify="left",
        box=None,
    )
    for item in body.evidence:
        place = f"{item.topic} / {item.partition} / {item.offset} / {item.line}"
        evidence.add_row(*map(_text, (item.time, item.member, ", ".join(item.rule), place)))
    console.print(members, evidence, sep="\n")


def _text(foreign: str, style: str = "") -> Text:
    """Foreign text for the terminal: control characters escaped, never read as markup."""
    return Text(printable(foreign), style=style)


def _level(level: str) -> Text:
    return _text(level, _LEVEL_STYLES.get(level, ""))


def _hits(alert: Alert) -> str:
    return f"{alert.jointsoc.events:,}" + ("" if alert.jointsoc.alert.exact else "+")


def _short(time: str) -> str:
    """To the second; the year is in the id.

    >>> _short("2026-11-23T09:02:11.123Z")
    '11-23 09:02:11'
    """
    return time[5:19].replace("T", " ")
