"""`jsoc forward`: an institution's forwarder. Imports nothing of the centre."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Final

import click
import structlog

from connectors.forwarder.check import check_forwarder, load_forwarder
from connectors.forwarder.dry_run import Trial, try_lines
from connectors.forwarder.findings import Finding, Verdict
from connectors.mapping.compiled import Dropped, Refused
from schemas.errors import printable

CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), required=True, help="The forwarder's YAML file; see docs/forwarder.md."
)
_COLOURS: Final[dict[Verdict, str]] = {"ok": "green", "warning": "yellow", "fault": "red"}


@click.group()
def forward() -> None:
    """An institution's forwarder: reads logs, maps them to ECS, replaces identifiers by keyed hashes, sends events.

    \b
    Example:
      jsoc forward check --config /etc/jointsoc/forwarder.yml
    """


@forward.command()
@CONFIG
def run(config: Path) -> None:
    """Forward until SIGTERM; then flush and remember the positions. Logs JSON lines to stderr.

    \b
    Example:
      jsoc forward run --config /etc/jointsoc/forwarder.yml
    """
    from connectors.forwarder.process import run_forwarder

    _log_json()
    settings = load_forwarder(config)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run_forwarder(settings, stop)


@forward.command()
@CONFIG
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
def check(config: Path, style: str) -> int:
    """Check configuration, keys, files, and the samples inside the mappings; sends nothing.

    Exit code 0: all is well; 3: something has to be mended.

    \b
    Example:
      jsoc forward check --config /etc/jointsoc/forwarder.yml
    """
    findings = list(check_forwarder(load_forwarder(config)))
    for finding in findings:
        click.echo(json.dumps(finding._asdict()) if style == "json" else _finding_line(finding))
    faults = sum(finding.verdict == "fault" for finding in findings)
    if faults:
        click.echo(f"{faults} to be mended", err=True)
    return 3 if faults else 0


@forward.command("dry-run")
@CONFIG
@click.option("--limit", type=click.IntRange(1, 100_000), default=10, show_default=True, help="Newest lines per input.")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
def dry_run(config: Path, limit: int, style: str) -> None:
    """Show what would leave of the newest lines, field by field, and where each field comes from; sends nothing.

    The raw lines are shown: for the institution's own eyes.

    \b
    Example:
      jsoc forward dry-run --config /etc/jointsoc/forwarder.yml --limit 3
    """
    tally: Counter[str] = Counter()
    for trial in try_lines(load_forwarder(config), limit):
        tally[f"{trial.input}: {_fate(trial)}"] += 1
        if style == "json":
            click.echo(json.dumps(_as_json(trial), ensure_ascii=False))
        else:
            _show(trial)
    for fate, count in sorted(tally.items()):
        click.echo(f"{count:>7}  {printable(fate)}", err=True)
    click.echo("Nothing was sent." if tally else "No line was found; nothing was sent.", err=True)


def _show(trial: Trial) -> None:
    raw = trial.line.raw.decode("utf-8", "backslashreplace")
    click.echo(click.style(f"{trial.input}  ", bold=True) + printable(raw[:2000]))
    if not isinstance(trial.outcome, dict):
        click.secho(f"    nothing leaves: {printable(_fate(trial))}", fg="yellow")
        return
    for name, value in trial.outcome.items():
        origin = trial.origins.get(name, "added by the forwarder")
        shown = printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        hidden = origin.startswith("hmac(")
        click.echo(f"    {name:<34} {click.style(shown, fg='magenta' if hidden else None)}  ", nl=False)
        click.secho(f"<- {origin}", dim=True)


def _fate(trial: Trial) -> str:
    match trial.outcome:
        case Dropped(reason):
            return f"dropped, {reason}"
        case Refused(reason, detail):
            return f"dead letter, {reason}: {detail}"
        case _:
            return "sent"


def _as_json(trial: Trial) -> dict[str, object]:
    sent = isinstance(trial.outcome, dict)
    return {
        "input": trial.input,
        "offset": trial.line.start,
        "line": trial.line.raw.decode("utf-8", "backslashreplace"),
        "fate": _fate(trial),
        "event": trial.outcome if sent else None,
        "origins": {name: trial.origins[name] for name in trial.outcome if name in trial.origins} if sent else {},
    }


def _finding_line(finding: Finding) -> str:
    verdict = click.style(f"{finding.verdict:<8}", fg=_COLOURS[finding.verdict])
    return f"{verdict} {finding.what:<28} {printable(finding.detail)}"


def _log_json() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
