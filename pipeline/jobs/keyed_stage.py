"""The keyed stage without Flink: messages of one address in, output records out, all state behind `KeyedState`.

Three kinds of address share one operator: shards correlate, accounts add up what became of every record, and
finished records pass through, so that everything written leaves in one transaction of the sink.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import msgspec

from pipeline.correlate.clock import SettleClock
from pipeline.correlate.shard import Shard
from pipeline.correlate.store import Store
from pipeline.jobs.active_pack import PackSource, settle_memory
from pipeline.jobs.message import AccountDelta, Passing, ShardBatch, decode
from pipeline.jobs.settings import ALERTS, HEALTH
from schemas.alert import Alert
from schemas.health import PartitionAccount
from schemas.times import to_rfc3339


class KeyedState(Store, Protocol):
    """State of the address being handled: groups of a shard, and one summary (a clock, or an account)."""

    def summary(self) -> bytes | None:
        """The summary, if there is one."""
        ...

    def set_summary(self, value: bytes) -> None:
        """Replace the summary."""
        ...


@dataclass(slots=True)
class _LiveShard:
    shard: Shard
    clock: SettleClock


class KeyedStage:
    """Handles every address of one worker; what it keeps in memory is a cache of the state.

    Args:
        packs: where correlations and registry come from; looked at before each batch of a shard.
        lateness: ms that the settle line stays behind the slowest partition's clock.
        state: state of whichever address is being handled.
    """

    def __init__(self, packs: PackSource, lateness: int, state: KeyedState) -> None:
        self._packs = packs
        self._pack = packs.pack
        self._lateness = lateness
        self._state = state
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
                news = self._look(message.pack)
                return news + [_publish(alert) for alert in self._correlate(address, message)], False

    def report(self, address: str, now: int) -> Iterator[Passing]:
        """The account of an address as it stands at `now` (ms)."""
        summary = self._state.summary()
        if summary is not None:
            total = msgspec.msgpack.decode(summary, type=AccountDelta)
            yield Passing(HEALTH, address, _account(total, now).to_json())

    def _look(self, wanted: str) -> list[Passing]:
        """Take another pack if there is one: what is in memory is a cache, and is made anew from the state."""
        reports = self._packs.look(wanted)
        if self._packs.pack is not self._pack:
            self._pack = self._packs.pack
            self._shards.clear()
            settle_memory()
        return [Passing(HEALTH, report.worker, report.to_json()) for report in reports]

    def _add(self, delta: AccountDelta) -> None:
        summary = self._state.summary()
        if summary is None:
            total = delta
        else:
            total = msgspec.msgpack.decode(summary, type=AccountDelta)
            total.next_offset = max(total.next_offset, delta.next_offset)
            total.newest = max(total.newest, delta.newest)
            for counter in COUNTERS:
                setattr(total, counter, getattr(total, counter) + getattr(delta, counter))
        self._state.set_summary(msgspec.msgpack.encode(total))

    def _correlate(self, address: str, batch: ShardBatch) -> list[Alert]:
        live = self._shards.get(address)
        if live is None:
            live = self._shards[address] = self._restore()
        clock = live.clock
        for roster in batch.rosters:
            clock.roster(roster.partitions, roster.seen_at)
        clock.see(batch.clocks)
        alerts = live.shard.feed(batch.hits) + live.shard.advance(clock.settle_line(self._lateness))
        self._state.set_summary(clock.to_bytes())
        return alerts

    def _restore(self) -> _LiveShard:
        correlations = {correlation.id: correlation for correlation in self._pack.correlations}
        summary = self._state.summary()
        clock = SettleClock() if summary is None else SettleClock.from_bytes(summary)
        shard = Shard(correlations, self._pack.registry(), self._state, pack_version=self._pack.version)
        return _LiveShard(shard, clock)


COUNTERS = ("records", "ticks", "lines", "evaluated", "matched", "late", "clock_ahead", "dead")
"""What accounts add up."""


def _publish(alert: Alert) -> Passing:
    return Passing(ALERTS, alert.id, alert.to_json())


def _account(total: AccountDelta, now: int) -> PartitionAccount:
    counters = {counter: getattr(total, counter) for counter in COUNTERS}
    return PartitionAccount(
        timestamp=to_rfc3339(now),
        topic=total.topic,
        partition=total.partition,
        next_offset=total.next_offset,
        **counters,
    )
