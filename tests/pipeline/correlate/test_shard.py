from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.correlate.correlation import Comparison, Correlation
from schemas.alert import SETTLED_REVISION, SUPERSEDED_REVISION
from tests.pipeline.correlate.naive import naive_alerts
from tests.pipeline.correlate.streams import (
    REGISTRY,
    Outcome,
    clauses,
    correlation,
    deliver,
    examples,
    expected,
    hit,
    streams,
)

GROUPS = REGISTRY.groups()


def _at_least(number: float) -> tuple[Comparison, ...]:
    return (Comparison("gte", number),)


def _between(low: float, high: float) -> tuple[Comparison, ...]:
    return Comparison("gt", low), Comparison("lte", high)


# name -> (kind, references, variants); each variant is a change to the correlation
FAMILIES: dict[str, tuple[str, int, list[dict[str, Any]]]] = {
    "count": ("event_count", 1, [{"comparisons": _at_least(k)} for k in (1, 2, 3, 5)]),
    "count weighted": ("event_count", 1, [{"comparisons": _at_least(k), "weight": "w"} for k in (2, 4, 7)]),
    "count at groups": (
        "event_count",
        2,
        [{"comparisons": _at_least(k), "min_organizations": m} for k, m in ((1, 2), (3, 2), (4, 3), (2, 4))],
    ),
    "values": ("value_count", 1, [{"comparisons": _at_least(k)} for k in (1, 2, 3)]),
    "values at groups": (
        "value_count",
        1,
        [{"comparisons": (Comparison("gt", k),), "min_organizations": m} for k, m in ((1, 2), (2, 2), (1, 3))],
    ),
    "temporal": ("temporal", 3, [{"comparisons": _at_least(k)} for k in (1, 2, 3)]),
    "temporal at groups": ("temporal", 2, [{"min_organizations": m} for m in (2, 3)]),
    "ordered": ("temporal_ordered", 3, [{}]),
    "ordered, some": ("temporal_ordered", 4, [{"comparisons": _at_least(k)} for k in (1, 2, 3)]),
    "ordered at 2 groups": (
        "temporal_ordered",
        3,
        [{"comparisons": _at_least(k), "min_organizations": 2} for k in (2, 3)],
    ),
    "ordered at 3 groups": (
        "temporal_ordered",
        4,
        [{"comparisons": _at_least(k), "min_organizations": 3} for k in (3, 4)],
    ),
    "boolean": (
        "temporal",
        3,
        [{"clauses": clauses(((0, 1), ()), ((2,), ()))}, {"clauses": clauses(((0, 2), ()), ((1, 2), ()))}],
    ),
    "boolean ordered": (
        "temporal_ordered",
        3,
        [
            {"clauses": clauses(((0, 1), ()), ((1, 2), ()))},
            {"clauses": clauses(((0, 1, 2), ())), "min_organizations": 2},
        ],
    ),
    "absence": (
        "temporal",
        3,
        [
            {"clauses": clauses(((0,), (1,)))},
            {"clauses": clauses(((0, 2), (1,)))},
            {"clauses": clauses(((0,), (1, 2)), ((1, 2), ()))},
            {"clauses": clauses(((0,), (1,))), "min_organizations": 2},
        ],
    ),
    "absence ordered": (
        "temporal_ordered",
        3,
        [
            {"clauses": clauses(((0, 1), (2,)))},
            {"clauses": clauses(((0, 1), (2,)), ((2,), (0,)))},
            {"clauses": clauses(((0, 1), (2,))), "min_organizations": 2},
        ],
    ),
    "sum": ("value_sum", 1, [{"comparisons": _at_least(2.5)}, {"comparisons": _between(-1, 1.5)}]),
    "sum that only grows": ("value_sum", 1, [{"comparisons": _at_least(k), "nonnegative": True} for k in (0.5, 2.5)]),
    "average": ("value_avg", 1, [{"comparisons": _at_least(0.5)}, {"comparisons": (Comparison("lt", 0.25),)}]),
    "percentile": (
        "value_percentile",
        1,
        [
            {"percentile": p, "comparisons": c}
            for p, c in ((50, _at_least(1)), (95, _between(0, 2)), (12.5, _at_least(0)))
        ],
    ),
    "few": ("event_count", 1, [{"comparisons": _between(1, 3)}, {"comparisons": (Comparison("lt", 3),)}]),
    "exactly": ("value_count", 1, [{"comparisons": (Comparison("eq", 2),)}, {"comparisons": (Comparison("neq", 1),)}]),
    "few references": (
        "temporal",
        3,
        [{"comparisons": (Comparison("lte", 2),)}, {"comparisons": (Comparison("eq", 2),)}],
    ),
    "few, ordered": (
        "temporal_ordered",
        3,
        [
            {"comparisons": (Comparison("lte", 2),)},
            {"comparisons": (Comparison("eq", 3),)},
            {"comparisons": _between(1, 3)},
        ],
    ),
}


@st.composite
def _cases(draw: st.DrawFn, name: str) -> tuple[Correlation, Any, Random]:
    kind, references, variants = FAMILIES[name]
    changes = draw(st.sampled_from(variants))
    suppress = draw(st.sampled_from([10, 10, 3, 25]))
    settle_after = draw(st.sampled_from([None, None, 5]))
    rule = correlation(kind, references=references, suppress=suppress, settle_after=settle_after, **changes)
    hits = draw(
        streams(
            rule.id,
            references=references,
            values=kind.startswith("value_"),
            least_value=0 if rule.nonnegative else -3,
            weights=rule.weight is not None,
            least=10 if rule.min_organizations > 1 or rule.clauses else 0,
            most=18 if kind == "temporal_ordered" else 24,
            horizon=draw(st.sampled_from([20, 40])) if kind == "temporal_ordered" else draw(st.sampled_from([30, 60])),
        )
    )
    return rule, hits, Random(draw(st.integers(0, 2**32)))


@pytest.fixture(autouse=True)
def frequent_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams here are short; let late hits go back to copies of the chains all the same."""
    monkeypatch.setattr("pipeline.correlate.eager.SNAPSHOT_EVERY", 2)


@pytest.mark.parametrize("name", FAMILIES)
def test_settled_alerts_are_those_of_the_definitions_whatever_the_order(name: str) -> None:
    @examples
    @given(_cases(name))
    def check(case: tuple[Correlation, Any, Random]) -> None:
        rule, hits, random = case
        wanted = expected(naive_alerts([rule], hits, GROUPS), [rule])
        first = deliver([rule], hits, random)
        assert first.settled == wanted
        check_life(first)
        silent = random.choice((True, False))
        second = deliver([rule], hits, random, shuffle=random.choice((0.0, 0.1)), settled_only=silent)
        assert settled_documents(second) == settled_documents(first)
        assert not silent or len(second.alerts) == len(second.settled)

    check()


def test_hits_of_one_millisecond_are_told_alike_whatever_their_order() -> None:
    rule = correlation("event_count")
    hits = [hit(0, name=str(number)) for number in range(14)]
    wanted = expected(naive_alerts([rule], hits, GROUPS), [rule])
    for seed in range(300):
        assert deliver([rule], hits, Random(seed)).settled == wanted, seed


@pytest.mark.parametrize("name", FAMILIES)
def test_an_eager_rule_alerts_with_the_completing_hit_and_others_wait(name: str) -> None:
    @examples
    @given(_cases(name))
    def check(case: tuple[Correlation, Any, Random]) -> None:
        rule, hits, random = case

        def look(outcome: Outcome, delivered: Any) -> None:
            if not rule.eager:
                assert not outcome.alerts
                return
            wanted = expected(naive_alerts([rule], delivered, GROUPS), [rule])
            assert outcome.live() == {one.id for one in wanted}

        deliver([rule], hits, random, moves=0, look=look)

    check()


def settled_documents(outcome: Outcome) -> list[bytes]:
    return sorted(one.to_json() for one in outcome.alerts if one.jointsoc.alert.state == "settled")


def check_life(outcome: Outcome) -> None:
    """Revisions of one id never fall, a tombstone is the last word, and every id leads to a settled alert."""
    newest: dict[str, int] = {}
    for alert in outcome.alerts:
        revision = alert.jointsoc.alert.revision
        assert revision >= newest.get(alert.id, 0)
        newest[alert.id] = revision
        if revision == SUPERSEDED_REVISION:
            assert alert.jointsoc.alert.superseded_by not in (None, alert.id)
    documents = outcome.latest()
    for alert in documents.values():
        state = alert.jointsoc.alert
        assert state.state != "open"
        if state.state == "superseded":
            assert documents[str(state.superseded_by)].jointsoc.alert.state == "settled"
        else:
            assert state.revision == SETTLED_REVISION + sum(member.count for member in alert.jointsoc.members)
