"""rsigma on the same rules and events: its CPU seconds, its matches, and why ours are others.

Every explanation is tried: rsigma is asked again with the one thing changed that is said to be the reason, and must
then agree. What it still sees otherwise is unexplained.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from pipeline.detect.view import elements_of
from pipeline.detect.windows import event_fields
from schemas.errors import ConfigError
from schemas.event import Fields
from schemas.logsource import ATTRIBUTES, FIELDS, derive_logsource

Matches = set[tuple[int, str]]
"""Record, counted from 1, and rule."""
_TAG: Final = "benchmark-record"

ABSENT: Final = "the rule names a log-source attribute that the event leaves out; rsigma puts it to the event"
NAMES: Final = "the event is read under Sigma's names: Security 4688's fields, SourceName as Provider_Name"
SEVERAL: Final = "the event has several log sources; rsigma was told the first"
UNEXPLAINED: Final = "UNEXPLAINED"


class Difference(NamedTuple):
    """A rule that one engine alone finds in a record."""

    record: int
    rule: str
    reason: str


class Peer:
    """rsigma with the rules of one folder.

    Args:
        binary: where it is.
        rules: the folder.
    """

    def __init__(self, binary: str, rules: Path) -> None:
        self._command = [binary, "engine", "eval", "-r", str(rules), "--logsource-routing", "--quiet"]
        self._command += ["--output-format", "ndjson"]

    def seconds(self, events: Path, rounds: int) -> float:
        """CPU seconds for the events, matches written; without those for loading the rules."""
        with tempfile.TemporaryDirectory() as folder:
            none, out = Path(folder) / "none.ndjson", Path(folder) / "out.ndjson"
            none.write_bytes(b"{}\n")
            return statistics.median(self._run(events, out) - self._run(none, out) for _ in range(rounds))

    def matches(self, events: Iterable[Mapping[str, Any]]) -> Matches:
        """What it finds in the events, counted from 1."""
        with tempfile.TemporaryDirectory() as folder:
            tagged, out = Path(folder) / "events.ndjson", Path(folder) / "out.ndjson"
            with tagged.open("wb") as file:
                file.writelines(orjson.dumps({**event, _TAG: n}) + b"\n" for n, event in enumerate(events, 1))
            self._run(tagged, out, "--include-event")
            with out.open("rb") as file:
                found = map(orjson.loads, file)
                return {(match["event"][_TAG], match["rule_id"]) for match in found}

    def _run(self, events: Path, out: Path, *more: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with events.open("rb") as source, out.open("wb") as sink:
            done = subprocess.run(
                [*self._command, *more], stdin=source, stdout=sink, stderr=subprocess.PIPE, check=False
            )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            told = done.stderr.decode("utf-8", "replace").strip()
            raise ConfigError(self._command[0], f"rsigma failed: {told}", got=f"exit code {done.returncode}")
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def differences(peer: Peer, lines: list[bytes], ours: Matches) -> list[Difference]:
    """Each match of one engine alone, with the reason that was tried.

    Args:
        peer: the other engine.
        lines: the events, NDJSON.
        ours: what we found in them.
    """
    events = [orjson.loads(line) for line in lines]
    theirs = peer.matches(events)
    reasons: dict[tuple[int, str], str] = {}
    only_theirs, only_ours = sorted(theirs - ours), sorted(ours - theirs)
    records = sorted({record for record, _ in only_theirs})
    still = _asked_again(peer, {record: [_complete(events[record - 1])] for record in records})[0]
    reasons |= {one: ABSENT for one in only_theirs if one not in still}
    records = sorted({record for record, _ in only_ours})
    first, later = _asked_again(peer, {record: _as_read(events[record - 1]) for record in records})
    for one in only_ours:
        if one in first:
            reasons[one] = NAMES
        elif one in later:
            reasons[one] = SEVERAL
    return [Difference(*one, reasons.get(one, UNEXPLAINED)) for one in (*only_theirs, *only_ours)]


def _asked_again(peer: Peer, readings: Mapping[int, list[dict[str, Any]]]) -> tuple[Matches, Matches]:
    """What rsigma finds in the first reading of each record, and in the others."""
    places = [(record, number) for record, all_ in readings.items() for number in range(len(all_))]
    found = peer.matches(readings[record][number] for record, number in places) if places else set()
    at = [(*places[position - 1], rule) for position, rule in found]
    first = {(record, rule) for record, number, rule in at if not number}
    return first, {(record, rule) for record, number, rule in at if number}


def _complete(event: dict[str, Any]) -> dict[str, Any]:
    """The event with every attribute of its log source stated."""
    return {**dict.fromkeys(ATTRIBUTES, "none"), **event}


def _as_read(event: dict[str, Any]) -> list[dict[str, Any]]:
    """The event under the names that we read it by, once for each of its log sources."""
    fields: Fields = event_fields(dict(event))
    derive_logsource(fields)
    names = [elements_of(fields.get(field) or "none") for field in FIELDS]
    bare = {name: value for name, value in fields.items() if name not in FIELDS}
    return [{**bare, **dict(zip(ATTRIBUTES, chosen, strict=True))} for chosen in product(*names)]


def told(name: str, found: list[Difference]) -> list[str]:
    """The differences as lines: for each reason how many matches of how many rules; each unexplained one."""
    lines = []
    for reason, matches in Counter(one.reason for one in found).most_common():
        rules = len({one.rule for one in found if one.reason == reason})
        lines.append(f"{name}: {matches} matches of {rules} rules: {reason}")
    unexplained = [one for one in found if one.reason == UNEXPLAINED]
    return lines + [f"{name}: record {one.record}, rule {one.rule}" for one in unexplained]
