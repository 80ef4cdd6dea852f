"""The correlation core alone on one core: hits/s per type, many groups, one hot group, and windows of growing size.

    python -m benchmarks.correlation              the whole table
    python -m benchmarks.correlation --scale 0.1  a tenth of the hits, for a first look

CPU seconds of this process, whose garbage collector looks as seldom as a worker's; building the hits is not measured,
keeping the state is. The first row is no correlation: the same hits put into lists by their group and encoded once,
which is what the machine allows such a loop just then.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from pipeline.correlate.correlation import Clause, Comparison, Correlation, Reference
from pipeline.correlate.shard import Shard
from pipeline.correlate.store import DictStore
from pipeline.jobs.active_pack import settle_memory
from schemas.hit import GroupHit, Hit
from schemas.member import Member, MemberRegistry

BASE: Final = 1_700_000_000_000
SPAN: Final = 600_000
BATCH: Final = 2_000
LATENESS: Final = 5_000
MEMBERS: Final = [f"member-{number}" for number in range(40)]
REGISTRY: Final = MemberRegistry(members=tuple(Member(id=name, name=name) for name in MEMBERS))
console = Console(stderr=True)


def _at_least(number: float) -> tuple[Comparison, ...]:
    return (Comparison("gte", number),)


RULES: Final[dict[str, dict[str, Any]]] = {
    "event_count": {"kind": "event_count", "comparisons": _at_least(1_000_000)},
    "event_count, firing": {"kind": "event_count", "comparisons": _at_least(10)},
    "value_count, firing": {"kind": "value_count", "comparisons": _at_least(50)},
    "value_count": {"kind": "value_count", "comparisons": _at_least(1_000)},
    "value_count at 3 groups": {"kind": "value_count", "comparisons": _at_least(1_000), "min_organizations": 3},
    "temporal, 3": {"kind": "temporal", "references": 3, "comparisons": _at_least(3)},
    "temporal_ordered, 3": {"kind": "temporal_ordered", "references": 3, "comparisons": _at_least(3)},
    "temporal_ordered at 2 groups": {
        "kind": "temporal_ordered",
        "references": 3,
        "comparisons": _at_least(3),
        "min_organizations": 2,
    },
    "absence": {"kind": "temporal", "references": 3, "clauses": (Clause((2,), (0,)),)},
    "value_sum": {"kind": "value_sum", "comparisons": _at_least(10**9)},
    "value_avg": {"kind": "value_avg", "comparisons": _at_least(10**9)},
    "value_percentile": {"kind": "value_percentile", "percentile": 95, "comparisons": _at_least(10**9)},
}
"""The counts that do not fire measure the window; of three references the last is rare, as the telling one is."""
HOLDING: Final[dict[str, dict[str, Any]]] = {
    f"{name}, firing": RULES[name] | fields
    for name, fields in {
        "temporal_ordered, 3": {},
        "temporal_ordered at 2 groups": {},
        "value_sum": {"comparisons": _at_least(1)},
        "value_avg": {"comparisons": _at_least(1)},
        "value_percentile": {"comparisons": _at_least(1)},
    }.items()
}
"""The same as hold at each hit, however many the window has: so that sizes differ in nothing else."""


@dataclass(frozen=True)
class Load:
    """A stream of hits."""

    groups: int
    per_span: int
    """Hits of one group within one timespan."""
    hits: int
    disorder: int = 0
    """ms"""
    batch: int = BATCH


def rule(name: str) -> Correlation:
    """The correlation of one row."""
    fields = dict((RULES | HOLDING)[name])
    references = fields.pop("references", 1)
    made = {
        "id": name,
        "fingerprint": "0",
        "title": name,
        "references": tuple(Reference(f"r{number}", f"Detection {number}") for number in range(references)),
        "group_by": ("source.ip",),
        "timespan": SPAN,
        "suppress": SPAN,
    }
    return Correlation(**made | fields)


def stream(correlation: Correlation, load: Load) -> Iterator[list[GroupHit]]:
    """Batches of hits in the order of arrival."""
    random = Random(7)
    step = SPAN / (load.per_span * load.groups)
    ordered = []
    bits = [1 << position for position in range(len(correlation.references))]
    shares = [2_000] * (len(bits) - 1) + [2_000 if correlation.id in HOLDING else 1]
    for number in range(load.hits):
        value = random.randrange(100_000) if correlation.kind.startswith("value_") else None
        at = BASE + int(number * step)
        found = Hit(
            at,
            random.getrandbits(64),
            random.choices(bits, shares)[0],
            MEMBERS[random.randrange(2) if load.groups > 1 else random.randrange(40)],
            value,
            1,
            "events.member-0",
            0,
            number,
            0,
            f"{number:012x}",
        )
        group = (f"198.51.{random.randrange(load.groups)}",)
        ordered.append((at + random.randrange(load.disorder + 1), GroupHit(correlation.id, group, found)))
    if load.disorder:
        ordered.sort(key=lambda item: item[0])
    for start in range(0, len(ordered), load.batch):
        yield [one for _, one in ordered[start : start + load.batch]]


def bare(load: Load) -> float:
    """Hits/s of a loop that only sorts them by group and encodes them."""
    encode = msgspec.msgpack.Encoder().encode
    lists: dict[tuple[str, tuple[str, ...]], list[Hit]] = {}
    kept: list[bytes] = []
    batches = list(stream(rule("event_count"), load))
    begun = time.process_time()
    for batch in batches:
        kept.append(encode(batch))
        for one in batch:
            lists.setdefault((one.correlation, one.group), []).append(one.hit)
    return load.hits / (time.process_time() - begun)


def measure(name: str, load: Load) -> tuple[float, Shard, DictStore]:
    """Hits/s of CPU time, and what was left behind."""
    correlation, store = rule(name), DictStore()
    shard = Shard({correlation.id: correlation}, REGISTRY, store)
    batches = list(stream(correlation, load))
    settle_memory()
    begun = time.process_time()
    for batch in batches:
        shard.feed(batch)
        shard.advance(max(one.hit.time for one in batch[-20:]) - LATENESS)
    seconds = time.process_time() - begun
    return load.hits / seconds, shard, store


def by_type(names: Sequence[str], scale: float) -> Table:
    """Each type under the loads that differ most."""
    table = Table("type", "10k groups", "10k groups, 5 s disorder", "one hot group", title="thousand hits/s, one core")
    hits = int(600_000 * scale)
    loads = (Load(10_000, 20, hits), Load(10_000, 20, hits, LATENESS), Load(1, 1_800, int(1_000_000 * scale)))
    table.add_row("(only sorted)", *(f"{bare(load) / 1000:,.0f}" for load in loads))
    for name in names:
        table.add_row(name, *(f"{measure(name, load)[0] / 1000:,.0f}" for load in loads))
    return table


def by_window(names: Sequence[str], scale: float) -> Table:
    """One group whose window holds more and more hits."""
    sizes = (100, 1_000, 10_000, 100_000)
    table = Table("type", *(f"{size:,} hits" for size in sizes), title="thousand hits/s by hits in the window")
    loads = [Load(1, size, int(300_000 * scale)) for size in sizes]
    table.add_row("(only sorted)", *(f"{bare(load) / 1000:,.0f}" for load in loads))
    for name in names:
        table.add_row(name, *(f"{measure(name, load)[0] / 1000:,.0f}" for load in loads))
    return table


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="part of the hits")
    parser.add_argument("--type", action="append", choices=[*RULES, *HOLDING], help="only these rows")
    options = parser.parse_args()
    scale = options.scale
    out = Console()
    out.print(by_type(options.type or list(RULES), scale))
    out.print(by_window(options.type or [*RULES, *HOLDING], scale))


if __name__ == "__main__":
    main()
