"""`jsoc detect`: events in, Sigma matches out; no services."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import orjson

from pipeline.cli.rule_loading import load_plans
from pipeline.detect.evaluate import Detector
from pipeline.detect.records import Record, read_file, read_stream
from schemas.errors import ConfigError, printable
from schemas.event import Fields
from schemas.logsource import ATTRIBUTES, PREFIX, derive_logsource

STDIN: Final = "-"
PROBLEMS_SHOWN: Final = 20


class _Tally:
    """What `--stats` tells."""

    def __init__(self, rules: int, *, routes: bool) -> None:
        self.rules = rules
        self.events = self.bad = self.matches = self.homeless = 0
        self.routed = 0 if routes else None
        self.begun = time.perf_counter()

    def lines(self) -> Iterator[str]:
        seconds = max(time.perf_counter() - self.begun, 1e-9)
        events = max(self.events, 1)
        yield f"rules       {self.rules:>12,}"
        yield f"events      {self.events:>12,}   {self.events / seconds:,.0f} per second"
        yield f"matches     {self.matches:>12,}"
        yield f"unreadable  {self.bad:>12,}"
        yield f"log source  {self.homeless:>12,}   events without a known one"
        yield f"candidates  {(self.routed or 0) / events:>12,.1f}   rules of an event's log source"


@click.command()
@click.option("--rules", "-r", "rule_paths", type=Path, multiple=True, required=True, help="Rule file, folder or pack.")
@click.option("--logsource", metavar="product=...,...", help="Log source of events that do not tell theirs.")
@click.option("--unrouted", is_flag=True, help="Put every event to every rule, whatever its log source.")
@click.option("--placeholders", type=Path, help="YAML file with values for `expand`.")
@click.option("--skip-unsupported", is_flag=True, help="Leave out rules that cannot be honoured; each is named.")
@click.option("--stats", is_flag=True, help="Tell figures on stderr at the end.")
@click.argument("files", nargs=-1, type=Path)
def detect(
    rule_paths: tuple[Path, ...],
    logsource: str | None,
    unrouted: bool,  # noqa: FBT001 - click
    placeholders: Path | None,
    skip_unsupported: bool,  # noqa: FBT001 - click
    stats: bool,  # noqa: FBT001 - click
    files: tuple[Path, ...],
) -> int:
    """Match event files (NDJSON, JSON, gzip, EVTX; standard input without a file) against Sigma rules.

    Writes one JSON object per match: source, record (counted from 1), rule, title, level. An event is put to the rules
    of its log source: its own `jointsoc.logsource.*`, else derived from its channel, dataset or module. Raw Windows
    events get the field names of Sigma's Windows rules. Exit code 1 if a record could not be read.

    \b
    Example:
      jsoc detect --rules rules/sigma --stats events.ndjson.gz > matches.ndjson
    """
    given = read_logsource(logsource) if logsource else {}
    plans = load_plans(rule_paths, placeholders, skip_unsupported=skip_unsupported)
    detector = Detector(plans, routed=not unrouted)
    tally = _Tally(len(plans), routes=stats)
    try:
        for source, record in _records(files):
            _match(detector, source, record, given, tally)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough; keep Python from complaining again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if stats:
        for line in tally.lines():
            click.echo(line, err=True)
    if tally.homeless == tally.events > 0 and not unrouted:
        click.echo("no event has a known log source, so no rule applies; see --logsource and --unrouted", err=True)
    return 1 if tally.bad else 0


def read_logsource(text: str) -> Fields:
    """`product=windows,category=process_creation` as fields.

    Raises:
        ConfigError: something else.
    """
    fields: Fields = {}
    for part in text.split(","):
        attribute, sign, name = part.strip().partition("=")
        if attribute not in ATTRIBUTES or not sign or not name:
            raise ConfigError(
                "--logsource", "not a log source", got=text, expected="product=...,category=...,service=..."
            )
        fields[PREFIX + attribute] = name
    return fields


def _records(files: tuple[Path, ...]) -> Iterator[tuple[str, Record]]:

    if not files:
        for record in read_stream(sys.stdin.buffer):
            yield STDIN, record
    for path in files:
        if str(path) == STDIN:
            for record in read_stream(sys.stdin.buffer):
                yield STDIN, record
            continue
        for record in read_file(path):
            yield printable(str(path)), record


def _match(detector: Detector, source: str, record: Record, given: Fields, tally: _Tally) -> None:
    if record.fields is None:
        tally.bad += 1
        if tally.bad <= PROBLEMS_SHOWN:
            click.echo(f"{source}:{record.number}: {printable(record.problem)[:300]}", err=True)
        return
    fields = record.fields
    derive_logsource(fields)
    for name, value in given.items():
        fields.setdefault(name, value)
    tally.events += 1
    tally.homeless += not any(PREFIX + attribute in fields for attribute in ATTRIBUTES)
    if tally.routed is not None:
        tally.routed += detector.routed_count(fields)
    for index in detector.match(fields):
        plan = detector.plans[index]
        tally.matches += 1
        found = {
            "source": source,
            "record": record.number,
            "rule": plan.id,
            "title": plan.title,
            "level": plan.level,
        }
        sys.stdout.buffer.write(orjson.dumps(found) + b"\n")
