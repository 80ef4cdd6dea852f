"""What the detection benchmark runs in a process of its own: our matching, timed; or the memory that it takes."""

from __future__ import annotations

import gc
import io
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from benchmarks.detection_events import a_day
from pipeline.cli.detect import Matcher, Tally
from pipeline.detect.evaluate import Detector
from pipeline.detect.plan import AllOf, AnyOf, DetectionPlan, Expression, Not, Regex, Selection, Text
from pipeline.detect.records import read_stream
from pipeline.rulepack import read_pack
from schemas.event import Event, Origin, read_line
from schemas.logsource import FIELDS

FIRST: Final = 10_000
DAY: Final = 1_000_000
HOSTILE: Final = 300_000
LATENESS: Final = 3_600_000
SAMPLED: Final = 20_000
"""Events between two looks at the memory."""
_SHORTEST: Final = 3


class Passed(NamedTuple):
    """One pass over some events."""

    seconds: float
    found: set[tuple[int, str]]
    """Record, counted from 1, and rule."""


def time_matching(pack: Path, events: Path, times: int) -> dict[str, Any]:
    """CPU seconds for the first events, all of them from cold, and all of them again; and what matched.

    Args:
        pack: the rules.
        events: NDJSON.
        times: of each rule so many variants, itself included.
    """
    detector = Detector([variant for plan in read_pack(pack).detections for variant in variants(plan, times)])
    gc.collect()
    gc.freeze()
    lines = events.read_bytes().splitlines(keepends=True)
    first, later, warm = (_pass(detector, part) for part in (lines[:FIRST], lines[FIRST:], lines))
    cold = first.found | {(FIRST + number, rule) for number, rule in later.found}
    if cold != warm.found:
        raise AssertionError(f"{len(cold ^ warm.found)} matches of one pass only, cold or warm")
    begun = time.process_time()
    for line in lines:
        orjson.loads(line)
    return {
        "events": len(lines),
        "first_events": min(FIRST, len(lines)),
        "first": first.seconds,
        "cold": first.seconds + later.seconds,
        "warm": warm.seconds,
        "loads": time.process_time() - begun,
        "found": sorted(warm.found),
    }


def _pass(detector: Detector, lines: list[bytes]) -> Passed:
    stream, out = io.BytesIO(b"".join(lines)), io.BytesIO()
    matcher = Matcher(detector, Tally(len(detector.plans)), out, thorough=False)
    begun = time.process_time()
    matcher.match("-", read_stream(stream))
    seconds = time.process_time() - begun
    matches = map(orjson.loads, out.getvalue().splitlines())
    return Passed(seconds, {(match["record"], match["rule"]) for match in matches})


def weigh(pack: Path, lanes: Path, otrf: Path) -> dict[str, Any]:
    """MiB resident: with the rules loaded, after a million events of all kinds, the most in between."""
    detector = Detector(read_pack(pack).detections)
    gc.collect()
    gc.freeze()
    loaded = most = _resident()
    matches = 0
    for number, fields in enumerate(_admitted(a_day(lanes, otrf, DAY, HOSTILE))):
        matches += len(detector.match(fields))
        if number % SAMPLED == 0:
            most = max(most, _resident())
    return {"loaded": loaded, "after": _resident(), "most": max(most, _resident()), "matches": matches}


def _admitted(lines: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """As a worker of the job reads them: with a time, the log source under our names."""
    for offset, line in enumerate(lines):
        stamped = b'{"@timestamp":"2026-09-01T00:00:00Z",' + line.removeprefix(b"{")
        found = read_line(stamped, Origin("events.bank-a", 0, offset, 0), 0, LATENESS)
        if isinstance(found, Event):
            yield found.fields


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    return pages * resource.getpagesize() / 2**20


def variants(plan: DetectionPlan, times: int) -> Iterator[DetectionPlan]:
    """The rule, and others like it about other texts: what a larger rule set has that a repeated one has not."""
    yield plan
    for number in range(1, times):
        yield msgspec.structs.replace(plan, id=f"{plan.id}-{number}", expression=_varied(plan.expression, number))


def _varied(expression: Expression, number: int) -> Expression:
    match expression:
        case AllOf(parts):
            return AllOf(tuple(_varied(part, number) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(_varied(part, number) for part in parts))
        case Not(part):
            return Not(_varied(part, number))
        case Selection(name, part):
            return Selection(name, _varied(part, number))
        case Text(field, how, text, cased) if len(text) > _SHORTEST and field not in FIELDS:
            return Text(field, how, f"{text[:2]}{number}{text[2:]}", cased)
        case Regex(field, pattern, flags):
            return Regex(field, f"(?:{pattern})|variant-{number}[0-9]", flags)
    return expression
