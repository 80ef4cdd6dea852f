"""The events that detection is measured on: lanes repeated, recorded ones, and ones in which no text comes twice."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any, Final

import orjson

from schemas.event import flatten
from schemas.logsource import ATTRIBUTES, FIELDS, derive_logsource

EVENTS: Final = 100_000
LANES: Final = ("structured_windows", "match_heavy", "sysmon_file_event")
UNIQUE_LANE: Final = "structured_windows"


def inputs(lanes: Path, otrf: Path) -> dict[str, Callable[[], list[bytes]]]:
    """The name of everything whose speed is measured, and how to get its lines."""
    return {
        **{lane: partial(_repeated, lanes, lane) for lane in LANES},
        "recorded (OTRF)": lambda: list(recorded_lines(otrf)),
        "every text unique": lambda: list(islice(unique_lines(lanes), EVENTS // 2)),
    }


def _repeated(lanes: Path, lane: str) -> list[bytes]:
    return list(islice(cycle(lane_lines(lanes, lane)), EVENTS))


def lane_lines(lanes: Path, lane: str) -> list[bytes]:
    """The events of one lane, once."""
    return _lines_of(lanes / f"{lane}.ndjson.gz")


def recorded_lines(folder: Path) -> Iterator[bytes]:
    """Recorded events; each states its log source in words that rsigma reads too, `none` where it has none."""
    for path in sorted(folder.glob("*.ndjson.gz")):
        for line in _lines_of(path):
            event = orjson.loads(line)
            fields = dict(flatten(event))
            derive_logsource(fields)
            yield orjson.dumps(event | told_logsource(fields))


def told_logsource(fields: dict[str, Any]) -> dict[str, str]:
    """The log source as plain attributes: the first of several names, `none` where there is none."""
    values = [fields.get(field) or "none" for field in FIELDS]
    first = [value[0] if isinstance(value, tuple) else value for value in values]
    return dict(zip(ATTRIBUTES, first, strict=True))


def unique_lines(lanes: Path) -> Iterator[bytes]:
    """A lane without end in which every text is its own, but for the log source."""
    for number, line in zip(count(), cycle(lane_lines(lanes, UNIQUE_LANE)), strict=False):
        event = orjson.loads(line)
        yield orjson.dumps(
            {
                name: f"{value}#{number}" if isinstance(value, str) and name not in ATTRIBUTES else value
                for name, value in event.items()
            }
        )


def hostile_lines(lanes: Path) -> Iterator[bytes]:
    """The same, and now and then a field, a log source, a number, an array or a long text that never comes again."""
    for number, line in enumerate(unique_lines(lanes)):
        event = orjson.loads(line)
        invented = (
            {f"field-{number}": number},
            {"category": f"invented-{number}"},
            {"EventID": number},
            {"CommandLine": [f"cmd {number}", f"powershell {number}"]},
            {"CommandLine": f"{number} " + "x" * 4_000},
        )
        yield orjson.dumps(event | invented[number % len(invented)])


def a_day(lanes: Path, otrf: Path, events: int, hostile: int) -> Iterator[bytes]:
    """So many events of all kinds, one kind after the other, the last ones hostile."""
    yield from islice(_ordinary_lines(lanes, otrf), events - hostile)
    yield from islice(hostile_lines(lanes), hostile)


def _ordinary_lines(lanes: Path, otrf: Path) -> Iterator[bytes]:
    """Without end, and read again each time: nothing is held that a worker would not hold."""
    while True:
        for lane in LANES:
            yield from lane_lines(lanes, lane)
        yield from recorded_lines(otrf)


def _lines_of(path: Path) -> list[bytes]:
    with gzip.open(path) as stream:
        return [line.rstrip(b"\n") for line in stream if line.strip()]
