"""What no ES|QL query can say of a correlation is left out of it, and told in a comment above the query.

    temporal_ordered: remote_access_spray (itself a correlation), then vpn_login_succeeded
    --> temporal: vpn_login_failed and vpn_login_succeeded, in any order

The query finds all that the rule would, and more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sigma.correlations import (
    SigmaCorrelationCondition,
    SigmaCorrelationConditionOperator,
    SigmaCorrelationRule,
    SigmaCorrelationType,
    SigmaRuleReference,
)
from sigma.exceptions import SigmaConversionError
from sigma.processing.postprocessing import QueryPostprocessingTransformation
from sigma.processing.transformations.base import PreprocessingTransformation
from sigma.rule import SigmaRule

LEFT_OUT: Final = "left_out"
"""Key in the pipeline's state."""
_RISING: Final = (SigmaCorrelationConditionOperator.GT, SigmaCorrelationConditionOperator.GTE)


@dataclass
class Widen(PreprocessingTransformation):
    """Order, and correlations that another one refers to, become what a query over events can ask for."""

    def apply(self, rule: SigmaRule | SigmaCorrelationRule) -> None:
        """Widen a correlation.

        Raises:
            SigmaConversionError: the wider query would miss something.
        """
        super().apply(rule)
        if isinstance(rule, SigmaCorrelationRule) and (left_out := list(_widened(rule))):
            assert self._pipeline is not None
            self._pipeline.state[LEFT_OUT] = f"{rule.title}: wider than the rule, without {' and '.join(left_out)}"


@dataclass
class TellWider(QueryPostprocessingTransformation):
    """A comment above an ES|QL query that is wider than its rule."""

    def apply(self, rule: SigmaRule | SigmaCorrelationRule, query: Any) -> Any:
        """The query.

        Raises:
            SigmaConversionError: the query is in another language.
        """
        super().apply(rule, query)
        assert self._pipeline is not None
        told = self._pipeline.state.get(LEFT_OUT)
        if told is None:
            return query
        if not (isinstance(query, str) and query.startswith("from ")):
            raise SigmaConversionError(rule, rule.source, f"{told}, which only a query in ES|QL could say")
        return f"// {told}\n{query}"


def _widened(rule: SigmaCorrelationRule) -> Iterator[str]:
    if rule.type is SigmaCorrelationType.TEMPORAL_ORDERED:
        rule.type = SigmaCorrelationType.TEMPORAL
        yield "the order"
    below = [one.rule for one in rule.rules or () if isinstance(one.rule, SigmaCorrelationRule)]
    if below:
        rule.rules = rule.referenced_rules = _detections_of(rule)
        yield f"what counts in {', '.join(sorted(one.title for one in below))}"


def _detections_of(rule: SigmaCorrelationRule) -> list[SigmaRuleReference]:
    """The detections of a correlation and of those it refers to."""
    rising = isinstance(rule.condition, SigmaCorrelationCondition) and rule.condition.op in _RISING
    found = list(_leaves(rule))
    names = [one.reference for one in found]
    if not rising or len(rule.aliases) or len(set(names)) < len(names):
        told = (
            f"{rule.title}: ES|QL has no query for a correlation over correlations that bounds a number from above, "
            "has aliases, or comes to one detection twice"
        )
        raise SigmaConversionError(rule, rule.source, told)
    return found


def _leaves(rule: SigmaCorrelationRule) -> Iterator[SigmaRuleReference]:
    for reference in rule.rules or ():
        if isinstance(reference.rule, SigmaCorrelationRule):
            yield from _leaves(reference.rule)
        else:
            yield reference
