"""`jsoc alerts`: what was found and what people did with it, on the command line, through the dashboard's interface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, get_args

import click
from rich.console import Console

from connectors.alert_api import ChangedMeanwhile, Original, WorkedAlert
from connectors.alert_query import LEVELS, MAX_FOUND
from dashboard.queue_query import STATES, STATUSES
from dashboard.triage import Act
from pipeline.cli.alerts_access import open_api
from pipeline.cli.alerts_tables import deed_of, print_alert, print_original, table_of
from schemas.alert import Level, State
from schemas.workflow import Status

ACTS: Final[tuple[Act, ...]] = get_args(Act)
CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="YAML file with `dashboard:` (url, token_file, ca_file); default: the one-machine stack's etc/operator.yml.",
)
FORMAT = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)


@click.group()
def alerts() -> None:
    """List, show and work on what was found, over the dashboard's REST interface.

    Without --config it is the stack of this machine, with a token that is made at the first use.

    \b
    Example:
      jsoc alerts list --level critical --level high
    """


@alerts.command("list")
@CONFIG
@FORMAT
@click.option("--status", "statuses", type=click.Choice(STATUSES), multiple=True, help="Several times; default: all.")
@click.option(
    "--state",
    "states",
    type=click.Choice(STATES),
    multiple=True,
    help="May be given several times; default: open and settled.",
)
@click.option("--level", "levels", type=click.Choice(LEVELS), multiple=True, help="May be given several times.")
@click.option("--member", "members", multiple=True, help="Institutions, any of which was hit.")
@click.option("--text", default="", help="Words of the sentence; the beginning of an address, hash or member's id.")
@click.option("--limit", type=click.IntRange(1, MAX_FOUND), default=50, show_default=True)
def list_alerts(
    config: Path | None,
    form: str,
    statuses: tuple[Status, ...],
    states: tuple[State, ...],
    levels: tuple[Level, ...],
    members: tuple[str, ...],
    text: str,
    limit: int,
) -> None:
    """List alerts, newest first.

    \b
    Example:
      jsoc alerts list --status open --limit 20
    """
    asked = {"status": statuses or STATUSES, "state": states, "level": levels, "member": members, "q": (text,)}
    with open_api(config) as api:
        listed = api.list({name: values for name, values in asked.items() if any(values)}, limit)
    if form == "json":
        for worked in listed.found:
            click.echo(json.dumps(_document(worked), ensure_ascii=False))
    else:
        Console().print(table_of(listed.found))
    _tell_rest(listed.total, len(listed.found), listed.unreadable)


@alerts.command("show")
@click.argument("alert_id", metavar="ID")
@CONFIG
@FORMAT
@click.option("--evidence", is_flag=True, help="Also the original events, from Kafka, and why each matched.")
def show_alert(alert_id: str, config: Path | None, form: str, *, evidence: bool) -> None:
    """Show one alert: who was hit, in which order, the evidence, and what people did.

    \b
    Example:
      jsoc alerts show 202611-0123456789abcdef01234567 --evidence
    """
    with open_api(config) as api:
        worked = api.get(alert_id)
        wanted = range(len(worked.alert.jointsoc.evidence) if evidence else 0)
        originals = [api.original(alert_id, number) for number in wanted]
    if form == "json":
        told = {"originals": [_plain(one) for one in originals]} if evidence else {}
        click.echo(json.dumps(_document(worked) | told, ensure_ascii=False))
        return
    console = Console()
    print_alert(console, worked)
    for number, original in enumerate(originals, start=1):
        print_original(console, number, original)


@alerts.command("work")
@click.argument("alert_id", metavar="ID")
@click.argument("act", type=click.Choice(ACTS))
@click.argument("value", default="")
@click.option("--why", default="", help="In your words; kept in the alert's history.")
@click.option("--seen", type=click.IntRange(0), help="Revision of the workflow you read; default: the one of now.")
@CONFIG
def work_on_alert(alert_id: str, act: Act, value: str, why: str, seen: int | None, config: Path | None) -> int:
    """Acknowledge, close, reopen, assign, tag or note an alert.

    VALUE is the close reason, the user name, the tag or the note. Exit code 1 if somebody changed the alert since the
    revision --seen; then nothing is done, and stderr says who did what.

    \b
    Example:
      jsoc alerts work 202611-0123456789abcdef01234567 close false_positive --why "a load test"
    """
    with open_api(config) as api:
        read = api.get(alert_id).workflow.revision if seen is None else seen
        try:
            workflow = api.change(alert_id, act, seen=read, value=value, why=why)
        except ChangedMeanwhile as first:
            for entry in first.since:
                click.echo(f"meanwhile: {deed_of(entry)}", err=True)
            return 1
    click.echo(f"{workflow.status} {workflow.reason or ''}".strip())
    return 0


def _document(worked: WorkedAlert) -> dict[str, Any]:
    """The alert as it travels, with what people did under `workflow`."""
    alert = worked.alert.model_dump(mode="json", by_alias=True, exclude_none=True)
    return alert | {"workflow": worked.workflow.model_dump(mode="json")}


def _plain(original: Original | str) -> dict[str, Any]:
    if isinstance(original, str):
        return {"error": original}
    return {"pretty": original.pretty, "explained": original.explained}


def _tell_rest(total: int, shown: int, unreadable: int) -> None:
    if total > shown + unreadable:
        click.echo(f"{shown} of {total} alerts shown; --limit shows more", err=True)
    if unreadable:
        click.echo(f"{unreadable} documents are not alerts of this version and are left out", err=True)
    if not total:
        click.echo("no alert fits", err=True)
