from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from pipeline.correlate.correlation import Comparison, Correlation, Reference
from pipeline.correlate.project import Projector, shard_of
from schemas.event import Event, Fields, Origin
from schemas.hit import SHARDS, GroupHit, Hit
from tests.pipeline.correlate.streams import correlation

MATCHED = {"r0"}


def _event(fields: Fields, event_id: str = "e1", time: int = 1_000) -> Event:
    return Event(fields, Origin("events.ash", 1, 7, time), 3, "ash", event_id, time, "on_time")


def _hits(rule: Correlation, fields: Fields, matched: Collection[str] = MATCHED, **options: Any) -> list[GroupHit]:
    return [one for _, one in _with_shards(Projector([rule]), _event(fields, **options), matched)]


def _with_shards(projector: Projector, event: Event, matched: Collection[str] = MATCHED) -> list[tuple[int, GroupHit]]:
    return projector.hits(event, projector.wanted(matched))


def test_a_hit_tells_when_where_and_by_which_detections() -> None:
    rule = correlation("temporal", references=3)
    [(shard, found)] = _with_shards(Projector([rule]), _event({"source.ip": "192.0.2.1"}), ["r2", "r0", "unrelated"])
    assert (found.correlation, found.group) == (rule.id, ("192.0.2.1",))
    hit = found.hit
    assert (hit.time, hit.mask, hit.member, hit.value, hit.weight) == (1_000, 0b101, "ash", None, 1)
    assert (hit.topic, hit.partition, hit.offset, hit.line, hit.event_id) == ("events.ash", 1, 7, 3, "e1")
    assert shard == shard_of(rule, ("192.0.2.1",)) < SHARDS


def test_the_same_event_has_the_same_identity_wherever_it_is_read_again() -> None:
    rule = correlation("event_count")
    again = Event({"source.ip": "a"}, Origin("events.ash", 0, 99, 5_000), 0, "ash", "e1", 1_000, "on_time")
    [(_, second)] = _with_shards(Projector([rule]), again)
    assert second.hit.hid == _hits(rule, {"source.ip": "a"})[0].hit.hid
    assert second.hit.hid != _hits(rule, {"source.ip": "a"}, event_id="e2")[0].hit.hid


def test_an_event_that_no_correlation_asks_for_is_no_hit() -> None:
    assert _hits(correlation("event_count"), {"source.ip": "a"}, matched=["other"]) == []


def test_an_event_without_the_group_key_is_dropped_for_that_rule_and_counted() -> None:
    with_key, without = correlation("event_count"), correlation("value_count", values=("a",), group_by=())
    projector = Projector([with_key, without])
    for fields in ({}, {"source.ip": None}, {"source.ip": "-"}, {"source.ip": ()}):
        assert [one.correlation for _, one in _with_shards(projector, _event({**fields}))] == [without.id]
    assert projector.missing_group_key == {(with_key.id, "source.ip", "ash"): 4}


def test_an_event_later_than_a_rule_waits_is_dropped_for_that_rule_and_counted() -> None:
    soon, others = correlation("event_count", settle_after=5_000), correlation("value_count", values=("a",))
    projector = Projector([soon, others])
    for time, wanted in ((4_999, [others.id]), (5_000, [soon.id, others.id])):
        event = Event({"source.ip": "a"}, Origin("events.ash", 0, 1, 10_000), 0, "ash", "e1", time, "on_time")
        assert [one.correlation for _, one in _with_shards(projector, event)] == wanted
    assert {tuple(one): count for one, count in projector.dropped.items()} == {
        ("late_for_rule", soon.id, "@timestamp", "ash"): 1
    }


def test_each_value_of_an_array_is_a_group() -> None:
    found = _hits(correlation("event_count"), {"source.ip": ("A", "b", "a")})
    assert sorted(one.group for one in found) == [("a",), ("b",)]
    assert len({one.hit.hid for one in found}) == 1


def test_aliases_name_the_field_of_each_detection() -> None:
    references = Reference("r0", "Zero", {"ip": "source.ip"}), Reference("r1", "One", {"ip": "client.ip"})
    rule = msgspec.structs.replace(correlation("temporal", references=2), references=references, group_by=("ip",))
    both: Fields = {"source.ip": "a", "client.ip": "b"}
    assert [(one.group, one.hit.mask) for one in _hits(rule, both, ["r0", "r1"])] == [(("a",), 1), (("b",), 2)]
    same: Fields = {"source.ip": "a", "client.ip": "a"}
    assert [(one.group, one.hit.mask) for one in _hits(rule, same, ["r0", "r1"])] == [(("a",), 3)]


def test_values_are_counted_in_canonical_form_and_tuples_whole() -> None:
    rule = correlation("value_count", values=("a", "b"))
    values = [
        _hits(rule, {"source.ip": "x", **fields})[0].hit.value
        for fields in ({"a": "U", "b": 5}, {"a": "u", "b": "5"}, {"a": "u5", "b": ""}, {"a": "u"})
    ]
    assert values[0] == values[1] is not None
    assert values[2] is values[3] is None


def test_numbers_are_read_and_what_is_none_is_counted() -> None:
    rule = correlation("value_sum", values=("n",), nonnegative=True, comparisons=(Comparison("gte", 1),))
    projector = Projector([rule])
    values = [
        [one.hit.value for _, one in _with_shards(projector, _event({"source.ip": "x", "n": number}))]
        for number in (1.5, "2", "many", -1, None, (1, 1, 3))
    ]
    assert values == [[1_500_000], [2_000_000], [None], [None], [None], [1_000_000, 3_000_000]]
    assert {dropped.reason: count for dropped, count in projector.dropped.items()} == {
        "not_a_number": 1,
        "negative_value": 1,
    }


def test_a_rolled_up_event_has_a_weight_and_nonsense_is_counted_not_guessed() -> None:
    rule = correlation("event_count", weight="n")
    projector = Projector([rule])
    weights = [
        [one.hit.weight for _, one in _with_shards(projector, _event({"source.ip": "x", "n": number}))]
        for number in (7, "7", None, 0, -1, 1.5, "x", (1, 2))
    ]
    assert weights == [[7], [7], [1], [], [], [], [], []]
    assert sum(projector.dropped.values()) == 5


def test_hits_travel_as_msgpack() -> None:
    found = _hits(correlation("event_count"), {"source.ip": "x"})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=list[GroupHit]) == found
    assert isinstance(found[0].hit, Hit)
