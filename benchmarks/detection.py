"""Detection on one core beside rsigma: the same rules, the same events, matches written by both; CPU seconds.

    python -m benchmarks.detection --rules SIGMAHQ/rules --lanes LANES --otrf OTRF [--rsigma PATH]

Rule loading is left out on both sides: a run on one empty event is subtracted. `first` is the first 10,000 events with
empty memos, `cold` the whole lane from empty memos, `warm` the same again.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import io
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table

from pipeline.cli.detect import Matcher, Tally
from pipeline.detect.evaluate import Detector
from pipeline.detect.records import read_stream
from pipeline.rulepack import build_pack, read_pack
from schemas.event import flatten
from schemas.logsource import ATTRIBUTES, FIELDS, derive_logsource
from schemas.member import MemberRegistry

EVENTS: Final = 100_000
FIRST: Final = 10_000
LANES: Final = ("structured_windows", "match_heavy", "sysmon_file_event")
ROUNDS: Final = 3


def lane_lines(path: Path) -> list[bytes]:
    """A lane repeated to `EVENTS` lines."""
    lines = [line for line in gzip.decompress(path.read_bytes()).splitlines() if line.strip()]
    return (lines * (EVENTS // len(lines) + 1))[:EVENTS]


def unique_lines(path: Path) -> list[bytes]:
    """The same lane with every text its own, apart from the log source."""
    lines = []
    for number, line in enumerate(lane_lines(path)[: EVENTS // 2]):
        event = orjson.loads(line)
        lines.append(orjson.dumps({name: _unique(name, value, number) for name, value in event.items()}))
    return lines


def _unique(name: str, value: Any, number: int) -> Any:
    return f"{value}#{number}" if isinstance(value, str) and name not in ATTRIBUTES else value


def real_lines(folder: Path) -> list[bytes]:
    """Recorded events; each states its log source in words that rsigma reads too, `none` where it has none."""
    lines: list[bytes] = []
    for path in sorted(folder.glob("*.ndjson.gz")):
        lines += [_stated(line) for line in gzip.decompress(path.read_bytes()).splitlines() if line.strip()]
    return lines


def _stated(line: bytes) -> bytes:
    event = orjson.loads(line)
    fields = dict(flatten(event))
    derive_logsource(fields)
    for attribute, field in zip(ATTRIBUTES, FIELDS, strict=True):
        value = fields.get(field, "none")
        event[attribute] = value[0] if isinstance(value, tuple) else value
    return orjson.dumps(event)


def cpu_of(command: list[str], events: Path, output: Path) -> float:
    """User and system seconds of a process that reads `events` and writes `output`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with events.open("rb") as source, output.open("wb") as sink:
        subprocess.run(command, stdin=source, stdout=sink, stderr=subprocess.DEVNULL, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def rsigma_figures(rsigma: str, rules: Path, events: Path, scratch: Path) -> tuple[float, Counter[str]]:
    """CPU seconds without loading the rules, and matches by rule."""
    command = [rsigma, "engine", "eval", "-r", str(rules), "--logsource-routing", "--quiet"]
    command += ["--output-format", "ndjson"]
    empty = scratch / "empty.ndjson"
    empty.write_bytes(b"{}\n")
    out = scratch / "rsigma.ndjson"
    seconds = statistics.median(
        cpu_of(command, events, out) - cpu_of(command, empty, scratch / "none") for _ in range(ROUNDS)
    )
    return seconds, Counter(orjson.loads(line)["rule_id"] for line in out.read_bytes().splitlines())


def own_figures(pack: Path, events: Path) -> dict[str, Any]:
    """One process of ours: CPU seconds for the first events, the whole from cold, the whole again; and memory."""
    command = [sys.executable, "-m", "benchmarks.detection", "--measure", str(pack), str(events)]
    runs = [json.loads(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(ROUNDS)]
    figures: dict[str, Any] = {name: statistics.median(run[name] for run in runs) for name in runs[0] if name != "by"}
    return figures | {"by": Counter(runs[0]["by"])}


def measure(pack: Path, events: Path) -> None:
    """What `own_figures` runs in a fresh process; prints JSON."""
    detector = Detector(read_pack(pack).detections)
    gc.collect()
    gc.freeze()
    lines = events.read_bytes().splitlines(keepends=True)
    out = io.BytesIO()
    parts = {"first": lines[:FIRST], "later": lines[FIRST:], "warm": lines}
    seconds = {}
    for name, part in parts.items():
        stream = io.BytesIO(b"".join(part))
        matcher = Matcher(detector, Tally(len(detector.plans)), out, thorough=False)
        begun = time.process_time()
        matcher.match("-", read_stream(stream))
        seconds[name] = time.process_time() - begun
    begun = time.process_time()
    for line in lines:
        orjson.loads(line)
    found = out.getvalue()[: len(out.getvalue())]
    by = Counter(orjson.loads(line)["rule"] for line in found.splitlines())
    print(
        json.dumps(
            {
                "events": len(lines),
                "first_events": len(parts["first"]),
                "first": seconds["first"],
                "cold": seconds["first"] + seconds["later"],
                "warm": seconds["warm"],
                "loads": time.process_time() - begun,
                "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "by": {rule: count // 2 for rule, count in by.items()},
            }
        )
    )


def inputs(lanes: Path, otrf: Path) -> Iterator[tuple[str, list[bytes]]]:
    """Names and lines of everything to measure."""
    for lane in LANES:
        yield lane, lane_lines(lanes / f"{lane}.ndjson.gz")
    yield "real events (OTRF)", real_lines(otrf)
    yield "every text unique", unique_lines(lanes / "structured_windows.ndjson.gz")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs=2, type=Path, metavar=("PACK", "EVENTS"), help=argparse.SUPPRESS)
    corpora = Path(os.environ.get("JSOC_CORPORA", "../shared/corpora"))
    parser.add_argument("--rules", type=Path, default=corpora / "sigmahq" / "rules")
    parser.add_argument("--lanes", type=Path, default=corpora / "lanes")
    parser.add_argument("--otrf", type=Path, default=corpora / "otrf")
    parser.add_argument("--rsigma", default=shutil.which("rsigma"), help="where rsigma 0.23.0 is")
    arguments = parser.parse_args()
    if arguments.measure:
        measure(*arguments.measure)
        return
    with tempfile.TemporaryDirectory() as folder:
        print_table(arguments, Path(folder))


def print_table(arguments: argparse.Namespace, scratch: Path) -> None:
    """One row for each input; then every rule that the two engines count differently."""
    console = Console(width=140)
    pack = scratch / "rules.pack"
    build_pack([arguments.rules], MemberRegistry(), skip_unsupported=True).write(pack)
    table = Table(title="events per CPU second; in brackets times rsigma")
    for column in ("events", "rsigma", "first 10,000", "cold", "warm", "warm / orjson.loads", "memory MB"):
        table.add_column(column, justify="right")
    differences: list[str] = []
    for name, lines in inputs(arguments.lanes, arguments.otrf):
        events = scratch / "events.ndjson"
        events.write_bytes(b"\n".join(lines) + b"\n")
        ours = own_figures(pack, events)
        theirs = None
        if arguments.rsigma:
            theirs, by = rsigma_figures(arguments.rsigma, arguments.rules, events, scratch)
            differences += [
                f"{name}: {rule} rsigma {by[rule]}, ours {ours['by'][rule]}"
                for rule in sorted(by | ours["by"])
                if by[rule] != ours["by"][rule]
            ]
        speeds = [
            _speed(count, seconds, theirs / len(lines) if theirs else None)
            for count, seconds in (
                (ours["first_events"], ours["first"]),
                (len(lines), ours["cold"]),
                (len(lines), ours["warm"]),
            )
        ]
        beside = _speed(len(lines), theirs, None) if theirs else "not there"
        table.add_row(name, beside, *speeds, f"{ours['loads'] / ours['warm']:.2f}", f"{ours['memory']:.0f}")
    console.print(table)
    for difference in differences:
        console.print(difference)


def _speed(events: int, seconds: float, other: float | None) -> str:
    ratio = f" ({other * events / seconds:.1f}x)" if other else ""
    return f"{events / seconds:,.0f}{ratio}"


if __name__ == "__main__":
    main()
