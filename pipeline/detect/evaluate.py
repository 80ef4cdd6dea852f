"""All rules against one event."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import getitem
from typing import Any, Final

from pipeline.detect.formula import Atoms
from pipeline.detect.nodes import Getter, Memory, Node, Route, getter, is_one_of_its_kind
from pipeline.detect.plan import DetectionPlan, LogSource
from pipeline.detect.routing import Names, applies, names_of
from pipeline.detect.tables import Tables
from schemas.event import Fields, Value
from schemas.logsource import deciding_fields, derive_logsource

MEMO_BYTES: Final = 64 * 1024 * 1024
"""What a detector may remember; then it starts afresh. High-cardinality values cannot grow it."""
_SHAPE_BYTES: Final = 300


class Detector:
    """Holds compiled plans; `match` says which of them an event fulfils.

    Args:
        plans: the detections; their positions are what `match` returns.
        routed: put an event only to the rules of its log source: what it states or `derive_logsource` finds; false: to
            all of them.
        assumed: `jointsoc.logsource.*` of events that have none of their own.
        memo_bytes: what remembered values may take.

    Raises:
        RuleError: a plan with a regular expression that does not compile (a damaged pack).
    """

    def __init__(
        self,
        plans: Sequence[DetectionPlan],
        *,
        routed: bool = True,
        assumed: Fields | None = None,
        memo_bytes: int = MEMO_BYTES,
    ) -> None:
        self.plans = tuple(plans)
        self._routed = routed
        self._assumed = assumed or {}
        self._memo_bytes = memo_bytes
        atoms = Atoms()
        self._formulas = [atoms.formula(plan.expression) for plan in self.plans]
        self._tables = Tables(atoms)
        # Thousands of rules are about a hundred log sources.
        self._by_logsource: dict[LogSource, list[int]] = {}
        for index, plan in enumerate(self.plans):
            self._by_logsource.setdefault(plan.logsource, []).append(index)
        self._forget()

    def match(self, fields: Fields) -> tuple[int, ...]:
        """Indexes of the plans the event fulfils, ascending. Never raises, whatever the fields hold."""
        shape = self._shapes[tuple(fields)]
        node, others = shape[shape.stated(fields)]
        matched, rest, near = node[tuple(map(getitem, node.memos, node.values_of(fields)))]
        if rest is not None:
            more = rest.matched(fields, keywords=near or node.gate.may_be_in(others(fields)))
            return tuple(sorted((*matched, *more))) if more else matched
        return matched

    def names_of(self, fields: Fields) -> Names:
        """The log source an event is taken to have: its products, categories and services."""
        stated = {field: fields[field] for field in deciding_fields(fields)}
        derive_logsource(stated)
        return names_of({**self._assumed, **stated})

    def routed_rules(self, fields: Fields) -> tuple[int, ...]:
        """Indexes of the plans that are about the event's log source."""
        if not self._routed:
            return tuple(range(len(self.plans)))
        names = self.names_of(fields)
        known = self._rules_of.get(names)
        if known is None:
            applying = [rules for logsource, rules in self._by_logsource.items() if applies(logsource, names)]
            known = self._rules_of[names] = tuple(sorted(chain.from_iterable(applying)))
            self.memory.spend(_SHAPE_BYTES + 8 * len(known))
        return known

    def routed_count(self, fields: Fields) -> int:
        """How many plans are about the event's log source."""
        return len(self.routed_rules(fields))

    def node(self, stated: Fields, names: tuple[str, ...]) -> Node:
        """The node for events that state this log source and have fields of these names."""
        rules = self.routed_rules(stated)
        route = self._routes.get(rules)
        if route is None:
            formulas = [(rule, self._formulas[rule]) for rule in rules]
            route = self._routes[rules] = Route(formulas, self._tables, self.memory)
        return route.node(names)

    def _forget(self) -> None:
        # What an event in hand still uses lives on until it is done.
        self.memory = Memory(self._memo_bytes, self._forget)
        self._shapes = _Shapes(self)
        self._rules_of: dict[Names, tuple[int, ...]] = {}
        self._routes: dict[tuple[int, ...], Route] = {}


class _Shapes(dict[tuple[str, ...], "_Shape"]):
    """From the names of an event's fields to its shape."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def __missing__(self, names: tuple[str, ...]) -> _Shape:
        shape = self[names] = _Shape(names, self._detector)
        self._detector.memory.spend(100 * len(names) + _SHAPE_BYTES)
        return shape


class _Shape(dict[tuple[Any, ...], tuple[Node, Getter]]):
    """From the log source that an event states to the node for it, and the fields that the node does not ask about."""

    __slots__ = ("_ambiguous", "_detector", "_names", "_stating", "stated")

    def __init__(self, names: tuple[str, ...], detector: Detector) -> None:
        self._names = names
        self._detector = detector
        self._stating = deciding_fields(names)
        self._ambiguous: dict[tuple[Any, ...], tuple[Node, Getter]] = {}
        self.stated: Getter = getter(self._stating)

    def __missing__(self, stated: tuple[Any, ...]) -> tuple[Node, Getter]:
        typed = (*stated, *map(type, stated))
        known = self._ambiguous.get(typed)
        if known is not None:
            return known
        node = self._detector.node(dict(zip(self._stating, stated, strict=True)), self._names)
        found = node, getter([name for name in self._names if name not in node.fields])
        self._detector.memory.spend(_SHAPE_BYTES)
        if all(is_one_of_its_kind(value) or _is_of_texts(value) for value in stated):
            self[stated] = found
        elif tuple not in map(type, stated):
            self._ambiguous[typed] = found
        return found


def _is_of_texts(value: Value) -> bool:
    return type(value) is tuple and set(map(type, value)) == {str}
