"""The keyed stage in the running job, on one slot: hits/s, bytes per group, checkpoints. `make bench-keyed`.

Each event carries 32 addresses, and so is 32 hits, each in a group of its own: what detecting costs hardly counts.
`JSOC_BENCH_GROUPS` (1,000,000) sets how many groups there are in the end.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.running_job import bench_stack, work_off
from benchmarks.traffic import MEMBERS, Figures
from deploy.local.flink_job import find_job
from deploy.local.flink_rest import ask_flink
from deploy.local.processes import find_processes
from deploy.local.settings import StackSettings
from schemas.times import now_ms, to_rfc3339

GROUPS = int(os.environ.get("JSOC_BENCH_GROUPS", "1000000"))
FEW = 10_000
ADDRESSES = 32
"""The most that a field's array is counted for."""
CHECKPOINTS = 10
console = Console(stderr=True)


def probes(first: int, groups: int) -> Iterator[bytes]:
    """Events without end that go round so many addresses; each member has its own, so that no rule fires.

    Args:
        first: number of the first address, so that two calls can be about different ones.
        groups: a multiple of 32 times the number of members.
    """
    own = groups // len(MEMBERS)
    for number in count():
        # One event in a record: records go round the members as these addresses do.
        member, place = number % len(MEMBERS), number // len(MEMBERS) * ADDRESSES % own
        begin = first + member * own + place
        yield orjson.dumps(
            {
                "@timestamp": to_rfc3339(now_ms()),
                "event.id": f"{first}-{number}",
                "event.action": "probe",
                "jointsoc.logsource.product": "jointsoc",
                "jointsoc.logsource.service": "bench",
                "source.ip": [
                    f"10.{address >> 16}.{address >> 8 & 255}.{address & 255}"
                    for address in range(begin, begin + ADDRESSES)
                ],
            }
        )


def checkpoints(settings: StackSettings, number: int) -> list[dict[str, Any]]:
    """The next so many completed ones, as Flink reports them."""
    job = find_job(settings)
    assert job is not None
    found: dict[int, dict[str, Any]] = {}
    begun = int(time.time() * 1000)
    while len(found) < number:
        latest = ask_flink(settings, f"/jobs/{job.id}/checkpoints")["latest"]["completed"]
        if latest["trigger_timestamp"] > begun:
            found[latest["id"]] = latest
        time.sleep(0.3)
    return list(found.values())


def resident(settings: StackSettings) -> int:
    """Bytes of the TaskManager and its Python workers."""
    return sum(psutil.Process(one.pid).memory_info().rss for one in find_processes(settings, "taskmanager-1"))


def told(found: list[dict[str, Any]]) -> str:
    """Size, what was written of it, and time, of an average and of the slowest one."""
    size = max(one["state_size"] for one in found) / 1e6
    written = sum(one["checkpointed_size"] for one in found) / len(found) / 1e6
    times = sorted(one["end_to_end_duration"] for one in found)
    return f"{size:,.0f} MB, {written:,.1f} MB of it written; {times[len(times) // 2]} ms, at most {times[-1]} ms"


def per_hit(figures: Figures) -> str:
    """How fast, and what of which process it takes; too short a run has no steady part."""
    if not figures.steady:
        return f"{figures.whole * ADDRESSES:,.0f} hits/s, the job's start included"
    spent = ", ".join(f"{name} {seconds / ADDRESSES * 1e6:.1f}" for name, seconds in figures.spent.items())
    return f"{figures.steady * ADDRESSES:,.0f} hits/s steady; us of processor for each: {spent}"


def main() -> None:
    """Measure and print."""
    table = Table(title="the keyed stage on one slot (floors: other work shares the machine)")
    for column in ("measurement", "figure"):
        table.add_column(column)

    def add(what: str, figure: str) -> None:
        console.print(f"{what}: {figure}")
        table.add_row(what, figure)

    with bench_stack() as (settings, _):
        add("checkpoints, empty", told(checkpoints(settings, CHECKPOINTS)))
        figures = work_off(settings, probes(0, FEW // 128 * 128), 1_600_000 // ADDRESSES, per_record=1)
        add(f"hits in {FEW:,} groups", per_hit(figures))
        add(f"checkpoints, {FEW:,} groups", told(checkpoints(settings, CHECKPOINTS)))
        before = resident(settings)
        groups = GROUPS // 128 * 128
        figures = work_off(settings, probes(1 << 16, groups), groups // ADDRESSES, per_record=1)
        add(f"each hit the first of its group, {groups:,} of them", per_hit(figures))
        found = checkpoints(settings, CHECKPOINTS)
        add(f"checkpoints, {groups:,} groups", told(found))
        add("state for each group", f"{found[-1]['state_size'] / groups:.0f} bytes")
        held = resident(settings)
        more = (held - before) / groups
        add("memory of TaskManager and worker", f"{held / 1e6:,.0f} MB, {more:.0f} bytes more for each group")
    Console().print(table)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
