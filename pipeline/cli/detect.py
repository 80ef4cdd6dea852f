"""`jsoc detect`: events in, Sigma matches out; no services."""

from __future__ import annotations

import gc
import io
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Literal

import click
import orjson

from pipeline.cli.rule_loading import is_rules, load_plans, taxonomy_option
from pipeline.detect.evaluate import Detector
from pipeline.detect.lines import LineMatcher
from pipeline.detect.nodes import Matched
from pipeline.detect.records import READ_BYTES, STDIN, Found, Records, read_file, read_line, read_stream
from pipeline.detect.taxonomy import Taxonomy
from pipeline.detect.view import elements_of
from schemas.errors import ConfigError, printable
from schemas.event import Fields
from schemas.logsource import ATTRIBUTES, PREFIX, deciding_fields

PROBLEMS_SHOWN: Final = 20
LOOKED_AT: Final = 1_000
"""Events whose log source is looked at to tell when none is known."""
REMEMBERED: Final = 10_000
"""Shapes of events and log sources that the figures remember."""


class Tally:
    """What `--stats` tells."""

    def __init__(self, rules: int) -> None:
        self.rules = rules
        self.events = self.bad = self.matches = self.homeless = self.candidates = 0
        self.begun = time.perf_counter()

    def lines(self) -> Iterator[str]:
        """What to print."""
        seconds = max(time.perf_counter() - self.begun, 1e-9)
        events = max(self.events, 1)
        yield f"rules       {self.rules:>12,}"
        yield f"events      {self.events:>12,}   {self.events / seconds:,.0f} per second"
        yield f"matches     {self.matches:>12,}"
        yield f"unreadable  {self.bad:>12,}"
        yield f"log source  {self.homeless:>12,}   events without a known one"
        yield f"candidates  {self.candidates / events:>12,.1f}   rules of an event's log source"


class Matcher:
    """Matches records and writes what was found.

    Args:
        detector: the rules.
        tally: counts; candidates and log sources of all events only if `thorough`, else of the first thousand.
    """

    def __init__(self, detector: Detector, tally: Tally, out: BinaryIO, *, thorough: bool) -> None:
        self._out = out
        self._detector = detector
        self._lines = LineMatcher(detector)
        self._tally = tally
        self._stating: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._seen: dict[tuple[object, ...], tuple[bool, int]] = {}
        self._looked_at = float("inf") if thorough else LOOKED_AT
        # What a match says beyond its place is the same for every match of a rule.
        self._tails = [
            b"," + orjson.dumps({"rule": plan.id, "title": plan.title, "level": plan.level})[1:] + b"\n"
            for plan in detector.plans
        ]

    def match(self, source: str, records: Records) -> None:
        """Match the records of one file."""
        place = b'{"source":' + orjson.dumps(source) + b',"record":'
        number = 0
        for piece in records.pieces:
            if not isinstance(piece, list):
                number += 1
                self._match(source, number, piece, place)
                continue
            # What the first events say is looked at before they are matched.
            known = self._lines.match(piece) if self._tally.events >= self._looked_at else [None] * len(piece)
            for line, matched in zip(piece, known, strict=True):
                if matched is None:
                    for found in read_line(line):
                        number += 1
                        self._match(source, number, found, place)
                    continue
                number += 1
                if matched:
                    self._write(matched, number, place)
            self._tally.events += len(known) - known.count(None)

    def _match(self, source: str, number: int, found: Found, place: bytes) -> None:
        fields, problem = found
        if fields is None:
            self._complain(source, number, problem)
            return
        self._tally.events += 1
        if self._tally.events <= self._looked_at:
            self._look_at(fields)
        matched = self._detector.match(fields)
        if matched:
            self._write(matched, number, place)

    def _write(self, matched: Matched, number: int, place: bytes) -> None:
        self._tally.matches += len(matched)
        begin = b"%b%d" % (place, number)
        self._out.write(begin + begin.join([self._tails[rule] for rule in matched]))

    def _look_at(self, fields: Fields) -> None:
        # Events that state the same are looked at once: else the figures would cost as much as the matching.
        names = tuple(fields)
        stating = self._stating.get(names)
        if stating is None:
            stating = self._stating[names] = tuple(deciding_fields(names))
        stated = [fields[name] for name in stating]
        key = (stating, *stated, *map(type, stated))
        seen = self._seen.get(key)
        if seen is None:
            if len(self._seen) + len(self._stating) > REMEMBERED:
                self._seen.clear()
                self._stating.clear()
            seen = not any(self._detector.names_of(fields)), self._detector.routed_count(fields)
            self._seen[key] = seen
        self._tally.homeless += seen[0]
        self._tally.candidates += seen[1]

    def _complain(self, source: str, number: int, problem: str) -> None:
        self._tally.bad += 1
        if self._tally.bad <= PROBLEMS_SHOWN:
            click.echo(f"{source}:{number}: {printable(problem)[:300]}", err=True)


@click.command()
@click.option("--rules", "-r", "rule_paths", type=Path, multiple=True, required=True, help="Rule file, folder or pack.")
@taxonomy_option
@click.option("--logsource", metavar="product=...,...", help="Log source of events that do not tell theirs.")
@click.option("--unrouted", is_flag=True, help="Put every event to every rule, whatever its log source.")
@click.option("--placeholders", type=Path, help="YAML file with values for `expand`.")
@click.option("--skip-unsupported", is_flag=True, help="Leave out rules that cannot be honoured; each is named.")
@click.option("--stats", is_flag=True, help="Tell figures on stderr at the end.")
@click.argument("files", nargs=-1, type=Path)
def detect(
    rule_paths: tuple[Path, ...],
    taxonomy: Taxonomy | None,
    logsource: str | None,
    unrouted: bool,  # noqa: FBT001 - click
    placeholders: Path | None,
    skip_unsupported: bool,  # noqa: FBT001 - click
    stats: bool,  # noqa: FBT001 - click
    files: tuple[Path, ...],
) -> int:
    """Match event files (NDJSON, JSON, gzip, EVTX; standard input without a file) against Sigma rules.

    Writes one JSON object per match: source, record (counted from 1), rule, title, level. An event is put to the rules
    of its log source: its own `jointsoc.logsource.*`, else derived from its channel, dataset or module, else its plain
    `product` and `category`. Rule files, folders and packs among FILES are rules too, so `--rules rules/*.yml` works.
    Raw Windows events get the field names of Sigma's Windows rules; `--taxonomy ecs` is for
    events with ECS names. Exit code 1 if a record could not be read.

    \b
    Example:
      jsoc detect --rules rules/sigma --stats events.ndjson.gz > matches.ndjson
    """
    among = [path for path in files if is_rules(path)]
    files = tuple(path for path in files if path not in among)
    plans = load_plans(
        (*rule_paths, *among),
        placeholders,
        taxonomy=taxonomy,
        skip_unsupported=skip_unsupported,
        on_correlations=_tell_correlations,
    )
    assumed = read_logsource(logsource) if logsource else {}
    tally = Tally(len(plans))
    detector = Detector(plans, routed=not unrouted, assumed=assumed)
    gc.freeze()  # the rules stay: no collection need look at them again
    try:
        with _roomy(sys.stdout.buffer, "wb") as out:
            matcher = Matcher(detector, tally, out, thorough=stats)
            for source, records in _sources(files):
                matcher.match(source, records)
    except BrokenPipeError:
        # The reader has seen enough; keep Python from complaining again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if stats:
        for line in tally.lines():
            click.echo(line, err=True)
    if tally.homeless == min(tally.events, LOOKED_AT) > 0 == tally.matches and not unrouted:
        click.echo("no event has a known log source, so no rule applies; see --logsource and --unrouted", err=True)
    return 1 if tally.bad else 0


def _tell_correlations(count: int) -> None:
    click.echo(f"left out: {count} correlations, which need members; see jsoc replay", err=True)


def read_logsource(text: str) -> Fields:
    """`product=windows,category=process_creation` as fields; an attribute that stands twice has both names.

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
        known = elements_of(fields.get(PREFIX + attribute, ()))
        fields[PREFIX + attribute] = (*known, name) if known else name
    return fields


def _sources(files: tuple[Path, ...]) -> Iterator[tuple[str, Records]]:
    for path in files or (Path(STDIN),):
        if str(path) == STDIN:
            with _roomy(sys.stdin.buffer, "rb") as stream:
                yield STDIN, read_stream(stream)
        else:
            yield printable(str(path)), read_file(path)


@contextmanager
def _roomy(stream: BinaryIO, mode: Literal["rb", "wb"]) -> Iterator[BinaryIO]:
    """The same standard stream with a larger buffer, left open; at 8 KiB a third of the time goes into system calls."""
    try:
        descriptor = os.dup(stream.fileno())
    except (OSError, io.UnsupportedOperation):
        yield stream  # it stands for a descriptor without being one
        stream.flush()
        return
    with os.fdopen(descriptor, mode, READ_BYTES) as roomy:
        yield roomy
