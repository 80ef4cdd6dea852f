"""The keyed stage without Flink: messages of one address in, output records out, all state behind `KeyedState`.

Three kinds of address share one operator: shards correlate, accounts add up what became of every record, and
finished records pass through, so that everything written leaves in one transaction of the sink.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from pipeline.correlate.clock import SettleClock
from pipeline.correlate.project import REASONS
from pipeline.correlate.shard import Counters, Shard
from pipeline.correlate.store import DictStore
from pipeline.jobs.active_pack import REPEAT_SECONDS, PackSource
from pipeline.jobs.message import SHARD_ADDRESS, AccountDelta, Passing, ShardBatch, add_dropped, decode
from pipeline.jobs.settings import ALERTS, HEALTH
from pipeline.jobs.state import KeyedState, ShardSummary, read_summary, write_summary
from pipeline.rulepack import RulePack
from schemas.alert import Alert
from schemas.health import NotCounted, PartitionAccount, ShardAccount
from schemas.hit import GroupHit
from schemas.times import to_rfc3339


@dataclass(slots=True)
class _LiveShard:
    shard: Shard
    clock: SettleClock
    before: ShardSummary
    """What had been counted when this object was made."""
    told: dict[str, int]
    """Counters as they were last reported."""
    told_at: float = -math.inf
    outdated_hits: int = 0

    def counted(self) -> dict[str, int]:
        """What was not used or kept since this object was made."""
        now = self.shard.counters
        numbers = {name: count for name, count in msgspec.structs.asdict(now).items() if isinstance(count, int)}
        return numbers | {"outdated_hits": self.outdated_hits, "refused_hits": now.refused_hits.total()}

    def summary(self) -> ShardSummary:
        """What has been counted by now, since the beginning."""
        refused = Counter(self.before.refused_hits)
        for (correlation, _), count in self.shard.counters.refused_hits.items():
            refused[correlation] += count
        total = {name: count + self.before.counters.get(name, 0) for name, count in self.counted().items()}
        return ShardSummary(self.clock.to_bytes(), total, dict(refused))


class KeyedStage:
    """Handles every address of one worker; what it keeps in memory is a cache of the state.

    Args:
        packs: where correlations and registry come from; looked at before each batch of a shard.
        lateness: ms that the settle line stays behind the slowest partition's clock.
        state: state of whichever address is being handled.
        clock: seconds; for tests.
        settled_only: whether alerts are told when they have settled and not before.
    """

    def __init__(
        self,
        packs: PackSource,
        lateness: int,
        state: KeyedState,
        clock: Callable[[], float] = time.monotonic,
        *,
        settled_only: bool = False,
    ) -> None:
        self._packs = packs
        self._lateness = lateness
        self._state = state
        self._clock = clock
        self._shards: dict[str, _LiveShard] = {}
        self._counted: Counter[str] = Counter()
        self._settled_only = settled_only
        packs.begin(self._adopt)

    def _adopt(self, pack: RulePack) -> None:
        """Use a pack from now on: what is in memory is a cache, and is made anew from the state.

        Groups of correlations that are the same stay; those of changed and removed ones go, and are counted.
        """
        correlations = {correlation.id: correlation for correlation in pack.correlations}
        Shard(correlations, pack.registry(), DictStore())  # a pack that makes no shard is refused here
        for live in self._shards.values():
            self._counted.update(live.counted(), ended_groups=live.shard.ended_groups)
        self._pack, self._correlations, self._fingerprints = pack, correlations, pack.fingerprints()
        self._shards = {}

    def metric(self, name: str) -> int:
        """One of `METRICS`, of this worker since it started."""
        live = self._shards.values()
        match name:
            case "groups":
                return sum(each.shard.groups for each in live)
            case "ended_groups":
                return self._counted[name] + sum(each.shard.ended_groups for each in live)
            case _:
                return self._counted[name] + sum(each.counted().get(name, 0) for each in live)

    def process(self, address: str, data: bytes) -> tuple[list[Passing], bool]:
        """Handle one message; the flag says that an account changed and `report` is wanted soon."""
        message = decode(data)
        match message:
            case Passing():
                return [message], False
            case AccountDelta():
                self._add(message)
                return [], True
            case ShardBatch():
                reports = self._packs.look(self._adopt, message.pack)
                alerts, changed = self._correlate(address, message)
                news = [Passing(HEALTH, report.worker, report.to_json()) for report in reports]
                return [*news, *map(_publish, alerts)], changed

    def report(self, address: str, now: int) -> Iterator[Passing]:
        """The account of an address as it stands at `now` (ms)."""
        account = self._shard_account if address.startswith(SHARD_ADDRESS) else self._partition_account
        found = account(address, to_rfc3339(now))
        if found is not None:
            yield Passing(HEALTH, address, found.to_json())

    def _shard_account(self, address: str, now: str) -> ShardAccount | None:
        known = read_summary(self._state, ShardSummary)
        if known is None:
            return None
        number = int(address.removeprefix(SHARD_ADDRESS))
        return ShardAccount(timestamp=now, shard=number, counters=known.counters, refused_hits=known.refused_hits)

    def _partition_account(self, _: str, now: str) -> PartitionAccount | None:
        total = read_summary(self._state, AccountDelta)
        return None if total is None else _account(total, now)

    def _add(self, delta: AccountDelta) -> None:
        for counter in COUNTERS:
            self._counted[counter] += getattr(delta, counter)
        for dropped, count in delta.dropped:
            self._counted[dropped.reason] += count
        total = read_summary(self._state, AccountDelta)
        if total is None:
            total = delta
        else:
            total.next_offset = max(total.next_offset, delta.next_offset)
            total.newest = max(total.newest, delta.newest)
            total.dropped = add_dropped(total.dropped, delta.dropped)
            for counter in COUNTERS:
                setattr(total, counter, getattr(total, counter) + getattr(delta, counter))
        write_summary(self._state, total)

    def _correlate(self, address: str, batch: ShardBatch) -> tuple[list[Alert], bool]:
        live = self._shards.get(address)
        if live is None:
            live = self._shards[address] = self._restore()
        clock = live.clock
        for roster in batch.rosters:
            clock.roster(roster.partitions, roster.seen_at)
        clock.see(batch.clocks)
        hits = self._meant(batch)
        live.outdated_hits += len(batch.hits) - len(hits)
        alerts = live.shard.feed(hits) + live.shard.advance(clock.settle_line(self._lateness))
        summary = live.summary()
        write_summary(self._state, summary)
        return alerts, self._is_to_be_told(live, summary.counters)

    def _is_to_be_told(self, live: _LiveShard, counters: dict[str, int]) -> bool:
        """Whether a shard's counters changed, or were told so long ago that whoever asks now has not heard them."""
        now = self._clock()
        again = any(counters.values()) and now - live.told_at >= REPEAT_SECONDS
        if counters == live.told and not again:
            return False
        live.told, live.told_at = counters, now
        return True

    def _meant(self, batch: ShardBatch) -> Sequence[GroupHit]:
        """The hits without those of correlations that mean something else in this stage's pack, or are not in it."""
        known = self._fingerprints
        outdated = {name for name, fingerprint in batch.fingerprints.items() if known.get(name) != fingerprint}
        return [hit for hit in batch.hits if hit.correlation not in outdated] if outdated else batch.hits

    def _restore(self) -> _LiveShard:
        known = read_summary(self._state, ShardSummary)
        clock = SettleClock() if known is None else SettleClock.from_bytes(known.clock)
        registry, version = self._pack.registry(), self._pack.version
        shard = Shard(
            self._correlations,
            registry,
            self._state,
            pack_version=version,
            lateness=self._lateness,
            settled_only=self._settled_only,
        )
        before = known or ShardSummary(b"")
        return _LiveShard(shard, clock, before, before.counters)


_LEFT_OUT = (*Counters.__struct_fields__, "outdated_hits")
COUNTERS = ("records", "ticks", "lines", "evaluated", "matched", "late", "clock_ahead", "dead")
"""What accounts add up."""

METRICS = (*COUNTERS, *REASONS, *_LEFT_OUT, "groups", "ended_groups")
"""What a worker tells Flink's metrics: counters since it started, and the groups it holds."""


def _publish(alert: Alert) -> Passing:
    return Passing(ALERTS, alert.id, alert.to_json())


def _account(total: AccountDelta, now: str) -> PartitionAccount:
    counters = {counter: getattr(total, counter) for counter in COUNTERS}
    not_counted = [
        NotCounted(reason=dropped.reason, correlation=dropped.correlation, field=dropped.field, count=count)
        for dropped, count in total.dropped
    ]
    return PartitionAccount(
        not_counted=not_counted,
        timestamp=now,
        topic=total.topic,
        partition=total.partition,
        next_offset=total.next_offset,
        **counters,
    )
