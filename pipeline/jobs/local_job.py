"""The Flink job's stages in one process, fed with the records that files or test cases might have been; no services.

A tick follows each batch, so that the clock moves as it does on the servers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from pipeline.correlate.store import DictStore
from pipeline.jobs.active_pack import FixedPack
from pipeline.jobs.detect_stage import DetectStage, Record
from pipeline.jobs.keyed_stage import KeyedStage
from pipeline.jobs.message import AccountDelta, Passing, address_of, encode
from pipeline.jobs.settings import ALERTS, DEAD_LETTERS
from pipeline.jobs.state import KeyedState
from pipeline.rulepack import RulePack
from schemas.dead_letter import DeadLetter
from schemas.tick import Tick, encode_tick

LEAST_LATENESS: Final = 3_600_000
"""Milliseconds; that of the job, unless its settings say otherwise."""


class Line(NamedTuple):
    """One event as it would have been appended."""

    append_time: int
    """Newest event time of the file so far: a broker's clock never goes back."""
    source: int
    number: int
    topic: str
    partition: int
    """A member's files are the partitions of its topic."""
    raw: bytes


def patient(pack: RulePack, disorder: int) -> tuple[RulePack, int]:
    """The pack, and a lateness (ms), with which no rule settles before a line that it counts; ids of alerts stay.

    Args:
        pack: rules, correlations and members.
        disorder: ms that a line is at most older than one before it.
    """
    correlations = [
        one if one.settle_after is None else replace(one, settle_after=max(one.settle_after, disorder))
        for one in pack.correlations
    ]
    return RulePack(pack.detections, correlations, pack.registry()), max(LEAST_LATENESS, disorder)


class LocalJob:
    """The stages of the Flink job in one process.

    Args:
        pack: rules, correlations and members.
        lateness: ms; as in the job's settings.
        on_refused: told of every line that is no event.
        settled_only: whether alerts come when they have settled, and not also while they grow.
    """

    def __init__(
        self, pack: RulePack, lateness: int, on_refused: Callable[[DeadLetter], None], *, settled_only: bool = False
    ) -> None:
        self._lateness = lateness
        self._spans = max((rule.timespan + rule.suppress for rule in pack.correlations), default=0)
        self._detect = DetectStage(FixedPack(pack), lateness)
        self._state = _Addresses()
        self._keyed = KeyedStage(FixedPack(pack), lateness, self._state, settled_only=settled_only)
        self._topics: dict[str, int] = {}
        self._newest = 0
        self._on_refused = on_refused
        self.totals: Counter[str] = Counter()
        self.dropped: Counter[tuple[str, str, str]] = Counter()
        """(reason, correlation, field) -> how often a correlation could not count a matched event."""

    @property
    def unused(self) -> int:
        """Lines that could not be correlated: no events, or too late."""
        return self.totals["dead"] + self.totals["late"]

    def feed(self, lines: Iterable[Line]) -> Iterator[Passing]:
        """One batch of lines in the order of their append times, then a tick; yields alerts."""
        records = [
            Record(line.raw, line.topic, line.partition, line.number, line.append_time, tick=False) for line in lines
        ]
        for record in records:
            self._topics[record.topic] = max(record.partition + 1, self._topics.get(record.topic, 1))
            self._newest = max(self._newest, record.append_time)
        yield from self._process([*self._ticks(self._newest), *records, *self._ticks(self._newest)])

    def finish(self) -> Iterator[Passing]:
        """Settle everything; yields alerts."""
        yield from self._process(self._ticks(self._newest + self._lateness + self._spans + 1))

    def _ticks(self, time: int) -> list[Record]:
        value = encode_tick(Tick(self._topics))
        return [
            Record(value, topic, partition, 0, time, tick=True)
            for topic, count in self._topics.items()
            for partition in range(count)
        ]

    def _process(self, records: Sequence[Record]) -> Iterator[Passing]:
        for message in self._detect.process(records):
            if isinstance(message, AccountDelta):
                for counter in ("lines", "evaluated", "matched", "late", "dead"):
                    self.totals[counter] += getattr(message, counter)
                for dropped, count in message.dropped:
                    self.dropped[dropped.reason, dropped.correlation, dropped.field] += count
                continue
            data = encode(message)
            self._state.address = address_of(data)
            passings, _ = self._keyed.process(self._state.address, data)
            for passing in passings:
                if passing.topic == ALERTS:
                    yield passing
                elif passing.topic == DEAD_LETTERS:
                    self._on_refused(DeadLetter.model_validate_json(passing.value))


class _Addresses(KeyedState):
    """State of every address, of which one is being handled."""

    def __init__(self) -> None:
        self.address = ""
        self._stores: dict[str, DictStore] = {}
        self._summaries: dict[str, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self._store.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self._store.put(key, value)

    def delete(self, key: bytes) -> None:
        self._store.delete(key)

    def summary(self) -> bytes | None:
        return self._summaries.get(self.address)

    def set_summary(self, value: bytes) -> None:
        self._summaries[self.address] = value

    @property
    def _store(self) -> DictStore:
        return self._stores.setdefault(self.address, DictStore())
