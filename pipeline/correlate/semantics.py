"""From a correlation to what evaluates it: one literal choice per type."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.correlate.chains import Chain, Chains, FullChain, GreedyOrder, PartialChain
from pipeline.correlate.correlation import Correlation
from pipeline.correlate.evaluator import Evaluator
from pipeline.correlate.windows import EventCount, Presence, Spread, ValueCount, ValuePercentile, ValueSum


def build_evaluator(correlation: Correlation, groups: Mapping[str, str]) -> Evaluator:
    """An empty window for one group of the correlation.

    Args:
        correlation: the rule.
        groups: member -> corporate group; a member that is not named is its own group.
    """
    if correlation.kind == "temporal_ordered":
        return _ordered(correlation, groups)
    inner = _counted(correlation)
    least = correlation.min_organizations
    return Spread(inner, least, groups) if least > 1 else inner


def _counted(correlation: Correlation) -> Evaluator:
    comparisons = correlation.comparisons
    match correlation.kind:
        case "event_count":
            return EventCount(comparisons)
        case "value_count":
            return ValueCount(comparisons)
        case "temporal":
            return Presence(len(correlation.references), comparisons, correlation.clauses)
        case "value_sum" | "value_avg":
            return ValueSum(comparisons, average=correlation.kind == "value_avg")
        case "value_percentile":
            assert correlation.percentile is not None
            return ValuePercentile(comparisons, correlation.percentile)
        case _:
            raise AssertionError(correlation.kind)


def _ordered(correlation: Correlation, groups: Mapping[str, str]) -> Evaluator:
    references, span, least = len(correlation.references), correlation.timespan, correlation.min_organizations

    def chain(positions: tuple[int, ...], length: int) -> Chain:
        if length == len(positions) and least <= 1:
            return FullChain(positions)
        return PartialChain(positions, length, least, span, groups)

    if correlation.clauses:
        chains = [chain(clause.present, len(clause.present)) for clause in correlation.clauses]
        return Chains(chains, span, correlation.clauses, references)
    if correlation.rising:
        return Chains([chain(tuple(range(references)), correlation.least)], span)
    return GreedyOrder(references, correlation.comparisons)
