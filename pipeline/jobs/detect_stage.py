"""The detect stage without Flink: a batch of Kafka records in, messages for the keyed stage out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec
import structlog

from pipeline.correlate.alert import single_alert
from pipeline.correlate.project import Projector, Wanted
from pipeline.detect.evaluate import Detector
from pipeline.detect.plan import DetectionPlan
from pipeline.jobs.active_pack import PackSource
from pipeline.jobs.message import AccountDelta, Message, Passing, Roster, ShardBatch, add_dropped
from pipeline.jobs.settings import ALERTS, DEAD_LETTERS, HEALTH
from pipeline.rulepack import RulePack
from schemas.dead_letter import dead_letter_of
from schemas.event import Event, Origin, Rejected, read_record
from schemas.hit import SHARDS, GroupHit
from schemas.logsource import FIELDS, derive_logsource
from schemas.member import Member, member_of_topic
from schemas.tick import decode_tick

log = structlog.get_logger()


class Record(NamedTuple):
    """One Kafka record as the source delivers it."""

    value: bytes
    topic: str
    partition: int
    offset: int
    append_time: int
    tick: bool


HITS: Final = 4_096
"""In one message, at most: some hundred kilobytes."""
_PLACE: Final = itemgetter(1, 2)
"""Topic and partition of a record."""
_REMEMBERED: Final = 50_000


class _Uses(NamedTuple):
    """What is done with an event that matched certain rules."""

    wanted: Wanted
    """The correlations that count it."""
    alerting: tuple[DetectionPlan, ...]


class DetectStage:
    """Everything one worker needs to turn records into hits; holds no state that a restart must keep.

    Args:
        packs: where rules, correlations and member registry come from; looked at before each batch.
        lateness: ms; see `schemas.event.read_record`.
    """

    def __init__(self, packs: PackSource, lateness: int) -> None:
        self._packs = packs
        self._lateness = lateness
        self._announced: dict[str, int] = {}
        packs.begin(self._adopt)

    def _adopt(self, pack: RulePack) -> None:
        detector, projector = Detector(pack.detections), Projector(pack.correlations)
        self._pack, self._detector, self._projector = pack, detector, projector
        self._groups_by_logsource = not projector.fields.isdisjoint(FIELDS)
        self._members: dict[str, Member] = {member.id: member for member in pack.members() if member.enabled}
        self._groups, self._fingerprints = pack.groups(), pack.fingerprints()
        self._uses: dict[tuple[int, ...], _Uses] = {}

    def process(self, records: Iterable[Record]) -> list[Message]:
        """Match a batch; a message or more per shard, one account per partition, and what passes through."""
        batch = _Batch()
        for report in self._packs.look(self._adopt):
            batch.passing.append(Passing(HEALTH, report.worker, report.to_json()))
        for (topic, partition), run in groupby(records, _PLACE):
            self._read(topic, run, batch.account(topic, partition), batch)
        return batch.messages(self._pack.version, self._fingerprints)

    def _read(self, topic: str, run: Iterable[Record], account: AccountDelta, batch: _Batch) -> None:
        """Read records of one partition that follow each other."""
        member = self._members.get(member_of_topic(topic))
        for record in run:
            account.records += 1
            account.next_offset = record.offset + 1
            if record.append_time > account.newest:
                account.newest = record.append_time
            if record.tick:
                self._read_tick(record, account, batch)
            elif member is None:
                account.lines += 1
                detail = f"{topic} belongs to no enabled member of the registry"
                self._bury(Rejected(record.value, _origin(record), 0, "unregistered-member", detail), account, batch)
            else:
                items = read_record(record.value, _origin(record), self._lateness, member.clock_offset)
                account.lines += len(items)
                for item in items:
                    if isinstance(item, Rejected):
                        self._bury(item, account, batch)
                    else:
                        self._match(item, account, batch)

    def _read_tick(self, record: Record, account: AccountDelta, batch: _Batch) -> None:
        account.ticks += 1
        try:
            partitions = decode_tick(record.value).partitions
        except msgspec.DecodeError as error:  # ticks come from the centre alone: say so, and let the clock go on
            log.warning("detect.bad_tick", topic=record.topic, offset=record.offset, error=str(error))
            return
        if partitions != self._announced:
            self._announced = partitions
            batch.rosters.append(Roster(partitions, record.append_time))

    def _match(self, event: Event, account: AccountDelta, batch: _Batch) -> None:
        try:
            matched = self._detector.match(event.fields)
            if matched:
                self._use(event, matched, account, batch)
        except Exception as error:
            log.exception("detect.engine_error", topic=event.origin.topic, offset=event.origin.offset)
            raw = msgspec.json.encode(event.fields)
            letter = Rejected(raw, event.origin, event.line, "engine-error", f"{type(error).__name__}: {error}"[:200])
            self._bury(letter, account, batch)
            return
        account.evaluated += 1
        if matched:
            account.matched += 1
        if event.admission != "on_time":
            account.clock_ahead += event.admission == "clock_ahead"
            account.late += event.admission == "late"

    def _use(self, event: Event, matched: tuple[int, ...], account: AccountDelta, batch: _Batch) -> None:
        """Turn what matched into alerts and hits; most rules serve hunters, and lead to neither."""
        uses = self._uses.get(matched)
        if uses is None:
            uses = self._remember_uses(matched)
        if not uses.wanted and not uses.alerting:
            return
        hits: list[tuple[int, GroupHit]] = []
        if event.admission != "late":
            if self._groups_by_logsource:
                derive_logsource(event.fields)
            hits = self._projector.hits(event, uses.wanted)
        alerts = [single_alert(event, plan, self._groups, self._pack.version) for plan in uses.alerting]
        if dropped := self._projector.dropped:
            account.dropped = add_dropped(account.dropped, dropped.items())
            dropped.clear()
        for shard, hit in hits:
            batch.hits.setdefault(shard, []).append(hit)
        batch.passing += [Passing(ALERTS, alert.id, alert.to_json()) for alert in alerts]

    def _remember_uses(self, matched: tuple[int, ...]) -> _Uses:
        if len(self._uses) >= _REMEMBERED:
            self._uses.clear()
        plans = [self._pack.detections[index] for index in matched]
        uses = self._uses[matched] = _Uses(
            self._projector.wanted([plan.id for plan in plans]),
            tuple(plan for plan in plans if plan.alerts),
        )
        return uses

    @staticmethod
    def _bury(rejected: Rejected, account: AccountDelta, batch: _Batch) -> None:
        account.dead += 1
        letter = dead_letter_of(rejected)
        batch.passing.append(Passing(DEAD_LETTERS, letter.key, letter.to_json()))


def _origin(record: Record) -> Origin:
    return Origin(record.topic, record.partition, record.offset, record.append_time)


class _Batch:
    """What a batch has come to so far."""

    def __init__(self) -> None:
        self.hits: dict[int, list[GroupHit]] = {}
        self.rosters: list[Roster] = []
        self.passing: list[Passing] = []
        self._accounts: dict[tuple[str, int], AccountDelta] = {}

    def account(self, topic: str, partition: int) -> AccountDelta:
        account = self._accounts.get((topic, partition))
        if account is None:
            account = self._accounts[topic, partition] = AccountDelta(topic, partition)
        return account

    def messages(self, pack: str, fingerprints: Mapping[str, str]) -> list[Message]:
        clocks = {f"{topic}/{partition}": account.newest for (topic, partition), account in self._accounts.items()}
        shards = []
        for shard in range(SHARDS):
            hits = self.hits.get(shard, [])
            meant = {name: fingerprints[name] for name in {hit.correlation for hit in hits}}
            # The clock comes last: no hit of the batch may be put to a settle line that the batch itself moved.
            last = max(0, len(hits) - 1) // HITS * HITS
            shards += [ShardBatch(shard, hits[at : at + HITS], {}, [], pack, meant) for at in range(0, last, HITS)]
            shards.append(ShardBatch(shard, hits[last:], clocks, self.rosters, pack, meant))
        return [*self.passing, *self._accounts.values(), *shards]
