"""`jsoc status`: what runs, where, and how far behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

import click
from rich.table import Table
from rich.text import Text

from deploy.local.heartbeats import newest_heartbeats
from deploy.local.settings import StackSettings, load_stack_settings
from deploy.local.status import ProcessStatus, all_run, stack_status
from pipeline.cli.progress import results
from schemas.errors import ConnectionError_, printable
from schemas.times import now_ms

_STYLES: Final = {"running": "green", "restarting": "yellow"} | dict.fromkeys(("dead", "lost", "failed"), "bold red")

_COUNTED: Final = {"lines": "lines read", "dead": "dead letters", "late": "too late to be correlated"}
"""What counters are called; the others are told by their own names (docs/operations.md)."""


@click.command()
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--members", is_flag=True, help="Only the members' forwarders.")
def status(form: str, *, members: bool) -> int:
    """Show each process: state, address, pid, uptime, and records not yet read (lag).

    Of the job its rule pack, its restarts and what it did not use are told too.

    Members' forwarders are shown below, by their newest heartbeat; as JSON with `--format json --members`.

    Exit code 0 when everything runs, else 1. A job that failed runs again once it has completed a checkpoint.

    \b
    Example:
      jsoc status --format json
    """
    settings = load_stack_settings()
    if members:
        return _show_members(settings, form)
    rows = stack_status(settings)
    if form == "json":
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        results().print(_table(rows))
        for row in rows:
            for sentence in _details(row):
                results().print(f"{row.process}: {sentence}")
        if any(row.process == "kafka" and row.state == "running" for row in rows):
            try:
                _show_members(settings, form)
            except ConnectionError_ as error:
                click.echo(f"forwarders: {error}", err=True)
    return 0 if all_run(rows) else 1


def _show_members(settings: StackSettings, form: str) -> int:
    heard = sorted(newest_heartbeats(settings).items())
    if form == "json":
        click.echo(json.dumps([{"at": one.at, **one.beat.model_dump(by_alias=True)} for _, one in heard], indent=2))
        return 0
    if not heard:
        return 0
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("forwarder", "heard", "waiting", "dead", "lost", "trouble"):
        table.add_column(heading, overflow="fold")
    for member, (at, beat) in heard:
        dead, lost = sum(one.dead for one in beat.inputs), sum(one.lost for one in beat.inputs)
        ago = f"{_duration(max(0, now_ms() - at) // 1000)} ago"
        trouble = Text(printable(beat.last_error))
        table.add_row(member, ago, f"{beat.spool_bytes:,} B", f"{dead:,}", f"{lost:,}", trouble)
    results().print(table)
    return 0


def _table(rows: list[ProcessStatus]) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("process", "state", "address"):
        table.add_column(heading, overflow="fold")
    for heading in ("pid", "uptime", "lag"):
        table.add_column(heading, justify="right", overflow="fold")
    for row in rows:
        table.add_row(
            row.process,
            Text(row.state, _STYLES.get(row.state, "dim")),
            row.address,
            "" if row.pid is None else str(row.pid),
            "" if row.uptime is None else _duration(row.uptime),
            "" if row.lag is None else f"{row.lag:,}",
        )
    return table


def _details(row: ProcessStatus) -> Iterator[str]:
    if row.packs:
        yield f"rule pack {', '.join(row.packs)}"
    if row.restarts:
        yield f"restarted {row.restarts} times since it was submitted" if row.restarts > 1 else "restarted once"
    if row.counted:
        lines, *others = (f"{count:,} {_COUNTED.get(name, name)}" for name, count in row.counted.items())
        yield f"{lines}; {', '.join(others)}" if others else lines
    if row.abilities:
        yield ", ".join(f"{name}: {'yes' if there else 'no'}" for name, there in row.abilities.items())
    if row.problem:
        yield printable(row.problem)


def _duration(seconds: int) -> str:
    """Two places are enough: `42s`, `3m05s`, `7h12m`, `2d03h`."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d{hour:02d}h"
    if hours:
        return f"{hours}h{minute:02d}m"
    return f"{minutes}m{second:02d}s" if minutes else f"{second}s"
