"""What is said when, while an alert grows: through the public face of a shard."""

from __future__ import annotations

import msgspec
import pytest

from pipeline.correlate.correlation import Comparison, Correlation
from pipeline.correlate.shard import Limits, Shard
from pipeline.correlate.store import DictStore
from pipeline.correlate.watch import REFRESH
from schemas.alert import SUPERSEDED_REVISION, Alert
from schemas.errors import ConfigError
from schemas.times import from_rfc3339
from tests.pipeline.correlate.streams import BASE, END, REGISTRY, clauses, correlation, hit

MINUTE = 60_000
THREE = (Comparison("gte", 3),)


def _shard(rule: Correlation, store: DictStore | None = None) -> Shard:
    return Shard({rule.id: rule}, REGISTRY, store or DictStore())


def _said(alerts: list[Alert]) -> list[tuple[str, int]]:
    return [(one.jointsoc.alert.state, one.jointsoc.events) for one in alerts]


def test_a_flood_is_a_few_revisions_of_one_alert() -> None:
    rule = correlation("event_count", span=MINUTE, comparisons=THREE)
    shard = _shard(rule)
    said = [alert for n in range(1_000) for alert in shard.feed([hit(n, name=str(n))])]
    assert {one.id for one in said} == {said[0].id}
    assert _said(said) == [("open", 3 * 2**n) for n in range(9)]


def test_growth_between_doublings_is_told_when_the_clock_has_moved_on() -> None:
    rule = correlation("event_count", span=MINUTE, comparisons=THREE)
    shard = _shard(rule)
    shard.advance(BASE - MINUTE)
    assert _said(shard.feed([hit(n, name=str(n)) for n in range(3)])) == [("open", 3)]
    assert shard.feed([hit(4, name="more")]) == []
    assert shard.advance(BASE - MINUTE + REFRESH - 1) == []
    assert _said(shard.advance(BASE - MINUTE + REFRESH)) == [("open", 4)]
    assert shard.advance(BASE - MINUTE + 2 * REFRESH) == []


def test_absence_is_told_when_the_rule_settles_and_not_when_others_do() -> None:
    rules = [
        correlation(
            "temporal", references=2, span=MINUTE, clauses=clauses(((0,), (1,))), id=name, settle_after=settle_after
        )
        for name, settle_after in (("soon", MINUTE), ("others", None))
    ]
    shard = Shard({rule.id: rule for rule in rules}, REGISTRY, DictStore(), lateness=10 * MINUTE)
    shard.advance(BASE - 20 * MINUTE)
    shard.feed([hit(0, rule=rule.id) for rule in rules])
    deadline = BASE + MINUTE
    told = [(when, one.rule.uuid) for when in range(-12, 3) for one in shard.advance(deadline + 1 + when * MINUTE)]
    # Open when the deadline has passed, settled when nothing can join any more.
    assert told == [(-9, "soon"), (-8, "soon"), (0, "others"), (1, "others")]


@pytest.mark.parametrize("later", [2 * MINUTE, 20 * MINUTE])
def test_a_changed_lateness_neither_unsettles_a_rule_nor_refuses_what_the_clock_admits(later: int) -> None:
    rule = correlation("event_count", span=MINUTE, comparisons=(Comparison("eq", 2),), settle_after=MINUTE)
    store, lateness, clock = DictStore(), 10 * MINUTE, BASE
    said = []
    for minute in range(40):
        if minute == 20:
            lateness = later
        shard = Shard({rule.id: rule}, REGISTRY, store, lateness=lateness)
        clock = BASE + minute * MINUTE
        said += shard.feed([hit(clock - MINUTE - BASE, name=str(minute))]) + shard.advance(clock - lateness)
        assert not shard.counters.late_after_settle
    said += shard.advance(clock + 30 * MINUTE)
    settled = [one.timestamp for one in said if one.jointsoc.alert.state == "settled"]
    assert len(settled) == len(set(settled)) == 1


def test_a_new_institution_is_told_at_once() -> None:
    rule = correlation("event_count", span=MINUTE, comparisons=THREE)
    shard = _shard(rule)
    shard.feed([hit(n, name=str(n)) for n in range(10)])
    assert shard.feed([hit(11, name="same member")]) == []
    [alert] = shard.feed([hit(12, name="other member", member=2)])
    assert alert.organization.id == ["ash-bank", "birch"]


def test_an_earlier_hit_gives_the_alert_another_id_and_the_old_one_a_tombstone_with_its_last_words() -> None:
    rule = correlation("event_count", span=MINUTE, comparisons=THREE)
    shard = _shard(rule)
    [first] = shard.feed([hit(n, name=str(n)) for n in (100, 200, 300)])
    tombstone, second = shard.feed([hit(50, name="late")])
    assert second.id != first.id
    assert (tombstone.id, tombstone.jointsoc.alert.superseded_by) == (first.id, second.id)
    assert (tombstone.jointsoc.alert.state, tombstone.jointsoc.alert.revision) == ("superseded", SUPERSEDED_REVISION)
    assert (tombstone.timestamp, tombstone.message[:8]) == (first.timestamp, first.message[:8])


def test_when_an_alert_settles_all_its_tombstones_name_it() -> None:
    rule = correlation("event_count", span=MINUTE, comparisons=THREE)
    shard = _shard(rule)
    first = shard.feed([hit(n, name=str(n)) for n in (100, 200, 300)])
    later = [alert for time in (50, 25) for alert in shard.feed([hit(time, name="late")])]
    settled = shard.advance(END)
    documents = {one.id: one.jointsoc.alert.superseded_by for one in (*first, *later, *settled)}
    [final] = [one.id for one in settled if one.jointsoc.alert.state == "settled"]
    assert len(documents) == 3
    assert {successor for identity, successor in documents.items() if identity != final} == {final}


def test_alerts_that_a_late_hit_joins_become_one() -> None:
    rule = correlation("event_count", span=100, comparisons=THREE, suppress=150)
    shard = _shard(rule)
    one, two = shard.feed([hit(n, name=str(n)) for n in (0, 1, 2, 300, 301, 302)])
    said = shard.feed([hit(n, name=str(n)) for n in (150, 151, 152)])
    superseded = {alert.id for alert in said if alert.jointsoc.alert.state == "superseded"}
    joined = [alert.id for alert in said if alert.jointsoc.alert.state == "open"]
    assert len({one.id, two.id}) == 2
    assert len(joined) == 1
    assert superseded == {one.id, two.id} - set(joined)


@pytest.mark.parametrize(("kind", "references"), [("event_count", 1), ("temporal", 2), ("temporal_ordered", 2)])
def test_events_exactly_a_timespan_apart_share_a_window_and_a_millisecond_more_is_too_far(
    kind: str, references: int
) -> None:
    rule = correlation(kind, span=MINUTE, references=references, comparisons=(Comparison("gte", 2),))
    for time, alerts in ((MINUTE, 1), (MINUTE + 1, 0)):
        shard = _shard(rule)
        shard.feed([hit(0, name="first", rule=rule.id, mask=1)])
        assert len(shard.feed([hit(time, name="last", rule=rule.id, mask=references)])) == alerts


def test_in_one_millisecond_events_are_together_and_in_no_order() -> None:
    for kind, alerts in (("temporal", 1), ("temporal_ordered", 0)):
        rule = correlation(kind, span=MINUTE, references=2)
        together = [hit(5, name=str(mask), rule=rule.id, mask=mask) for mask in (1, 2)]
        assert len(_shard(rule).feed(together)) == alerts


def test_nothing_is_final_before_the_suppression_period_is_over() -> None:
    rule = correlation("event_count", span=MINUTE, comparisons=THREE, suppress=10 * MINUTE)
    shard = _shard(rule)
    shard.feed([hit(n, name=str(n)) for n in range(3)])
    assert shard.advance(BASE + 2 + 10 * MINUTE) == []
    assert _said(shard.advance(BASE + 2 + 10 * MINUTE + 1)) == [("settled", 3)]


def test_an_absence_is_told_when_its_window_is_over_and_not_before() -> None:
    rule = correlation("temporal", span=MINUTE, references=2, clauses=clauses(((0,), (1,))))
    shard = _shard(rule)
    assert shard.feed([hit(0, rule=rule.id)]) == []
    assert shard.advance(BASE + MINUTE) == []
    assert _said(shard.advance(BASE + MINUTE + 1)) == [("open", 1)]


def test_only_a_hit_of_what_must_be_present_begins_the_wait_for_an_absence() -> None:
    rule = correlation("temporal", span=MINUTE, references=3, clauses=clauses(((0,), (1,))))
    shard = _shard(rule)
    shard.feed([hit(0, rule=rule.id, mask=0b100), hit(500, rule=rule.id, mask=0b001)])
    [settled] = [one for one in shard.advance(END) if one.jointsoc.alert.state == "settled"]
    assert from_rfc3339(settled.timestamp) == BASE + 500 + MINUTE


def test_a_late_hit_in_the_millisecond_of_a_snapshot_takes_its_place_in_the_chain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipeline.correlate.eager.SNAPSHOT_EVERY", 1)
    rule = correlation("temporal_ordered", span=MINUTE, references=3)
    shard = _shard(rule)
    for time, reference in ((1, 1), (2, 2), (4, 0), (5, 0), (5, 1)):
        assert shard.feed([hit(time, rule=rule.id, mask=1 << reference, name=f"{reference}")]) == []
    assert _said(shard.feed([hit(6, rule=rule.id, mask=0b100, name="last")])) == [("open", 6)]


def test_what_was_evicted_between_two_bursts_is_evidence_if_the_alert_goes_on() -> None:
    rule = correlation("event_count", span=10, comparisons=(Comparison("gte", 2),), suppress=100)
    shard = _shard(rule)
    shard.feed([hit(time, name=str(time)) for time in (0, 1, 30)])
    shard.advance(BASE + 60)
    shard.feed([hit(time, name=str(time)) for time in (70, 71)])
    assert [said for said in _said(shard.advance(END)) if said[0] == "settled"] == [("settled", 5)]


def test_a_hit_before_the_settle_line_is_refused_and_counted() -> None:
    rule = correlation("event_count", comparisons=(Comparison("gte", 1),))
    shard = _shard(rule)
    shard.advance(BASE)
    assert shard.feed([hit(-1)]) == []
    assert shard.counters.late_after_settle == 1


def test_hits_of_a_rule_that_left_the_pack_are_counted() -> None:
    shard = _shard(correlation("event_count"))
    assert shard.feed([hit(1, rule="gone")]) == []
    assert shard.counters.unknown_correlation == 1


@pytest.mark.parametrize("written", [True, False])
def test_a_changed_rule_starts_anew_and_the_others_go_on(*, written: bool) -> None:
    kept, changed = correlation("event_count", comparisons=THREE), correlation("temporal", references=2)
    store = DictStore()
    shard = Shard({kept.id: kept, changed.id: changed}, REGISTRY, store)
    shard.feed([hit(n, name=str(n), rule=rule.id) for rule in (kept, changed) for n in (1, 2)])
    if written:
        shard.save()
    other = msgspec.structs.replace(changed, fingerprint="1")
    shard = Shard({kept.id: kept, changed.id: other}, REGISTRY, store)
    assert _said(shard.feed([hit(3, name="3")])) == [("open", 3)]
    assert shard.feed([hit(3, name="3", rule=other.id, mask=2)]) == []
    shard.advance(END)
    assert shard.counters.abandoned_groups == int(written)
    shard.save()
    assert set(store.entries) == {b"shard"}


def test_each_batch_writes_what_is_new_and_never_the_whole_window() -> None:
    written: list[int] = []

    class Counting(DictStore):
        def put(self, key: bytes, value: bytes) -> None:
            written.append(len(value))
            super().put(key, value)

    rule = correlation("event_count", span=MINUTE, comparisons=(Comparison("gte", 10_000),))
    shard = _shard(rule, Counting())
    for n in range(1_000):
        shard.feed([hit(n, name=str(n))])
    assert len(written) == 1_001
    assert max(written) < 200


def test_a_group_is_read_when_something_happens_to_it_and_not_before() -> None:
    read: list[bytes] = []

    class Watching(DictStore):
        def get(self, key: bytes) -> bytes | None:
            read.append(key)
            return super().get(key)

    rule = correlation("event_count", span=MINUTE, comparisons=THREE)
    store = Watching()
    shard = _shard(rule, store)
    shard.feed([hit(n, name=str(n), group=f"group {n}") for n in range(1_000)])
    shard.save()
    read.clear()
    shard = _shard(rule, store)
    shard.feed([hit(5_000, name="another", group="group 5")])
    shard.feed([hit(5_000, name="one more", group="a new group")])
    assert len([key for key in read if len(key) == 16]) == 1
    assert _said(shard.feed([hit(6_000, name="third", group="group 5")])) == [("open", 3)]


def test_memory_holds_few_groups_and_the_store_all_of_them() -> None:
    rule = correlation("event_count", span=MINUTE, comparisons=THREE)
    shard = Shard({rule.id: rule}, REGISTRY, DictStore(), limits=Limits(live=10, journal=100))
    said = [
        alert
        for turn in range(3)
        for n in range(500)
        for alert in shard.feed([hit(turn * 1_000 + n, name=f"{turn} {n}", group=f"group {n}")])
    ]
    assert len(said) == 500
    assert [one.jointsoc.alert.state for one in shard.advance(END)] == ["settled"] * 500


def test_a_member_that_floods_a_rule_with_groups_is_refused_more_and_others_are_not() -> None:
    rule = correlation("event_count", span=MINUTE, comparisons=THREE)
    store = DictStore()
    shard = Shard({rule.id: rule}, REGISTRY, store, limits=Limits(budget=100))
    shard.feed([hit(0, member=2, group="quiet", name="first")])
    shard.feed([hit(n, group=f"flood {n}") for n in range(1_000)])
    assert shard.counters.refused_hits == {(rule.id, "ash-bank"): 901}
    shard = Shard({rule.id: rule}, REGISTRY, store, limits=Limits(budget=100))
    assert shard.feed([hit(9, member=2, group=name, name=str(n)) for name in ("quiet", "new") for n in range(3)])
    assert not shard.counters.refused_hits
    shard.feed([hit(9, group="one more", name=str(n)) for n in range(3)])
    assert shard.counters.refused_hits == {(rule.id, "ash-bank"): 3}
    shard.advance(BASE + 10 * MINUTE)
    assert _said(shard.feed([hit(10 * MINUTE, group="later", name=str(n)) for n in range(3)])) == [("open", 3)]


@pytest.mark.parametrize("other", [[99, 0], [99, {"a": 1}, "b"], "text"])
def test_state_of_another_format_is_refused_in_words(other: object) -> None:
    store = DictStore()
    store.put(b"shard", msgspec.msgpack.encode(other))
    got = 99 if isinstance(other, list) else "no version"
    with pytest.raises(ConfigError, match=f"written in another format; got {got}; expected 2"):
        _shard(correlation("event_count"), store)


def test_created_is_the_time_given_for_open_revisions_only() -> None:
    rule = correlation("event_count", comparisons=(Comparison("gte", 1),))
    shard = _shard(rule)
    [opened] = shard.feed([hit(1)], created=BASE + 777)
    [settled] = shard.advance(END, created=END)
    assert opened.event.created.endswith(".777Z")
    assert settled.event.created == settled.timestamp
