import base64
import json
from pathlib import Path

import pytest

from pipeline.detect.evaluate import Detector
from pipeline.jobs import detect_stage
from pipeline.jobs.active_pack import FixedPack
from pipeline.jobs.detect_stage import DetectStage, Record
from pipeline.jobs.message import AccountDelta, Message, Passing, ShardBatch
from pipeline.rulepack import RulePack, build_pack
from schemas.event import MAX_ELEMENTS, MAX_VALUE_CHARS
from schemas.hit import SHARDS
from schemas.member import Member, MemberRegistry
from schemas.tick import Tick, encode_tick
from schemas.times import from_rfc3339, to_rfc3339

RULES = Path(__file__).parents[2] / "e2e" / "rules"
APPENDED = from_rfc3339("2026-11-23T10:00:00.000Z")
HOUR = 3_600_000


@pytest.fixture(scope="module")
def pack() -> RulePack:
    names = ("bank-a", "bank-b", "bank-c")
    off = Member(id="bank-off", name="Off", enabled=False)
    return build_pack([RULES], MemberRegistry(members=(*(Member(id=name, name=name) for name in names), off)))


@pytest.fixture
def stage(pack: RulePack) -> DetectStage:
    return DetectStage(FixedPack(pack), HOUR)


def line(action: str = "probe", at: int = APPENDED, **more: object) -> bytes:
    fields = {
        "@timestamp": to_rfc3339(at),
        "event.action": action,
        "source.ip": "203.0.113.7",
        "jointsoc.logsource.product": "jointsoc",
        "jointsoc.logsource.service": "e2e",
    }
    return json.dumps(fields | more).encode()


def record(value: bytes, offset: int = 0, topic: str = "events.bank-a", *, tick: bool = False) -> Record:
    return Record(value, topic, 0, offset, APPENDED + offset, tick)


def passing(messages: list[Message], topic: str) -> list[dict[str, object]]:
    found = [json.loads(each.value) for each in messages if isinstance(each, Passing) and each.topic == topic]
    return [dict(each) for each in found]


def account(messages: list[Message]) -> AccountDelta:
    (found,) = [message for message in messages if isinstance(message, AccountDelta)]
    return found


def hits(messages: list[Message]) -> list[str]:
    return [hit.hit.event_id for each in messages if isinstance(each, ShardBatch) for hit in each.hits]


def test_a_matching_event_becomes_a_hit_in_one_shard(stage: DetectStage) -> None:
    messages = stage.process([record(line(**{"event.id": "e1"})), record(line("other"), 1)])
    assert hits(messages) == ["e1"]
    assert (account(messages).evaluated, account(messages).matched, account(messages).next_offset) == (2, 1, 2)


def test_every_shard_hears_the_clock(stage: DetectStage) -> None:
    messages = stage.process([record(line("other"), 5)])
    shards = [each for each in messages if isinstance(each, ShardBatch)]
    assert len(shards) == SHARDS
    assert all(each.clocks == {"events.bank-a/0": APPENDED + 5} for each in shards)


def test_a_flood_of_hits_goes_in_parts_and_the_clock_with_the_last(
    stage: DetectStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detect_stage, "HITS", 2)
    messages = stage.process([record(line(**{"event.id": str(number)}), number) for number in range(5)])
    parts = [each for each in messages if isinstance(each, ShardBatch) and (each.hits or each.clocks)]
    (flooded,) = {each.shard for each in parts if each.hits}
    told = [([hit.hit.event_id for hit in each.hits], bool(each.clocks)) for each in parts if each.shard == flooded]
    assert told == [(["0", "1"], False), (["2", "3"], False), (["4"], True)]


def test_a_detection_marked_to_alert_alerts_by_itself(stage: DetectStage) -> None:
    (alert,) = passing(stage.process([record(line("single"))]), "alerts")
    assert alert["organization"] == {"id": ["bank-a"]}


def test_a_single_alert_is_the_same_document_each_time(stage: DetectStage) -> None:
    assert stage.process([record(line("single"))]) == stage.process([record(line("single"))])


def test_a_late_event_is_matched_and_counted_but_not_correlated(stage: DetectStage) -> None:
    messages = stage.process([record(line(at=0)), record(line(at=APPENDED - HOUR - 1), 1)])
    assert hits(messages) == []
    assert (account(messages).late, account(messages).matched) == (2, 2)


def test_a_broken_line_is_a_dead_letter_and_its_neighbours_count(stage: DetectStage) -> None:
    messages = stage.process([record(line() + b"\n{broken\n" + line())])
    (letter,) = passing(messages, "dead-letters")
    assert (letter["reason"], letter["line"]) == ("not-json", 1)
    assert (account(messages).lines, account(messages).evaluated, account(messages).dead) == (3, 2, 1)


@pytest.mark.parametrize(
    ("value", "reason"), [("x" * (MAX_VALUE_CHARS + 1), "too-long"), (["x"] * (MAX_ELEMENTS + 1), "too-many-elements")]
)
def test_what_would_stall_the_stream_is_a_whole_dead_letter_and_its_neighbours_count(
    stage: DetectStage, value: object, reason: str
) -> None:
    huge = line(**{"process.command_line": value})
    messages = stage.process([record(line() + b"\n" + huge + b"\n" + line())])
    (letter,) = passing(messages, "dead-letters")
    assert (letter["reason"], letter["line"]) == (reason, 1)
    assert base64.b64decode(str(letter["raw"])) == huge
    assert (account(messages).lines, account(messages).evaluated, account(messages).dead) == (3, 2, 1)


@pytest.mark.parametrize("topic", ["events.stranger", "events.bank-off", "events."])
def test_a_topic_without_an_enabled_member_ends_in_dead_letters(stage: DetectStage, topic: str) -> None:
    messages = stage.process([record(line(), topic=topic)])
    (letter,) = passing(messages, "dead-letters")
    assert letter["reason"] == "unregistered-member"
    assert hits(messages) == []


def test_a_fault_of_the_engine_keeps_the_event_and_the_stream(
    stage: DetectStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Detector.match

    def fails_once(self: Detector, fields: dict[str, object]) -> tuple[int, ...]:
        if fields.get("event.id") == "poison":
            raise RuntimeError("a fault")
        return real(self, fields)  # type: ignore[arg-type]

    monkeypatch.setattr(Detector, "match", fails_once)
    messages = stage.process([record(line(**{"event.id": "poison"})), record(line(**{"event.id": "fine"}), 1)])
    assert passing(messages, "dead-letters")[0]["reason"] == "engine-error"
    assert hits(messages) == ["fine"]


def test_a_tick_is_counted_and_tells_the_roster_once(stage: DetectStage) -> None:
    value = encode_tick(Tick({"events.bank-a": 2}))
    first = stage.process([record(value, tick=True)])
    again = stage.process([record(value, 1, tick=True)])
    assert [len(each.rosters) for each in first if isinstance(each, ShardBatch)] == [1] * SHARDS
    assert [len(each.rosters) for each in again if isinstance(each, ShardBatch)] == [0] * SHARDS
    assert (account(first).records, account(first).ticks, account(first).lines) == (1, 1, 0)


def test_a_damaged_tick_does_not_stop_the_stream(stage: DetectStage) -> None:
    messages = stage.process([record(b"\xff", tick=True), record(line(**{"event.id": "e"}), 1)])
    assert hits(messages) == ["e"]
