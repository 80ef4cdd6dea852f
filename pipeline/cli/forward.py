"""`jsoc forward`: an institution's forwarder. Imports nothing of the centre."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click
import structlog

from connectors.forwarder.check import check_forwarder, load_forwarder
from connectors.forwarder.dry_run import Trial, try_lines
from connectors.forwarder.findings import Finding, Verdict
from connectors.forwarder.heartbeat import policy_of
from connectors.forwarder.inputs import load_pseudonyms
from connectors.forwarder.settings import ForwarderSettings
from connectors.mapping.compiled import Dropped, Refused
from connectors.pseudonyms import KeyName
from pipeline.cli.forward_conform import conform
from pipeline.cli.forward_dlq import dlq
from schemas.errors import ConfigError, printable

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
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))  # stdout is for results


@forward.command()
@CONFIG
def run(config: Path) -> None:
    """Forward until SIGTERM; then flush and remember the positions. Logs JSON lines to stderr.

    SIGHUP reads the configuration, the mappings and the keys again; where something is wrong, the old ones stay.

    \b
    Example:
      jsoc forward run --config /etc/jointsoc/forwarder.yml
    """
    from connectors.forwarder.process import Forwarder

    _log_json()
    forwarder = Forwarder(load_forwarder(config))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, lambda *_: forwarder.reload(lambda: load_forwarder(config)))
    forwarder.run(stop)


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
    return tell(check_forwarder(load_forwarder(config)), style)


@forward.command("dry-run")
@CONFIG
@click.option("--limit", type=click.IntRange(1, 100_000), default=10, show_default=True, help="Newest lines per input.")
@click.option("--format", "style", type=click.Choice(["text", "json", "html"]), default="text", show_default=True)
@click.option(
    "--output", type=click.Path(path_type=Path), help="Write there, readable by you alone; for --format html."
)
def dry_run(config: Path, limit: int, style: str, output: Path | None) -> None:
    """Show what would leave of the newest lines, field by field, and where each field comes from; sends nothing.

    The raw lines are shown: for the institution's own eyes. As HTML it is a report for a compliance officer, with
    what stays at home beside what leaves. An input that waits for senders, or for its log, shows its mapping's samples.

    \b
    Example:
      jsoc forward dry-run --config /etc/jointsoc/forwarder.yml --limit 3
      jsoc forward dry-run --config /etc/jointsoc/forwarder.yml --limit 1000 --format html --output report.html
    """
    if style == "html":
        write_report(load_forwarder(config), limit, output)
        return
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


@forward.command()
@CONFIG
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
def doctor(config: Path, style: str) -> int:
    """Examine the way to the broker: TLS, credentials, rights, topics, clock, disk, certificates.

    Sends one heartbeat and no event. Exit code 0: all is well; 3: something has to be mended.

    \b
    Example:
      jsoc forward doctor --config /etc/jointsoc/forwarder.yml
    """
    from connectors.forwarder.doctor import examine

    return tell(examine(load_forwarder(config)), style)


@forward.command("hmac")
@CONFIG
@click.option("--key", type=click.Choice(["federation", "institution"]), required=True)
@click.option("--kind", required=True, help="What the values name, as mappings write it: customer, user, host...")
def hmac_(config: Path, key: KeyName, kind: str) -> None:
    """Show the pseudonyms of identifiers, to find them at the centre. Values come from stdin, one a line.

    Not from arguments: those stay in the shell's history and are seen by every user of the machine.

    \b
    Example:
      jsoc forward hmac --config /etc/jointsoc/forwarder.yml --key federation --kind customer < ids.txt
    """
    pseudonyms = load_pseudonyms(load_forwarder(config))
    for line in sys.stdin:
        found = pseudonyms.under_all_keys(key, kind, line)
        if found is not None:
            shown = " ".join([found] if isinstance(found, str) else found)
            click.echo(f"{printable(line.strip())} {shown}")


def write_report(settings: ForwarderSettings, limit: int, output: Path | None) -> None:
    """Write the HTML report to a file only its owner can read, or to stdout."""
    from connectors.forwarder.report import report

    page = report(settings, try_lines(settings, limit), policy_of(settings))
    if output is None:
        click.echo(page, nl=False)
        return
    try:
        with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(page)
    except OSError as error:
        raise ConfigError(str(output), f"cannot write the report: {error.strerror}") from error
    click.echo(f"{output}: holds raw lines; readable by you alone. Nothing was sent.", err=True)


def tell(findings: Iterable[Finding], style: str) -> int:
    """Show findings as they come; the exit code."""
    faults = 0
    for finding in findings:
        faults += finding.verdict == "fault"
        click.echo(json.dumps(finding._asdict()) if style == "json" else _finding_line(finding))
    if faults:
        click.echo(f"{faults} to be mended", err=True)
    return 3 if faults else 0


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


forward.add_command(dlq)
forward.add_command(conform)
