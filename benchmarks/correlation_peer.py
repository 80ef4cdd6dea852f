"""Correlation from events to alerts, beside rsigma on the same events and rules: `--rsigma PATH`, or found by PATH.

    python -m benchmarks.correlation_peer --lane correlation.ndjson.gz

The lane's events carry no time: they get one, 10 ms apart, so that a window of an hour fills as the lane is repeated.
CPU seconds of each process. rsigma fires at each event while a condition holds; an alert here is a run of those.
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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table

from pipeline.cli.replay import refusal_teller
from pipeline.correlate.shard import Shard
from pipeline.correlate.store import DictStore
from pipeline.jobs.active_pack import FixedPack
from pipeline.jobs.detect_stage import DetectStage, Record
from pipeline.jobs.local_job import Line, LocalJob
from pipeline.jobs.message import ShardBatch
from pipeline.rulepack import build_pack
from schemas.alert import alert_from_json
from schemas.hit import GroupHit
from schemas.member import Member, MemberRegistry
from schemas.times import to_rfc3339

BASE: Final = 1_700_000_000_000
STEP: Final = 10
BATCH: Final = 2_000
LATENESS: Final = 60_000
RULES: Final = """\
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
---
title: Many failures
id: 00000000-0000-4000-8000-000000000003
correlation: {type: event_count, rules: [failed], group-by: [User], timespan: 1h, condition: {gte: 10}}
---
title: Many addresses
id: 00000000-0000-4000-8000-000000000004
correlation:
  {type: value_count, rules: [failed], group-by: [User], timespan: 1h, condition: {gte: 5, field: SourceIP}}
---
title: Failure and success
id: 00000000-0000-4000-8000-000000000005
correlation: {type: temporal, rules: [failed, succeeded], group-by: [User], timespan: 1h}
"""


def events_of(lane: Path, repeats: int) -> list[bytes]:
    """The lane's events, `repeats` times, with time, identity and log source."""
    with gzip.open(lane) if lane.suffix == ".gz" else lane.open("rb") as stream:
        bare: list[dict[str, Any]] = [orjson.loads(line) for line in stream]
    made = []
    for number in range(len(bare) * repeats):
        event = bare[number % len(bare)]
        source = {f"jointsoc.logsource.{key}": event[key] for key in ("product", "category")}
        identity = {"@timestamp": to_rfc3339(BASE + number * STEP), "event.id": f"{number:08x}"}
        made.append(orjson.dumps({**event, **source, **identity}))
    return made


def run_ours(rules: Path, events: Sequence[bytes]) -> tuple[float, dict[str, int]]:
    """CPU seconds, and for each rule the number of alerts."""
    pack = build_pack([rules], MemberRegistry(members=(Member(id="one", name="One"),)))
    job = LocalJob(pack, LATENESS, refusal_teller())
    lines = [Line(BASE + n * STEP, 0, n, "events.one", 0, raw) for n, raw in enumerate(events)]
    held: dict[str, int] = {}
    begun = time.process_time()
    passings = [one for at in range(0, len(lines), BATCH) for one in job.feed(lines[at : at + BATCH])]
    passings += job.finish()
    seconds = time.process_time() - begun
    for passing in passings:
        alert = alert_from_json(passing.value)
        if alert.jointsoc.alert.state == "settled":
            held[alert.rule.name] = held.get(alert.rule.name, 0) + 1
    return seconds, held


def run_core(rules: Path, events: Sequence[bytes]) -> float:
    """CPU seconds of the correlation alone: the hits of all events to alerts."""
    pack = build_pack([rules], MemberRegistry(members=(Member(id="one", name="One"),)))
    stage = DetectStage(FixedPack(pack), LATENESS)
    records = [Record(raw, "events.one", 0, n, BASE + n * STEP, tick=False) for n, raw in enumerate(events)]
    batches: list[list[GroupHit]] = []
    for at in range(0, len(records), BATCH):
        messages = stage.process(records[at : at + BATCH])
        batches.append([hit for one in messages if isinstance(one, ShardBatch) for hit in one.hits])
    shard = Shard({one.id: one for one in pack.correlations}, pack.registry(), DictStore())
    begun = time.process_time()
    for number, batch in enumerate(batches):
        shard.feed(batch)
        shard.advance(BASE + (number + 1) * BATCH * STEP - LATENESS)
    return time.process_time() - begun


def run_rsigma(binary: str, rules: Path, events: Sequence[bytes]) -> tuple[float, dict[str, int]]:
    """CPU seconds, and for each rule the number of times it fired."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [binary, "engine", "eval", "--no-stats", "-r", str(rules)]
    done = subprocess.run(command, input=b"\n".join(events) + b"\n", capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    fired: dict[str, int] = {}
    for line in done.stdout.splitlines():
        found = orjson.loads(line)
        if "correlation_type" in found:
            fired[found["rule_title"]] = fired.get(found["rule_title"], 0) + 1
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, fired


def main() -> None:
    """Print the table; without rsigma, our half of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lane", type=Path, required=True, help="NDJSON, gzipped or not")
    parser.add_argument("--rsigma", default=shutil.which("rsigma"), help="the binary to compare with")
    parser.add_argument("--repeats", type=int, nargs="+", default=[1, 4, 16])
    options = parser.parse_args()
    if options.rsigma is None:
        sys.stderr.write("rsigma is not on the PATH: only our own figures\n")
    table = Table(
        "events", "jsoc, events/s", "correlating alone", "alerts", "rsigma, events/s", "firings", "times as fast"
    )
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules.yml"
        rules.write_text(RULES, encoding="utf-8")
        for repeats in options.repeats:
            events = events_of(options.lane, repeats)
            ours, held = run_ours(rules, events)
            core = run_core(rules, events)
            row = [f"{len(events):,}", f"{len(events) / ours:,.0f}", f"{len(events) / core:,.0f}", _told(held)]
            if options.rsigma is not None:
                theirs, fired = run_rsigma(options.rsigma, rules, events)
                row += [f"{len(events) / theirs:,.0f}", _told(fired), f"{theirs / ours:.1f}"]
            table.add_row(*row)
    Console().print(table)


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


if __name__ == "__main__":
    main()
