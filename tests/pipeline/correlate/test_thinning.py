from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.correlate.correlation import Comparison, Correlation
from pipeline.correlate.shard import Limits, Shard
from pipeline.correlate.store import DictStore
from schemas.hit import GroupHit
from schemas.times import to_rfc3339
from tests.pipeline.correlate.naive import naive_alerts
from tests.pipeline.correlate.streams import (
    BASE,
    EXAMPLES,
    REGISTRY,
    Outcome,
    clauses,
    correlation,
    deliver,
    examples,
    expected,
    hit,
)

LOSSLESS: list[tuple[str, int, dict[str, Any]]] = [
    ("event_count", 1, {"comparisons": (Comparison("gte", 4),)}),
    ("event_count", 1, {"comparisons": (Comparison("gte", 6),), "weight": "w"}),
    ("event_count", 2, {"comparisons": (Comparison("gte", 3),), "min_organizations": 3}),
    ("value_count", 1, {"comparisons": (Comparison("gte", 3),)}),
    ("value_count", 1, {"comparisons": (Comparison("gte", 2),), "min_organizations": 2}),
    ("temporal", 3, {}),
    ("temporal", 3, {"clauses": clauses(((0, 1), ()), ((1, 2), ())), "min_organizations": 2}),
]


def _bursts(rule: Correlation, random: Random) -> list[GroupHit]:
    """Bursts that fill buckets of a 16th of the timespan, with quiet stretches between them."""
    hits = []
    for _ in range(random.randint(1, 5)):
        begin, length = random.randint(0, 350), random.choice((5, 40, 200))
        members = random.sample(range(5), random.randint(1, 3))
        masks = [random.randint(1, (1 << len(rule.references)) - 1) for _ in range(2)]
        for _ in range(random.randint(5, 60)):
            hits.append(
                hit(
                    begin + random.randint(0, length),
                    member=random.choices(members, weights=[20, 2, 1][: len(members)])[0],
                    mask=random.choice(masks),
                    value=random.choice((None, None, 0, 1, 2, 3))
                    if rule.values or rule.kind == "value_count"
                    else None,
                    weight=random.randint(1, 3) if rule.weight else 1,
                    name=str(len(hits)),
                    rule=rule.id,
                )
            )
    return hits


def _thinned(outcome: Outcome) -> bool:
    return any(not alert.jointsoc.alert.exact for alert in outcome.alerts)


@pytest.mark.parametrize("variant", range(len(LOSSLESS)))
def test_thinning_changes_no_alert_of_rules_that_ask_for_so_many(variant: int) -> None:
    kind, references, changes = LOSSLESS[variant]
    thinned = 0

    @examples
    @given(st.integers(0, 2**32), st.sampled_from([160, 16, 400]))
    def check(seed: int, suppress: int) -> None:
        nonlocal thinned
        random = Random(seed)
        rule = correlation(kind, span=160, references=references, suppress=suppress, **changes)
        hits = _bursts(rule, random)
        outcome = deliver([rule], hits, random, thin_above=20)
        wanted = expected(naive_alerts([rule], hits, REGISTRY.groups()), [rule])
        assert [(one.id, one.last) for one in outcome.settled] == [(one.id, one.last) for one in wanted]
        thinned += _thinned(outcome)

    check()
    assert thinned > EXAMPLES // 6


@pytest.mark.parametrize("kind", ["temporal_ordered", "value_avg", "value_percentile"])
def test_other_rules_keep_a_bounded_sample_and_say_that_they_did(kind: str) -> None:
    field = {"percentile": 50} if kind == "value_percentile" else {}
    rule = correlation(kind, span=1600, comparisons=(Comparison("gte", 1),), **field)
    hits = [hit(n // 4, member=n % 2, value=5_000_000, name=str(n), rule=rule.id) for n in range(6_000)]
    outcome = deliver([rule], hits, Random(3), shuffle=0.01, thin_above=500, restarts=0)
    [settled] = [one for one in outcome.alerts if one.jointsoc.alert.state == "settled"]
    assert not settled.jointsoc.alert.exact
    assert settled.jointsoc.events >= 6_000
    assert outcome.thinned > 4_000


def test_a_group_below_the_bound_is_exact() -> None:
    rule = correlation("event_count", span=1600, comparisons=(Comparison("gte", 10),))
    hits = [hit(n, name=str(n)) for n in range(500)]
    outcome = deliver([rule], hits, Random(3), thin_above=501)
    assert not _thinned(outcome)
    assert [one.count for one in outcome.settled] == [500]


def _thinned_shard(rule: Correlation, hits: list[GroupHit]) -> Shard:
    shard = Shard({rule.id: rule}, REGISTRY, DictStore(), limits=Limits(thin_above=20))
    assert shard.feed(hits) == []
    assert shard.counters.thinned_hits > 0
    return shard


def test_the_one_hit_at_another_group_amid_a_burst_is_kept_for_a_third_group_to_complete() -> None:
    rule = correlation("event_count", span=160, comparisons=(Comparison("gte", 3),), min_organizations=3)
    shard = _thinned_shard(rule, [hit(n // 4, member=2 if n == 20 else 0, name=str(n)) for n in range(40)])
    [alert] = shard.feed([hit(100, member=3, name="third")])
    assert alert.organization.id == ["ash-bank", "birch", "cedar"]


def test_the_last_moment_of_a_burst_is_kept_though_nothing_of_value_happened_then() -> None:
    rule = correlation("value_count", span=160, comparisons=(Comparison("gte", 2),))
    values = [hit(n // 4, value=1, name=str(n), rule=rule.id) for n in range(36)]
    shard = _thinned_shard(rule, [*values, hit(9, name="none", rule=rule.id)])
    [alert] = shard.feed([hit(0, value=2, name="late", rule=rule.id)])
    assert alert.timestamp == to_rfc3339(BASE + 9)


def test_a_weighted_count_that_asks_for_more_than_can_be_held_is_right_but_for_the_ends_of_its_window() -> None:
    rule = correlation("event_count", span=16_000, comparisons=(Comparison("gte", 100_000),), weight="w")
    hits = [hit(n, weight=10, name=str(n)) for n in range(20_000)]
    outcome = deliver([rule], hits, Random(3), shuffle=0.0, thin_above=1_000, restarts=0)
    [settled] = [one for one in outcome.alerts if one.jointsoc.alert.state == "settled"]
    first = min(one.timestamp for one in outcome.alerts)
    assert to_rfc3339(BASE + 9_000) <= first <= to_rfc3339(BASE + 11_000)
    assert not settled.jointsoc.alert.exact
    assert outcome.thinned > 15_000
