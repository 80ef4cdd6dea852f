"""Correlation by its definitions alone, over a finished set of hits: slow, plain, and written without the engine."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from typing import Any, NamedTuple

from pipeline.correlate.correlation import Clause, Correlation
from pipeline.correlate.identity import stable_number
from schemas.hit import GroupHit, Hit

OPERATORS = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
    "neq": operator.ne,
}


class NaiveAlert(NamedTuple):
    """What a settled alert must say."""

    correlation: str
    group: tuple[str, ...]
    start: int
    last: int
    count: int
    members: tuple[tuple[str, int, int, int], ...]
    """(member, first, last, count), in order of spread."""
    evidence: tuple[str, ...]
    """Event ids of the five earliest and five latest hits, in the order of time."""


def naive_alerts(
    correlations: Iterable[Correlation], hits: Iterable[GroupHit], groups: Mapping[str, str]
) -> list[NaiveAlert]:
    """Every alert of a finished stream; a correlation comes after those that it refers to."""
    found, arrived = [], list(hits)
    rules = list(correlations)
    for correlation in rules:
        by_group: dict[tuple[str, ...], dict[Any, Hit]] = {}
        for hit in arrived:
            if hit.correlation == correlation.id:
                identity = hit.hit.time, hit.hit.hid, hit.hit.value
                by_group.setdefault(hit.group, {})[identity] = hit.hit
        for group, distinct in by_group.items():
            instants = naive_instants(correlation, list(distinct.values()), groups)
            if correlation.alerts:
                found += _group_alerts(correlation, group, list(distinct.values()), instants)
            for instant in instants:
                window = [hit for hit in distinct.values() if instant - correlation.timespan <= hit.time <= instant]
                for parent in rules:
                    arrived += naive_referral(correlation, parent, group, instant, window)
    return sorted(found)


def naive_referral(
    child: Correlation, parent: Correlation, group: tuple[str, ...], instant: int, window: Sequence[Hit]
) -> list[GroupHit]:
    """What one satisfied time of `child` is to `parent`: one hit, or one for each member if it asks for members."""
    found = []
    for position, reference in enumerate(parent.references):
        if reference.id != child.id:
            continue
        carried = dict(zip(child.group_by, group, strict=True))
        key = [reference.fields.get(name, name) for name in parent.group_by]
        value = [reference.fields.get(name, name) for name in parent.values]
        everyone = sorted({member for hit in window for member in hit.members})
        last = max(hit.time for hit in window)
        witness = min((hit for hit in window if hit.time == last), key=lambda hit: hit.event_id)
        apart = any(name not in carried for name in (*key, *value))
        for members in [[member] for member in everyone] if apart else [everyone]:
            fields = {"organization.id": members[0], **carried}
            counted = stable_number(*(fields[name] for name in value), bits=63) if value else None
            hid = stable_number(child.id, child.fingerprint, *group, instant)
            more = {"event_id": witness.event_id, "also": tuple(members[1:])}
            hit = Hit(instant, hid, 1 << position, members[0], counted, **more)
            found.append(GroupHit(parent.id, tuple(fields[name] for name in key), hit))
    return found


def _group_alerts(
    correlation: Correlation, group: tuple[str, ...], hits: list[Hit], instants: Iterable[int]
) -> list[NaiveAlert]:
    episodes: list[list[int]] = []
    for instant in sorted(instants):
        if episodes and instant - episodes[-1][1] <= correlation.suppress:
            episodes[-1][1] = instant
        else:
            episodes.append([instant, instant])
    return [_alert(correlation, group, start, last, hits) for start, last in episodes]


def _alert(correlation: Correlation, group: tuple[str, ...], start: int, last: int, hits: list[Hit]) -> NaiveAlert:
    evidence = [hit for hit in hits if start - correlation.timespan <= hit.time <= last]
    evidence.sort(key=lambda hit: (hit.time, hit.hid, hit.value is not None, hit.value or 0))
    members = []
    for member in {member for hit in evidence for member in hit.members}:
        times = [hit.time for hit in evidence if member in hit.members]
        members.append((member, min(times), max(times), len(times)))
    members.sort(key=lambda member: (member[1], member[0]))
    sample = evidence if len(evidence) <= 10 else evidence[:5] + evidence[-5:]
    ids = tuple(hit.event_id for hit in sample)
    return NaiveAlert(correlation.id, group, start, last, len(evidence), tuple(members), ids)


def naive_instants(correlation: Correlation, hits: Sequence[Hit], groups: Mapping[str, str]) -> set[int]:
    """Every time at which the condition holds."""
    span = correlation.timespan
    instants = set()
    for anchor in {hit.time for hit in hits}:
        window = [hit for hit in hits if anchor - span <= hit.time <= anchor]
        if correlation.clauses:
            clauses = [clause for clause in correlation.clauses if not clause.absent]
            satisfied = any(_clause_holds(correlation, clause, window, groups) for clause in clauses)
        else:
            satisfied = _window_holds(correlation, window, groups)
        if satisfied:
            instants.add(anchor)
    for clause in correlation.clauses:
        if clause.absent:
            for anchor in {hit.time for hit in hits if any(hit.mask >> slot & 1 for slot in clause.present)}:
                window = [hit for hit in hits if anchor <= hit.time <= anchor + span]
                if _clause_holds(correlation, clause, window, groups):
                    instants.add(anchor + span)
    return instants


def _clause_holds(correlation: Correlation, clause: Clause, window: Sequence[Hit], groups: Mapping[str, str]) -> bool:
    if any(hit.mask >> slot & 1 for hit in window for slot in clause.absent):
        return False
    if correlation.kind == "temporal_ordered":
        return _some_chain(window, clause.present, correlation.min_organizations, groups)
    present = all(any(hit.mask >> slot & 1 for hit in window) for slot in clause.present)
    return present and _wide_enough(correlation, window, groups)


def _window_holds(correlation: Correlation, window: Sequence[Hit], groups: Mapping[str, str]) -> bool:
    if correlation.kind == "temporal_ordered":
        return _ordered_holds(correlation, window, groups)
    return _passes(correlation, _metric(correlation, window)) and _wide_enough(correlation, window, groups)


def _metric(correlation: Correlation, window: Sequence[Hit]) -> Fraction | None:
    values = sorted(int(hit.value) for hit in window if hit.value is not None)
    match correlation.kind:
        case "event_count":
            return Fraction(sum(hit.weight for hit in window))
        case "value_count":
            return Fraction(len(set(values)))
        case "temporal":
            return Fraction(
                sum(any(hit.mask >> slot & 1 for hit in window) for slot in range(len(correlation.references)))
            )
        case "value_sum":
            return Fraction(sum(values), 10**6) if values else None
        case "value_avg":
            return Fraction(sum(values), 10**6 * len(values)) if values else None
        case "value_percentile":
            return _percentile(values, Fraction(str(correlation.percentile))) if values else None
    raise AssertionError(correlation.kind)


def _percentile(values: list[int], percentile: Fraction) -> Fraction:
    rank = (len(values) - 1) * percentile / 100
    below = int(rank)
    above = min(below + 1, len(values) - 1)
    return (values[below] + (values[above] - values[below]) * (rank - below)) / Fraction(10**6)


def _ordered_holds(correlation: Correlation, window: Sequence[Hit], groups: Mapping[str, str]) -> bool:
    slots = range(len(correlation.references))
    if all(comparison.op in ("gt", "gte") for comparison in correlation.comparisons):
        wanted = max(
            int(comparison.number) + 1 if comparison.op == "gt" else int(-(-comparison.number // 1))
            for comparison in correlation.comparisons
        )
        return any(
            _some_chain(window, chosen, correlation.min_organizations, groups) for chosen in combinations(slots, wanted)
        )
    times = {slot: sorted(hit.time for hit in window if hit.mask >> slot & 1) for slot in slots}
    previous = None
    for slot in slots:
        if times[slot]:
            later = [time for time in times[slot] if previous is None or time > previous]
            if not later:
                return False
            previous = later[0]
    return _passes(correlation, Fraction(sum(1 for slot in slots if times[slot])))


def _some_chain(window: Sequence[Hit], slots: Sequence[int], least: int, groups: Mapping[str, str]) -> bool:
    """Whether hits of the slots, in order, stand at strictly increasing times and at enough corporate groups."""
    return any(
        len({groups.get(member, member) for hit in chain for member in hit.members}) >= least
        for chain in _chains(window, slots, None)
    )


def _chains(window: Sequence[Hit], slots: Sequence[int], after: int | None) -> Iterator[tuple[Hit, ...]]:
    if not slots:
        yield ()
        return
    for hit in window:
        if hit.mask >> slots[0] & 1 and (after is None or hit.time > after):
            for rest in _chains(window, slots[1:], hit.time):
                yield (hit, *rest)


def _wide_enough(correlation: Correlation, window: Sequence[Hit], groups: Mapping[str, str]) -> bool:
    hit_groups = {groups.get(member, member) for hit in window for member in hit.members}
    return len(hit_groups) >= correlation.min_organizations


def _passes(correlation: Correlation, metric: Fraction | None) -> bool:
    if metric is None:
        return False
    return all(
        OPERATORS[comparison.op](metric, Fraction(Decimal(str(comparison.number))))
        for comparison in correlation.comparisons
    )
