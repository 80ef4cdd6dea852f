"""`jsoc forward dlq`: look at the local dead letters, and send those a mended mapping understands."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import click

from connectors.forwarder.check import load_forwarder
from connectors.forwarder.letters import Letter, read_letters, replay
from connectors.forwarder.settings import ForwarderSettings
from connectors.forwarder.shipper import SCHEMA_HEADERS
from connectors.kafka import open_producer
from schemas.errors import ConfigError, printable
from schemas.member import TOPIC_PREFIX

ACKNOWLEDGE_SECONDS = 60
CONFIG = click.option("--config", type=click.Path(path_type=Path), required=True, help="The forwarder's YAML file.")
INPUT = click.option("--input", "only_input", help="Only letters of this input.")
REASON = click.option("--reason", help="Only letters with this reason, such as no-rule.")


@click.group()
def dlq() -> None:
    """Lines that could not become events: look at them, mend the mapping, send them.

    They are in the forwarder's state_dir and never left the institution.

    \b
    Example:
      jsoc forward dlq list --config /etc/jointsoc/forwarder.yml
    """


@dlq.command("list")
@CONFIG
@INPUT
@REASON
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=20, show_default=True, help="Newest letters.")
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_(config: Path, only_input: str | None, reason: str | None, limit: int, style: str) -> None:
    """List the newest letters, and count all of them by input and reason.

    \b
    Example:
      jsoc forward dlq list --config /etc/jointsoc/forwarder.yml --reason no-rule
    """
    letters = _letters(load_forwarder(config), only_input, reason)
    for letter in letters[-limit:]:
        if style == "json":
            click.echo(json.dumps(_as_json(letter), ensure_ascii=False))
        else:
            start = printable(letter.raw[:100].decode("utf-8", "backslashreplace"))
            click.echo(f"{letter.id}  {letter.time}  {letter.input:<12} {letter.reason:<12} {start}")
    for (name, why), count in Counter((one.input, one.reason) for one in letters).most_common():
        click.echo(f"{count:>7}  {printable(name)}: {printable(why)}", err=True)
    if not letters:
        click.echo("No letter.", err=True)


@dlq.command()
@CONFIG
@click.argument("letter_id", metavar="ID")
def show(config: Path, letter_id: str) -> None:
    """Show one letter whole: why it is dead, where the line stood, and the line.

    \b
    Example:
      jsoc forward dlq show --config /etc/jointsoc/forwarder.yml 3f9a1c22d0b4
    """
    letter = next((one for one in _letters(load_forwarder(config), None, None) if one.id == letter_id), None)
    if letter is None:
        raise ConfigError(f"letter {printable(letter_id)}", "there is none with this id", hint="jsoc forward dlq list")
    for name, value in _as_json(letter).items():
        if name != "line":
            click.echo(f"{name:<8} {printable(str(value))}")
    click.echo(printable(letter.raw.decode("utf-8", "backslashreplace")))


@dlq.command("replay")
@CONFIG
@INPUT
@REASON
@click.option("--dry-run", is_flag=True, help="Only say what would become of them.")
def replay_(config: Path, only_input: str | None, reason: str | None, *, dry_run: bool) -> int:
    """Map the letters again and send those that become events now; the forwarder may run meanwhile.

    Events keep the ids they would have had: what is replayed twice counts once. Exit code 1: some are still dead.

    \b
    Example:
      jsoc forward dlq replay --config /etc/jointsoc/forwarder.yml --input web
    """
    settings = load_forwarder(config)
    letters = _letters(settings, only_input, reason)
    if not letters:
        click.echo("No letter.", err=True)
        return 0
    tally: Counter[str] = Counter()
    producer = None if dry_run else open_producer(settings.kafka, linger_ms=0)
    topic = TOPIC_PREFIX + settings.member

    def send(event: bytes) -> None:
        if producer is not None:
            producer.send(topic, value=event, headers=SCHEMA_HEADERS).get(timeout=ACKNOWLEDGE_SECONDS)

    try:
        for attempt in replay(settings, letters, send, remember=not dry_run):
            tally["would be sent" if dry_run and attempt.sent else "sent" if attempt.sent else attempt.why] += 1
    finally:
        if producer is not None:
            producer.close()
    for what, count in tally.most_common():
        click.echo(f"{count:>7}  {printable(what)}")
    return 0 if set(tally) <= {"sent", "would be sent"} else 1


def _letters(settings: ForwarderSettings, only_input: str | None, reason: str | None) -> list[Letter]:
    return [
        letter
        for letter in read_letters(settings.state_dir)
        if only_input in (None, letter.input) and reason in (None, letter.reason)
    ]


def _as_json(letter: Letter) -> dict[str, object]:
    shown = letter._asdict()
    shown["line"] = shown.pop("raw").decode("utf-8", "backslashreplace")
    return shown
