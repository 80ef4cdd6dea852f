"""Which rules can fire on the fields that a data set forwards, and which fields the others lack.

{Image|endswith: x} and not {User: y}, of events with `Image` alone  ->  partial, missing `User`
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from msgspec import structs

from pipeline.detect.plan import (
    LEAF_TYPES,
    AllOf,
    AnyOf,
    DetectionPlan,
    Exists,
    Expression,
    Leaf,
    Not,
    Null,
    SameAs,
    Selection,
)
from pipeline.detect.routing import Names, applies, names_of
from pipeline.detect.taxonomy import ECS_MARKS, of_one_taxonomy
from schemas.event import Fields
from schemas.logsource import PREFIX, derive_logsource


class Verdict(StrEnum):
    """What a rule can do on a data set, from best to worst."""

    FULL = "full"
    """It can fire, and every field it looks at is there."""
    PARTIAL = "partial"
    """It can fire, but some of its tests look at fields that never come: a way to match, or an exclusion, is lost."""
    ALWAYS = "always"
    """It matches every event: all that could say no looks at fields that never come."""
    NEVER = "never"
    """It cannot fire without fields that never come."""
    ELSEWHERE = "elsewhere"
    """It is about another log source."""


class Feed(NamedTuple):
    """The events of one data set that have one log source."""

    dataset: str
    names: Names
    fields: frozenset[str]
    """Every field that some of these events have."""


class RuleCoverage(NamedTuple):
    """What one rule can do."""

    plan: DetectionPlan
    verdict: Verdict
    missing: tuple[str, ...]
    """The fields it looks at that never come."""
    needed: tuple[str, ...]
    """Of `never`: fewest of the missing fields (none can be left out) with which it could fire."""


class _Outcomes(NamedTuple):
    """What an expression can be."""

    true: bool
    false: bool


_ANY = _Outcomes(true=True, false=True)


def cover_rules(plans: Iterable[DetectionPlan], feeds: Sequence[Feed]) -> list[RuleCoverage]:
    """What each rule can do on some data sets together: the best of what it can do on each feed."""
    return [min((cover_rule(plan, feed) for feed in feeds), key=_rank, default=_elsewhere(plan)) for plan in plans]


def cover_rule(plan: DetectionPlan, feed: Feed) -> RuleCoverage:
    """What a rule can do on one feed.

    Three-valued: a test of a field that comes may be true or false, independently of other tests; of a field that never
    comes, `null` is true and everything else false; keywords may be found in any event.
    """
    if not applies(plan.logsource, feed.names):
        return _elsewhere(plan)
    expression = of_one_taxonomy(plan.expression, ecs=not feed.fields.isdisjoint(ECS_MARKS))
    missing = tuple(sorted(_missing(expression, feed.fields)))
    outcomes = _outcomes(expression, feed.fields)
    if not outcomes.true:
        return RuleCoverage(plan, Verdict.NEVER, missing, _fewest(expression, feed.fields, missing))
    if not outcomes.false:
        return RuleCoverage(plan, Verdict.ALWAYS if missing else Verdict.FULL, missing, ())
    return RuleCoverage(plan, Verdict.PARTIAL if missing else Verdict.FULL, missing, ())


def learn_feeds(events: Iterable[Fields]) -> list[Feed]:
    """The feeds that a sample of events shows; a data set without a name is called by its log source."""
    found: dict[tuple[str, Names], set[str]] = {}
    for event in events:
        fields = dict(event)
        derive_logsource(fields)
        names = names_of(fields)
        forwarded = (name for name in event if not name.startswith(PREFIX))
        found.setdefault((_dataset_of(fields, names), names), set()).update(forwarded)
    feeds = [Feed(dataset, names, frozenset(fields)) for (dataset, names), fields in found.items()]
    return sorted(feeds, key=lambda feed: (feed.dataset, [sorted(part) for part in feed.names]))


def _dataset_of(fields: Fields, names: Names) -> str:
    stated = fields.get("event.dataset")
    if isinstance(stated, str):
        return stated
    product, category, service = (sorted(part) for part in names)
    return ".".join([*product[:1], *(service or category)[:1]]) or "unknown"


def _outcomes(expression: Expression, forwarded: Collection[str]) -> _Outcomes:
    match expression:
        case AllOf(parts):
            each = [_outcomes(part, forwarded) for part in parts]
            return _Outcomes(true=all(one.true for one in each), false=any(one.false for one in each))
        case AnyOf(parts):
            each = [_outcomes(part, forwarded) for part in parts]
            return _Outcomes(true=any(one.true for one in each), false=all(one.false for one in each))
        case Not(part):
            inner = _outcomes(part, forwarded)
            return _Outcomes(true=inner.false, false=inner.true)
        case Selection(_, part):
            return _outcomes(part, forwarded)
    return _outcomes_of_leaf(expression, forwarded)


def _outcomes_of_leaf(leaf: Leaf, forwarded: Collection[str]) -> _Outcomes:
    if not _absent(leaf, forwarded):
        return _ANY
    absence = isinstance(leaf, Null)
    return _Outcomes(true=absence, false=not absence)


def _missing(expression: Expression, forwarded: Collection[str]) -> set[str]:
    """The absent fields; of several that get the same test (the ECS names of one field), one that comes is enough."""
    match expression:
        case AllOf(parts) | AnyOf(parts):
            each = [_missing(part, forwarded) for part in parts]
            either = isinstance(expression, AnyOf) or all(isinstance(part, Null) for part in parts)
            enough = either and _is_one_test(parts) and not all(each)
            return set() if enough else set[str]().union(*each)
        case Not(part) | Selection(_, part):
            return _missing(part, forwarded)
    return set(_absent(expression, forwarded))


def _is_one_test(parts: tuple[Expression, ...]) -> bool:
    tests = {structs.replace(part, field="") for part in parts if isinstance(part, LEAF_TYPES)}
    return len(tests) == 1 and all(isinstance(part, LEAF_TYPES) for part in parts)


def _absent(leaf: Leaf, forwarded: Collection[str]) -> list[str]:
    """Those of the fields a leaf looks at that never come."""
    looked_at = (leaf.field, leaf.other) if isinstance(leaf, SameAs) else (leaf.field,)
    absent = [field for field in looked_at if field is not None and field not in forwarded]
    if absent and isinstance(leaf, Exists | Null) and any(name.startswith(f"{leaf.field}.") for name in forwarded):
        return []
    return absent


def _fewest(expression: Expression, forwarded: Collection[str], missing: tuple[str, ...]) -> tuple[str, ...]:
    """Missing fields with which the expression could be true, none of which can be left out; none if nothing helps."""
    needed = list(missing)
    if not _outcomes(expression, {*forwarded, *needed}).true:
        return ()
    for field in missing:
        rest = [name for name in needed if name != field]
        if _outcomes(expression, {*forwarded, *rest}).true:
            needed = rest
    return tuple(needed)


def _elsewhere(plan: DetectionPlan) -> RuleCoverage:
    return RuleCoverage(plan, Verdict.ELSEWHERE, (), ())


def _rank(found: RuleCoverage) -> tuple[int, int]:
    return list(Verdict).index(found.verdict), len(found.missing)
