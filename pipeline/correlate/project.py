"""Matched events to hits: which correlations count an event, in which groups, with which value and weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple, get_args

from pipeline.correlate.correlation import NUMERIC, Correlation
from pipeline.correlate.identity import stable_number
from pipeline.correlate.values import FIXED_POINT, MAX_VALUES, distinct_texts, fan_out, fixed_point, single_texts
from schemas.event import Event, Value
from schemas.hit import SHARDS, GroupHit, Hit

REMEMBERED: Final = 1 << 16
"""Hashes of groups and values that a worker remembers."""

Reason = Literal["missing_group_key", "excess_values", "not_a_number", "negative_value", "bad_weight", "late_for_rule"]
REASONS: Final = get_args(Reason)
Values = tuple[int | None, ...]
_PLAIN: Final = 1 << 32
"""Whole numbers from 0 up to this need no care."""


class Dropped(NamedTuple):
    """Something of an event that a correlation does not count."""

    reason: Reason
    correlation: str
    field: str
    member: str


class Projector:
    """Turns matched events into hits.

    Nothing is left out silently: `dropped` counts it by reason, correlation, field and member.

    Args:
        correlations: the correlations of the rule pack.
    """

    def __init__(self, correlations: Sequence[Correlation]) -> None:
        self.dropped: Counter[Dropped] = Counter()
        self._projections = [_Projection(correlation, self.dropped) for correlation in correlations]
        self._users: dict[str, list[int]] = {}
        for number, correlation in enumerate(correlations):
            for reference in correlation.references:
                self._users.setdefault(reference.id, []).append(number)

    @property
    def fields(self) -> set[str]:
        """Every field of events that some correlation looks at."""
        return set().union(*(projection.fields for projection in self._projections))

    @property
    def missing_group_key(self) -> dict[tuple[str, str, str], int]:
        """(correlation, field, member) -> events not counted because they lack that field."""
        return {
            (dropped.correlation, dropped.field, dropped.member): count
            for dropped, count in self.dropped.items()
            if dropped.reason == "missing_group_key"
        }

    def wanted(self, matched: Collection[str]) -> Wanted:
        """What counts an event that matched these detections (ids); worth keeping, for it depends on nothing else."""
        named = frozenset(matched)
        users = sorted({number for detection in named for number in self._users.get(detection, ())})
        return [(projection, projection.mask(named)) for projection in map(self._projections.__getitem__, users)]

    def hits(self, event: Event, wanted: Wanted) -> list[tuple[int, GroupHit]]:
        """The hits of one event, each with its shard.

        Args:
            event: as admitted; a late one is for the caller to hold back.
            wanted: what counts it.
        """
        identity = hit_id(event)
        groups: _Groups = {}
        return [hit for projection, mask in wanted for hit in projection.hits(event, mask, identity, groups)]


Wanted = list[tuple["_Projection", int]]
"""Correlations, each with a bit for every one of its references that an event matched."""
_Groups = dict[tuple[str, ...], tuple[str, ...] | None]
"""Fields of an event -> the group that they make, if each holds one text; most correlations share it with others."""


class _Projection:
    """One correlation's view of events."""

    def __init__(self, correlation: Correlation, dropped: Counter[Dropped]) -> None:
        self._correlation = correlation
        self._dropped = dropped
        used = {*correlation.group_by, *correlation.values}
        self._aliased = any(used & reference.fields.keys() for reference in correlation.references)
        stood_for = {field for reference in correlation.references for field in reference.fields.values()}
        self.fields = used | stood_for | ({correlation.weight} if correlation.weight else set())

    def mask(self, matched: Collection[str]) -> int:
        """A bit for each of the references that are among the matched detections."""
        references = enumerate(self._correlation.references)
        return sum(1 << position for position, reference in references if reference.id in matched)

    def hits(self, event: Event, mask: int, identity: int, groups: _Groups) -> list[tuple[int, GroupHit]]:
        """The event's hits; one event that matches several references counts once in each group."""
        correlation = self._correlation
        allowed = correlation.settle_after
        if allowed is not None and event.time < event.origin.append_time - allowed:
            self._drop("late_for_rule", "@timestamp", event)
            return []
        weight = 1 if correlation.weight is None else self._weight(event, correlation.weight)
        if weight is None:
            return []
        if self._aliased:
            places = self._aliased_places(event, mask, groups)
        else:
            places = [(group, value, mask) for group, value in self._places(event, {}, groups)]
        origin = event.origin
        return [
            (
                shard_of(correlation, group),
                GroupHit(
                    correlation.id,
                    group,
                    Hit(
                        event.time,
                        identity,
                        found,
                        event.member,
                        value,
                        weight,
                        origin.topic,
                        origin.partition,
                        origin.offset,
                        event.line,
                        event.event_id,
                    ),
                ),
            )
            for group, value, found in places
        ]

    def _aliased_places(
        self, event: Event, mask: int, groups: _Groups
    ) -> list[tuple[tuple[str, ...], int | None, int]]:
        """Every (group, value), with the references that find the event there: each looks at fields of its own."""
        masks: dict[tuple[tuple[str, ...], int | None], int] = {}
        for position, reference in enumerate(self._correlation.references):
            if mask >> position & 1:
                for place in self._places(event, reference.fields, groups):
                    masks[place] = masks.get(place, 0) | 1 << position
        return [(group, value, found) for (group, value), found in masks.items()]

    def _places(
        self, event: Event, aliases: dict[str, str], groups: _Groups
    ) -> list[tuple[tuple[str, ...], int | None]]:
        """Every (group, value) of the event, field names taken through the aliases of one reference."""
        fields = event.fields
        group_by = self._correlation.group_by
        names = tuple(aliases.get(name, name) for name in group_by) if aliases else group_by
        if names not in groups:
            groups[names] = single_texts([fields.get(name) for name in names])
        single = groups[names]
        if single is not None:
            return [(single, value) for value in self._values(event, aliases)]
        fanned = fan_out([fields.get(name) for name in names])
        if fanned is None:
            missing = next(name for name in names if not distinct_texts(fields.get(name)))
            self._drop("missing_group_key", missing, event)
            return []
        if fanned.excess:
            self._drop("excess_values", names[0], event, fanned.excess)
        values = self._values(event, aliases)
        return [(group, value) for group in fanned.combinations for value in values]

    def _values(self, event: Event, aliases: dict[str, str]) -> Values:
        correlation = self._correlation
        if not correlation.values:
            return (None,)
        names = [aliases.get(name, name) for name in correlation.values] if aliases else correlation.values
        if correlation.kind in NUMERIC:
            return self._numbers(event, names[0])
        held = [event.fields.get(name) for name in names]
        single = single_texts(held)
        if single is not None:
            return (_counted(*single),)
        fanned = fan_out(held)
        if fanned is None:
            return (None,)
        if fanned.excess:
            self._drop("excess_values", names[0], event, fanned.excess)
        return tuple(_counted(*texts) for texts in fanned.combinations)

    def _numbers(self, event: Event, name: str) -> Values:
        value: Value = event.fields.get(name)
        if type(value) is int and 0 <= value < _PLAIN:
            return (value * FIXED_POINT,)
        elements = value if isinstance(value, tuple) else (value,)
        numbers: set[int] = set()
        for element in elements:
            scaled = fixed_point(element)
            if scaled is None:
                if element is not None:
                    self._drop("not_a_number", name, event)
            elif scaled < 0 and self._correlation.nonnegative:
                self._drop("negative_value", name, event)
            else:
                numbers.add(scaled)
        kept = sorted(numbers)
        if len(kept) > MAX_VALUES:
            self._drop("excess_values", name, event, len(kept) - MAX_VALUES)
        return tuple(kept[:MAX_VALUES]) or (None,)

    def _weight(self, event: Event, name: str) -> int | None:
        """The number of events this one stands for; None if it says nonsense, and then it is not counted."""
        if event.fields.get(name) is None:
            return 1
        weight = fixed_point(_single(event.fields[name]))
        if weight is None or weight < 10**6 or weight % 10**6:
            self._drop("bad_weight", name, event)
            return None
        return weight // 10**6

    def _drop(self, reason: Reason, field: str, event: Event, count: int = 1) -> None:
        self._dropped[Dropped(reason, self._correlation.id, field, event.member)] += count


def hit_id(event: Event) -> int:
    """The event's identity among hits: the same however often and wherever it is read again."""
    return stable_number(event.member, event.event_id, event.time)


def shard_of(correlation: Correlation, group: tuple[str, ...]) -> int:
    """The shard in which a group of a correlation lives: with those that it becomes a hit of, if there are any."""
    if correlation.family:
        return _shard(correlation.family, *(group[position] for position in correlation.family_key))
    return _shard(correlation.id, *group)


@lru_cache(maxsize=REMEMBERED)
def _shard(*parts: str) -> int:
    return stable_number(*parts) % SHARDS


@lru_cache(maxsize=REMEMBERED)
def _counted(*texts: str) -> int:
    """What `value_count` compares of a value."""
    return stable_number(*texts, bits=63)


def _single(value: Value) -> str | int | float | bool | None:
    return value[0] if isinstance(value, tuple) and len(value) == 1 else None if isinstance(value, tuple) else value
