"""Detection on one core beside rsigma: the same rules, the same events, matches written by both; CPU seconds.

    python -m benchmarks.detection [--rules SIGMAHQ/rules] [--lanes LANES] [--otrf OTRF] [--rsigma PATH] [--only NAME]

Rule loading is left out on both sides: for rsigma a run on one empty event is subtracted. `first` is the first 10,000
events with empty memos, `cold` all of them from empty memos, `warm` the same again. Then ten times the rules, the
memory of a worker, and every match that only one of the two engines finds, with its reason.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.detection_events import inputs
from benchmarks.detection_peer import Peer, differences, told
from benchmarks.detection_worker import DAY, HOSTILE, time_matching, weigh
from pipeline.detect.taxonomy import TAXONOMIES
from pipeline.rulepack import build_pack
from schemas.member import MemberRegistry

ROUNDS: Final = 3
MORE_RULES: Final = 10
MEASURED_WITH_MORE: Final = ("structured_windows", "recorded (OTRF)")
MEMORY: Final = "memory"
PARTS: Final = ("first", "cold", "warm")


def main() -> None:
    """Measure and print the tables."""
    options = _options()
    if options.worker:
        print(json.dumps(_WORK[options.worker[0]](*options.worker[1:])))
        return
    with tempfile.TemporaryDirectory() as folder:
        pack = Path(folder) / "rules.pack"
        build_pack([options.rules], MemberRegistry(), skip_unsupported=True, taxonomy=options.taxonomy).write(pack)
        measure(options, pack, Path(folder) / "events.ndjson", Console(width=140))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    corpora = Path(os.environ.get("JSOC_CORPORA", "../shared/corpora"))
    parser.add_argument("--rules", type=Path, default=corpora / "sigmahq" / "rules")
    parser.add_argument("--lanes", type=Path, default=corpora / "lanes")
    parser.add_argument("--otrf", type=Path, default=corpora / "otrf")
    parser.add_argument("--rsigma", default=shutil.which("rsigma"), help="where rsigma 0.23.0 is")
    parser.add_argument("--taxonomy", choices=TAXONOMIES, default="sigma", help="what the rules are compiled for")
    parser.add_argument("--only", help=f"one kind of events, or `{MEMORY}`; the beginning of its name will do")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each figure; the median counts")
    return parser.parse_args()


def measure(options: argparse.Namespace, pack: Path, events: Path, console: Console) -> None:
    """The table of speeds, the table of more rules, the memory, the differences."""
    speeds = _table("events per CPU second; in brackets times rsigma", "rsigma", *PARTS, "warm / orjson.loads")
    more = _table(f"with {MORE_RULES} times the rules; in brackets times the CPU seconds per event", *PARTS)
    lines_told: list[str] = []
    for name, lines_of in inputs(options.lanes, options.otrf).items():
        if not name.startswith(options.only or ""):
            continue
        lines = lines_of()
        events.write_bytes(b"\n".join(lines) + b"\n")
        ours = _figures(pack, events, 1, options.rounds)
        peer = Peer(options.rsigma, options.rules) if options.rsigma else None
        theirs = peer.seconds(events, options.rounds) / len(lines) if peer else None
        beside = f"{1 / theirs:,.0f}" if theirs else "not there"
        ratio = f"{ours['loads'] / ours['warm']:.2f}"
        speeds.add_row(name, beside, *(_speed(ours, part, theirs) for part in PARTS), ratio)
        if peer:
            found = {(record, rule) for record, rule in ours["found"]}
            lines_told += told(name, differences(peer, lines, found)) or [f"{name}: no difference in {len(found)}"]
        if name in MEASURED_WITH_MORE:
            tenfold = _figures(pack, events, MORE_RULES, options.rounds)
            more.add_row(name, *(_cost(tenfold, ours, part) for part in PARTS))
    for table in (speeds, more):
        if table.row_count:
            console.print(table)
    if MEMORY.startswith(options.only or ""):
        taken = _work("weigh", str(pack), str(options.lanes), str(options.otrf))
        console.print(
            f"memory: {taken['loaded']:.0f} MiB with the rules, {taken['after']:.0f} after {DAY:,} events, {HOSTILE:,} "
            f"of them hostile, {taken['most']:.0f} at most; {taken['matches']:,} matches"
        )
    for line in lines_told:
        console.print(line, markup=False)


def _table(title: str, *columns: str) -> Table:
    table = Table("events", title=title)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _figures(pack: Path, events: Path, times: int, rounds: int) -> dict[str, Any]:
    """Medians of several processes of ours, and what matched."""
    runs = [_work("time", str(pack), str(events), str(times)) for _ in range(rounds)]
    return {
        name: runs[0][name] if name == "found" else statistics.median(run[name] for run in runs) for name in runs[0]
    }


def _work(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.detection", "--worker", *arguments]
    found: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return found


_WORK: Final[dict[str, Callable[..., dict[str, Any]]]] = {
    "time": lambda pack, events, times: time_matching(Path(pack), Path(events), int(times)),
    "weigh": lambda pack, lanes, otrf: weigh(Path(pack), Path(lanes), Path(otrf)),
}


def _per_event(figures: dict[str, Any], part: str) -> float:
    events = figures["first_events" if part == "first" else "events"]
    return float(figures[part] / events)


def _speed(ours: dict[str, Any], part: str, theirs: float | None) -> str:
    own = _per_event(ours, part)
    return f"{1 / own:,.0f}" + (f" ({theirs / own:.1f}x)" if theirs else "")


def _cost(more: dict[str, Any], ours: dict[str, Any], part: str) -> str:
    own = _per_event(more, part)
    return f"{1 / own:,.0f} ({own / _per_event(ours, part):.2f}x)"


if __name__ == "__main__":
    main()
