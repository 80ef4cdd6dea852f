from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.correlate.project import Dropped
from pipeline.jobs.active_pack import FixedPack
from pipeline.jobs.keyed_stage import KeyedStage
from pipeline.jobs.message import AccountDelta, Message, Roster, ShardBatch, address, encode
from pipeline.jobs.state import FORMAT
from pipeline.rulepack import RulePack, build_pack
from schemas.errors import ConfigError
from schemas.health import AnyHealth, NotCounted, PartitionAccount, ShardAccount, health_from_json
from schemas.hit import GroupHit, Hit
from schemas.member import Member, MemberRegistry
from tests.local_centre import LATENESS, Arrival, LocalCentre, MemoryState
from tests.pipeline.jobs.test_detect_stage import APPENDED, HOUR, RULES

BANKS = MemberRegistry(members=tuple(Member(id=f"bank-{each}", name=each) for each in "abc"))
PROBES = "5b1f4e0a-6a7e-4d55-9a5e-000000000002"


@pytest.fixture(scope="module")
def pack() -> RulePack:
    return build_pack([RULES], BANKS)


class Keyed:
    """A keyed stage and its state; what it publishes about one address."""

    def __init__(self, pack: RulePack, state: MemoryState | None = None) -> None:
        self.state = state or MemoryState()
        self.seconds = 0.0
        self._stage = KeyedStage(FixedPack(pack), LATENESS, self.state, clock=lambda: self.seconds)

    def take(self, message: Message) -> bool:
        self.state.current = address(message)
        return self._stage.process(self.state.current, encode(message))[1]

    def metrics(self, *names: str) -> list[int]:
        return [self._stage.metric(name) for name in names]

    def told(self) -> AnyHealth:
        (passing,) = self._stage.report(self.state.current, APPENDED)
        return health_from_json(passing.value)


def probe(at: int, clock: int) -> ShardBatch:
    """A hit in a group of its own."""
    hit = Hit(at, at, 1, "bank-a")
    roster = Roster({"events.bank-a": 1}, clock)
    return ShardBatch(3, [GroupHit(PROBES, (f"{at}",), hit)], {"events.bank-a/0": clock}, [roster])


def gone(number: int = 0) -> ShardBatch:
    """A hit of a correlation that no pack holds."""
    hit = Hit(APPENDED, number, 1, "bank-a")
    return ShardBatch(3, [GroupHit("gone", ("x",), hit)], {"events.bank-a/0": APPENDED}, [])


def test_what_a_correlation_cannot_count_is_in_the_account_of_its_partition(pack: RulePack) -> None:
    centre = LocalCentre(pack)
    fields = {
        "@timestamp": "2026-11-23T10:00:00.000Z",
        "event.action": "probe",
        "jointsoc.logsource.product": "jointsoc",
        "jointsoc.logsource.service": "e2e",
    }
    arrivals = [Arrival(APPENDED, "bank-a", fields), Arrival(APPENDED, "bank-b", fields | {"source.ip": "203.0.113.9"})]
    for _ in range(2):
        centre.take(arrivals)
    accounts = {each.topic: each for each in centre.health.values() if isinstance(each, PartitionAccount)}
    missing = NotCounted(reason="missing_group_key", correlation=PROBES, field="source.ip", count=2)
    assert accounts["events.bank-a"].not_counted == [missing]
    assert accounts["events.bank-b"].not_counted == []


def test_what_a_shard_does_not_use_is_told_when_it_changes_and_outlives_a_restart(pack: RulePack) -> None:
    keyed = Keyed(pack)
    assert keyed.take(gone(1))
    nothing_new = ShardBatch(3, [], {"events.bank-a/0": APPENDED}, [])
    assert not keyed.take(nothing_new)
    keyed.seconds += 60
    assert keyed.take(nothing_new), "whoever asks only now hears it as well"
    assert not keyed.take(nothing_new)
    again = Keyed(pack, keyed.state)
    assert again.take(gone(2))
    told = again.told()
    assert isinstance(told, ShardAccount)
    assert (told.shard, told.counters["unknown_correlation"]) == (3, 2)


def test_metrics_count_since_the_worker_started_and_tell_what_is_held(pack: RulePack) -> None:
    keyed = Keyed(pack)
    dropped = [(Dropped("excess_values", PROBES, "source.ip", "bank-a"), 3)]
    for _ in range(2):
        keyed.take(AccountDelta("events.bank-a", 0, lines=5, dead=1, dropped=dropped))
        keyed.take(gone())
    assert keyed.metrics("lines", "dead", "excess_values", "unknown_correlation") == [10, 2, 6, 2]
    keyed.take(probe(at=APPENDED, clock=APPENDED))
    keyed.take(probe(at=APPENDED + HOUR, clock=APPENDED + HOUR))
    assert keyed.metrics("groups", "ended_groups") == [2, 0]
    keyed.take(probe(at=APPENDED + 3 * HOUR, clock=APPENDED + 3 * HOUR))
    assert keyed.metrics("groups", "ended_groups") == [1, 2]
    again = Keyed(pack, keyed.state)
    assert again.metrics("lines", "ended_groups") == [0, 0]


def test_a_shard_that_uses_everything_has_nothing_to_tell(pack: RulePack) -> None:
    keyed = Keyed(pack)
    keyed.take(ShardBatch(3, [], {"events.bank-a/0": APPENDED}, []))
    keyed.seconds += 60
    assert not keyed.take(ShardBatch(3, [], {"events.bank-a/0": APPENDED + 1}, []))


MESSAGES = (gone(), AccountDelta("events.bank-a", 0, records=1))


def damaged() -> Iterator[tuple[Message, bytes]]:
    for message in MESSAGES:
        yield message, bytes([FORMAT + 1]) + b"\x90"
        yield message, b"\x94\x80\x80\x90\x00"
        yield message, bytes([FORMAT]) + b"\xff"
        yield message, b""


@pytest.mark.parametrize(("message", "stored"), damaged())
def test_state_of_another_format_is_refused_in_words(pack: RulePack, message: Message, stored: bytes) -> None:
    keyed = Keyed(pack)
    keyed.take(message)
    keyed.state.set_summary(stored)
    with pytest.raises(ConfigError, match=r"written in another format.*expected 1.*jsoc down --wipe"):
        Keyed(pack, keyed.state).take(message)


def test_state_of_this_format_is_read(pack: RulePack) -> None:
    keyed = Keyed(pack)
    for message in MESSAGES:
        keyed.take(message)
    restarted = Keyed(pack, keyed.state)
    restarted.take(MESSAGES[1])
    told = restarted.told()
    assert isinstance(told, PartitionAccount)
    assert told.records == 2


def test_the_recorded_state_of_the_first_format_is_read(pack: RulePack) -> None:
    """Bytes as the first format wrote them: whoever changes the layout must raise FORMAT and go on reading these."""
    keyed = Keyed(pack)
    keyed.state.current = "account/events.bank-a/0"
    keyed.state.set_summary(bytes.fromhex(RECORDED_ACCOUNT))
    keyed.take(MESSAGES[1])
    told = keyed.told()
    assert isinstance(told, PartitionAccount)
    assert (told.records, told.dead) == (6, 4)
    assert told.not_counted == [NotCounted(reason="bad_weight", correlation="c", field="f", count=7)]


def test_a_shard_recorded_in_the_first_format_is_read(pack: RulePack) -> None:
    keyed = Keyed(pack)
    keyed.state.current = "shard/3"
    keyed.state.set_summary(bytes.fromhex(RECORDED_SHARD))
    keyed.take(gone())
    told = keyed.told()
    assert isinstance(told, ShardAccount)
    assert (told.counters["unknown_correlation"], told.refused_hits) == (6, {"c": 2})


RECORDED_ACCOUNT = (
    "019ea76163636f756e74ad6576656e74732e62616e6b2d610009110501060201000004919294aa6261645f7765696768"
    "74a163a166a662616e6b2d6107"
)
RECORDED_SHARD = (
    "0193c4379481af6576656e74732e62616e6b2d612f300781af6576656e74732e62616e6b2d612f300591af6576656e74"
    "732e62616e6b2d612f300582b3756e6b6e6f776e5f636f7272656c6174696f6e05ac726566757365645f686974730281"
    "a16302"
)
