"""Correlation from events to alerts, beside rsigma on the same events and rules: `--rsigma PATH`, or found by PATH.

    python -m benchmarks.correlation_peer --lane correlation.ndjson.gz

All events lie within one window of five minutes, however many times the lane is repeated: the window fills. rsigma
gets the lane as it is, without times, and takes them to come now. CPU seconds of each process, told by stage: theirs
is what the correlations add to a run with the detections alone, ours what the keyed stage takes of the local job.
rsigma fires at each event while a condition holds; an alert here is a run of those.
"""

from __future__ import annotations

import argparse
import gzip
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from rich.console import Console
from rich.table import Table

from pipeline.cli.replay import refusal_teller
from pipeline.jobs.active_pack import FixedPack, settle_memory
from pipeline.jobs.detect_stage import DetectStage, Record
from pipeline.jobs.local_job import Line, LocalJob
from pipeline.jobs.message import Passing
from pipeline.rulepack import RulePack, build_pack
from schemas.alert import alert_from_json
from schemas.member import Member, MemberRegistry
from schemas.times import to_rfc3339

BASE: Final = 1_700_000_000_000
SPAN: Final = 300_000
BATCH: Final = 2_000
LATENESS: Final = 60_000
DETECTIONS: Final = """\
title: Log-in failed
id: 00000000-0000-4000-8000-000000000001
name: failed
logsource: {product: windows, category: authentication}
detection: {selection: {EventType: authentication_failure}, condition: selection}
---
title: Log-in succeeded
id: 00000000-0000-4000-8000-000000000002
name: succeeded
logsource: {product: windows, category: authentication}
detection: {selection: {EventType: authentication_success}, condition: selection}
"""
CORRELATIONS: Final = """\
---
title: Many failures
id: 00000000-0000-4000-8000-000000000003
correlation: {type: event_count, rules: [failed], group-by: [User], timespan: 5m, condition: {gte: 10}}
---
title: Many addresses
id: 00000000-0000-4000-8000-000000000004
correlation:
  {type: value_count, rules: [failed], group-by: [User], timespan: 5m, condition: {gte: 5, field: SourceIP}}
---
title: Many users
id: 00000000-0000-4000-8000-000000000005
correlation:
  {type: value_count, rules: [failed], group-by: [Computer], timespan: 5m, condition: {gte: 10, field: User}}
---
title: Failure and success
id: 00000000-0000-4000-8000-000000000006
correlation: {type: temporal, rules: [failed, succeeded], group-by: [User], timespan: 5m}
---
title: Many bytes
id: 00000000-0000-4000-8000-000000000007
correlation:
  {type: value_sum, rules: [failed], group-by: [User], timespan: 5m, condition: {gte: 100000, field: BytesOut}}
federation: {nonnegative: true}
"""


class Figures(NamedTuple):
    """What one run took and told."""

    detecting: float
    """CPU seconds up to the hits."""
    correlating: float
    """CPU seconds from there to the alerts."""
    told: Counter[str]
    """Alerts or firings by rule."""

    @property
    def seconds(self) -> float:
        """CPU seconds in all."""
        return self.detecting + self.correlating


def lane_of(path: Path, events: int) -> list[bytes]:
    """So many lines: the lane's, again and again."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        return list(islice(cycle(stream.read().splitlines()), events))


def placed(lines: Sequence[bytes]) -> list[Line]:
    """The lines with times that fill one window, identity and log source, as a forwarder would have sent them."""
    made = []
    for number, line in enumerate(lines):
        event: dict[str, Any] = orjson.loads(line)
        time_of = BASE + number * SPAN // len(lines)
        source = {f"jointsoc.logsource.{key}": event[key] for key in ("product", "category")}
        identity = {"@timestamp": to_rfc3339(time_of), "event.id": f"{number:08x}"}
        made.append(Line(time_of, 0, number, "events.one", 0, orjson.dumps({**event, **source, **identity})))
    return made


def run_ours(rules: Path, lines: Sequence[Line]) -> Figures:
    """The local job, as `jsoc replay` runs it."""
    pack = build_pack([rules], MemberRegistry(members=(Member(id="one", name="One"),)))
    job = LocalJob(pack, LATENESS, refusal_teller(), settled_only=True)
    settle_memory()
    passings: list[Passing] = []
    begun = time.process_time()
    for at in range(0, len(lines), BATCH):
        passings += job.feed(lines[at : at + BATCH])
    passings += job.finish()
    seconds = time.process_time() - begun
    told = Counter(alert_from_json(passing.value).rule.name for passing in passings)
    detecting = _detecting(pack, lines)
    return Figures(detecting, seconds - detecting, told)


def _detecting(pack: RulePack, lines: Sequence[Line]) -> float:
    stage = DetectStage(FixedPack(pack), LATENESS)
    begun = time.process_time()
    for at in range(0, len(lines), BATCH):
        stage.process(
            Record(line.raw, line.topic, line.partition, line.number, line.append_time, tick=False)
            for line in lines[at : at + BATCH]
        )
    return time.process_time() - begun


def run_rsigma(binary: str, detections: Path, rules: Path, lines: Sequence[bytes]) -> Figures:
    """The detections alone, and with the correlations; either way only what the correlations find is written."""
    data = b"\n".join(lines) + b"\n"
    detecting, _ = _evaluated(binary, detections, data)
    seconds, output = _evaluated(binary, rules, data)
    found = (orjson.loads(line) for line in output.splitlines())
    told = Counter(one["rule_title"] for one in found if "correlation_type" in one)
    return Figures(detecting, max(0.0, seconds - detecting), told)


def _evaluated(binary: str, rules: Path, data: bytes) -> tuple[float, bytes]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [binary, "engine", "eval", "--no-stats", "--no-detections", "-r", str(rules)]
    done = subprocess.run(command, input=data, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def main() -> None:
    """Print the table; without rsigma, our half of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lane", type=Path, required=True, help="NDJSON, gzipped or not")
    parser.add_argument("--rsigma", default=shutil.which("rsigma"), help="the binary to compare with")
    parser.add_argument("--events", type=int, nargs="+", default=[10_000, 100_000])
    options = parser.parse_args()
    if options.rsigma is None:
        sys.stderr.write("rsigma is not on the PATH: only our own figures\n")
    stages = ("events/s", "detecting", "correlating")
    heads = ["events", *(f"jsoc {stage}" for stage in stages), *(f"rsigma {stage}" for stage in stages), "times"]
    table = Table(*heads, title="events per CPU second")
    told = Table("rule", "events", "alerts", "firings")
    with tempfile.TemporaryDirectory() as folder:
        detections, rules = Path(folder) / "detections.yml", Path(folder) / "rules.yml"
        detections.write_text(DETECTIONS, encoding="utf-8")
        rules.write_text(DETECTIONS + CORRELATIONS, encoding="utf-8")
        for events in options.events:
            lines = lane_of(options.lane, events)
            ours = run_ours(rules, placed(lines))
            row, fired = [f"{events:,}", *_rates(events, ours)], Counter[str]()
            if options.rsigma is not None:
                theirs = run_rsigma(options.rsigma, detections, rules, lines)
                row += [*_rates(events, theirs), f"{theirs.seconds / ours.seconds:.1f}"]
                fired = theirs.told
            table.add_row(*row)
            for rule in sorted(ours.told | fired):
                told.add_row(rule, f"{events:,}", f"{ours.told[rule]:,}", f"{fired[rule]:,}")
    console = Console()
    console.print(table, told)


def _rates(events: int, figures: Figures) -> list[str]:
    parts = (figures.seconds, figures.detecting, figures.correlating)
    return [f"{events / part:,.0f}" if part else "-" for part in parts]


if __name__ == "__main__":
    main()
