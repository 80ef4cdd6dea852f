"""Alerts for a person at a terminal: a list, and one alert with all there is to it."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from connectors.alert_api import Original, WorkedAlert
from schemas.alert import Alert
from schemas.errors import printable
from schemas.workflow import CENTRE, HistoryEntry, Workflow

_LEVEL_STYLES: Final = {"critical": "bold white on red", "high": "bold yellow", "medium": "yellow", "low": "dim"}


def table_of(found: list[WorkedAlert]) -> Table:
    """Few columns, so that it can be read at 80 characters: key, members and id stand below the sentence."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("Level")
    table.add_column("Alert, key, members hit, id", overflow="fold")
    table.add_column("Hits", justify="right")
    table.add_column("First, last")
    table.add_column("State")
    for worked in found:
        alert, body = worked.alert, worked.alert.jointsoc
        lines = [_text(alert.message, "bold")]
        lines += [_text(f"{name} {value}") for name, value in body.group_by.items()]
        lines += [_text(" > ".join(member.id for member in body.members)), _text(alert.id, "dim")]
        times = Text("\n").join([_text(_short(alert.event.start)), _text(_short(alert.event.end))])
        state = Text("\n").join([_text(body.alert.state), _text(worked.workflow.status)])
        table.add_row(_level(body.alert.level), Text("\n").join(lines), _hits(alert), times, state)
        table.add_row()
    return table


def print_alert(console: Console, worked: WorkedAlert) -> None:
    """Who was hit, in which order, the evidence, and what people did."""
    alert, body = worked.alert, worked.alert.jointsoc
    console.print(_level(body.alert.level), _text(alert.message, "bold"))
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    successor = f" by {body.alert.superseded_by}" if body.alert.superseded_by else ""
    for label, value in (
        ("Id", alert.id),
        ("State", body.alert.state + successor),
        ("Status", _status(worked.workflow)),
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
    console.print(_members(alert), _evidence(alert), sep="\n")
    if worked.workflow.history:
        console.print(_history(worked.workflow))


def print_original(console: Console, number: int, original: Original | str) -> None:
    """The event behind a line of evidence, counted from 1, and why it matched; or why it cannot be had."""
    if isinstance(original, str):
        console.print(_text(f"Evidence {number}: {original}", "bold"))
        return
    console.print(_text(f"Evidence {number}", "bold"))
    for text in (original.pretty, *original.explained):
        console.print(Text("\n").join(_text(line) for line in text.split("\n")))


def deed_of(entry: HistoryEntry) -> str:
    """One line of the history in words.

    >>> deed_of(HistoryEntry(at="2026-11-23T09:00:00.000Z", who="mei", deed="closed", after="drill", why="as planned"))
    '2026-11-23T09:00:00.000Z mei closed drill: as planned'
    """
    who = "the centre" if entry.who == CENTRE else entry.who
    done = " ".join(filter(None, (entry.at, who, entry.deed, entry.after)))
    return printable(f"{done}: {entry.why}" if entry.why else done)


def _members(alert: Alert) -> Table:
    members = Table(
        "Member", "Group", "First seen", "Last seen", "Hits", title="Order of spread", title_justify="left", box=None
    )
    for member in alert.jointsoc.members:
        members.add_row(
            *map(_text, (member.id, member.group, member.first_seen, member.last_seen, f"{member.count:,}"))
        )
    return members


def _evidence(alert: Alert) -> Table:
    evidence = Table(
        "Time",
        "Member",
        "Detection",
        "Topic / partition / offset / line",
        title="Evidence",
        title_justify="left",
        box=None,
    )
    for item in alert.jointsoc.evidence:
        place = f"{item.topic} / {item.partition} / {item.offset} / {item.line}"
        evidence.add_row(*map(_text, (item.time, item.member, ", ".join(item.rule), place)))
    return evidence


def _history(workflow: Workflow) -> Table:
    table = Table("What was done", title="History", title_justify="left", box=None)
    for entry in workflow.history:
        table.add_row(_text(deed_of(entry)))
    for note in workflow.notes:
        table.add_row(_text(f"{note.at} {note.who} wrote: {note.text}"))
    return table


def _status(workflow: Workflow) -> str:
    parts = (workflow.status, workflow.reason or "", workflow.assignee and f"({workflow.assignee})", *workflow.tags)
    return " ".join(filter(None, parts))


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
