"""The keyed stage without Flink: messages of one address in, output records out, all state behind `KeyedState`.

Three kinds of address share one operator: shards correlate, accounts add up what became of every record, and
finished records pass through, so that everything written leaves in one transaction of the sink.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from pipeline.correlate.clock import SettleClock
from pipeline.correlate.shard import Shard
from pipeline.jobs.message import SHARD_ADDRESS, AccountDelta, Passing, ShardBatch, add_dropped, decode
from pipeline.jobs.pack_watch import PackWatch
from pipeline.jobs.settings import ALERTS, HEALTH
from pipeline.jobs.state import KeyedState, ShardSummary, VersionedState
from pipeline.rulepack import RulePack
from schemas.alert import Alert
from schemas.health import NotCounted, PartitionAccount, ShardAccount
from schemas.hit import GroupHit
from schemas.times import to_rfc3339


@dataclass(slots=True)
class _LiveShard:
    shard: Shard
    clock: SettleClock
    before: dict[str, int]
    """Counters up to when this object was made."""
    told: dict[str, int]
    """Counters as they were last reported."""
    outdated_hits: int = 0

    def counters(self) -> dict[str, int]:
        now = msgspec.structs.asdict(self.shard.counters) | {"outdated_hits": self.outdated_hits}
        return {name: count + self.before.get(name, 0) for name, count in now.items()}


class KeyedStage:
    """Handles every address of one worker; what it keeps in memory is a cache of the state.

    Args:
        pack: correlations and registry.
        lateness: ms that the settle line stays behind the slowest partition's clock.
        state: state of whichever address is being handled.
        watch: tells of another pack when a batch comes that was made with one. Left out: there never is one.
    """

    def __init__(self, pack: RulePack, lateness: int, state: KeyedState, watch: PackWatch | None = None) -> None:
        self._lateness = lateness
        self._state = VersionedState(state)
        self._watch = watch
        self.adopt(pack)

    def adopt(self, pack: RulePack) -> None:
        """Use another pack from now on.

        Every shard is read from its state again: groups of correlations that are the same stay, those of changed and
        removed ones go and are counted, and all count the new registry's corporate groups.
        """
        self._correlations = {correlation.id: correlation for correlation in pack.correlations}
        self._fingerprints = pack.fingerprints()
        self._pack = pack
        self._shards: dict[str, _LiveShard] = {}

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
                return self._correlate(address, message)

    def report(self, address: str, now: int) -> Iterator[Passing]:
        """The account of an address as it stands at `now` (ms)."""
        summary = self._state.summary()
        if summary is None:
            return
        account: PartitionAccount | ShardAccount
        if address.startswith(SHARD_ADDRESS):
            counters = msgspec.msgpack.decode(summary, type=ShardSummary).counters
            number = int(address.removeprefix(SHARD_ADDRESS))
            account = ShardAccount(timestamp=to_rfc3339(now), shard=number, counters=counters)
        else:
            account = _account(msgspec.msgpack.decode(summary, type=AccountDelta), now)
        yield Passing(HEALTH, address, account.to_json())

    def _add(self, delta: AccountDelta) -> None:
        summary = self._state.summary()
        if summary is None:
            total = delta
        else:
            total = msgspec.msgpack.decode(summary, type=AccountDelta)
            total.next_offset = max(total.next_offset, delta.next_offset)
            total.newest = max(total.newest, delta.newest)
            total.dropped = add_dropped(total.dropped, delta.dropped)
            for counter in COUNTERS:
                setattr(total, counter, getattr(total, counter) + getattr(delta, counter))
        self._state.set_summary(msgspec.msgpack.encode(total))

    def _correlate(self, address: str, batch: ShardBatch) -> tuple[list[Passing], bool]:
        news = self._watch.look(self.adopt) if self._watch and self._watch.is_due(batch.pack) else []
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
        counters = live.counters()
        self._state.set_summary(msgspec.msgpack.encode(ShardSummary(clock.to_bytes(), counters)))
        changed, live.told = counters != live.told, counters
        return [*news, *map(_publish, alerts)], changed

    def _meant(self, batch: ShardBatch) -> Sequence[GroupHit]:
        """The hits without those that were made for another meaning of their correlation: an older or newer pack's."""
        known = self._fingerprints
        outdated = {name for name, fingerprint in batch.fingerprints.items() if known.get(name) != fingerprint}
        return [hit for hit in batch.hits if hit.correlation not in outdated] if outdated else batch.hits

    def _restore(self) -> _LiveShard:
        stored = self._state.summary()
        summary = None if stored is None else msgspec.msgpack.decode(stored, type=ShardSummary)
        clock = SettleClock() if summary is None else SettleClock.from_bytes(summary.clock)
        shard = Shard(self._correlations, self._pack.registry(), self._state, pack_version=self._pack.version)
        before = {} if summary is None else summary.counters
        return _LiveShard(shard, clock, before, before)


COUNTERS = ("records", "ticks", "lines", "evaluated", "matched", "late", "clock_ahead", "dead")
"""What accounts add up."""


def _publish(alert: Alert) -> Passing:
    return Passing(ALERTS, alert.id, alert.to_json())


def _account(total: AccountDelta, now: int) -> PartitionAccount:
    counters = {counter: getattr(total, counter) for counter in COUNTERS}
    not_counted = [
        NotCounted(reason=dropped.reason, correlation=dropped.correlation, field=dropped.field, count=count)
        for dropped, count in total.dropped
    ]
    return PartitionAccount(
        not_counted=not_counted,
        timestamp=to_rfc3339(now),
        topic=total.topic,
        partition=total.partition,
        next_offset=total.next_offset,
        **counters,
    )
