"""The detect stage without Flink: a batch of Kafka records in, messages for the keyed stage out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
import structlog

from pipeline.correlate.alert import single_alert
from pipeline.correlate.project import Projector
from pipeline.detect.evaluate import Detector
from pipeline.jobs.active_pack import PackSource
from pipeline.jobs.message import AccountDelta, Message, Passing, Roster, ShardBatch, add_dropped
from pipeline.jobs.settings import ALERTS, DEAD_LETTERS, HEALTH
from pipeline.rulepack import RulePack
from schemas.dead_letter import dead_letter_of
from schemas.event import Event, Origin, Rejected, read_record
from schemas.hit import SHARDS, GroupHit
from schemas.logsource import derive_logsource
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
        self._members: dict[str, Member] = {member.id: member for member in pack.members() if member.enabled}
        self._groups, self._fingerprints = pack.groups(), pack.fingerprints()

    def process(self, records: Iterable[Record]) -> list[Message]:
        """Match a batch; one message per shard, one account per partition, and what passes through."""
        batch = _Batch()
        for report in self._packs.look(self._adopt):
            batch.passing.append(Passing(HEALTH, report.worker, report.to_json()))
        for record in records:
            account = batch.account(record)
            if record.tick:
                self._read_tick(record, account, batch)
            else:
                self._read_events(record, account, batch)
        return batch.messages(self._pack.version, self._fingerprints)

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

    def _read_events(self, record: Record, account: AccountDelta, batch: _Batch) -> None:
        origin = Origin(record.topic, record.partition, record.offset, record.append_time)
        member = self._members.get(member_of_topic(record.topic))
        if member is None:
            account.lines += 1
            detail = f"{record.topic} belongs to no enabled member of the registry"
            self._bury(Rejected(record.value, origin, 0, "unregistered-member", detail), account, batch)
            return
        for item in read_record(record.value, origin, self._lateness, member.clock_offset):
            account.lines += 1
            if isinstance(item, Rejected):
                self._bury(item, account, batch)
            else:
                self._match(item, account, batch)

    def _match(self, event: Event, account: AccountDelta, batch: _Batch) -> None:
        try:
            matched, hits = self._hits(event, account)
        except Exception as error:
            log.exception("detect.engine_error", topic=event.origin.topic, offset=event.origin.offset)
            raw = msgspec.json.encode(event.fields)
            letter = Rejected(raw, event.origin, event.line, "engine-error", f"{type(error).__name__}: {error}"[:200])
            self._bury(letter, account, batch)
            return
        account.evaluated += 1
        account.matched += bool(matched)
        account.clock_ahead += event.admission == "clock_ahead"
        account.late += event.admission == "late"
        for index in matched:
            plan = self._pack.detections[index]
            if plan.alerts:
                alert = single_alert(event, plan, self._groups, self._pack.version)
                batch.passing.append(Passing(ALERTS, alert.id, alert.to_json()))
        for shard, hit in hits:
            batch.hits.setdefault(shard, []).append(hit)

    def _hits(self, event: Event, account: AccountDelta) -> tuple[tuple[int, ...], list[tuple[int, GroupHit]]]:
        matched = self._detector.match(event.fields)
        if not matched or event.admission == "late":
            return matched, []
        derive_logsource(event.fields)
        hits = self._projector.hits(event, {self._pack.detections[index].id for index in matched})
        if dropped := self._projector.dropped:
            account.dropped = add_dropped(account.dropped, dropped.items())
            dropped.clear()
        return matched, hits

    @staticmethod
    def _bury(rejected: Rejected, account: AccountDelta, batch: _Batch) -> None:
        account.dead += 1
        letter = dead_letter_of(rejected)
        batch.passing.append(Passing(DEAD_LETTERS, letter.key, letter.to_json()))


class _Batch:
    """What a batch has come to so far."""

    def __init__(self) -> None:
        self.hits: dict[int, list[GroupHit]] = {}
        self.rosters: list[Roster] = []
        self.passing: list[Passing] = []
        self._accounts: dict[tuple[str, int], AccountDelta] = {}

    def account(self, record: Record) -> AccountDelta:
        key = record.topic, record.partition
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = AccountDelta(record.topic, record.partition)
        account.records += 1
        account.next_offset = record.offset + 1
        account.newest = max(account.newest, record.append_time)
        return account

    def messages(self, pack: str, fingerprints: Mapping[str, str]) -> list[Message]:
        clocks = {f"{topic}/{partition}": account.newest for (topic, partition), account in self._accounts.items()}
        shards = []
        for shard in range(SHARDS):
            hits = self.hits.get(shard, [])
            meant = {name: fingerprints[name] for name in {hit.correlation for hit in hits}}
            shards.append(ShardBatch(shard, hits, clocks, self.rosters, pack, meant))
        return [*self.passing, *self._accounts.values(), *shards]
