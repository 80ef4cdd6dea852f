"""All rules against one event."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import getitem
from typing import Final

from pipeline.detect.formula import Atoms
from pipeline.detect.keywords import TextGate
from pipeline.detect.memos import Memory, told_apart
from pipeline.detect.nodes import Later, Matched
from pipeline.detect.open_rules import OpenRule
from pipeline.detect.plan import DetectionPlan, LogSource, fields_of
from pipeline.detect.routes import Route
from pipeline.detect.routing import Names, applies, names_of
from pipeline.detect.shapes import Shapes, as_they_are
from pipeline.detect.tables import Tables
from schemas.event import Fields
from schemas.logsource import deciding_fields, derive_logsource

MEMO_BYTES: Final = 64 * 1024 * 1024
"""What a detector may remember; then it starts afresh. High-cardinality values cannot grow it."""
_ENTRY_BYTES: Final = 300


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
        formulas = [atoms.formula(plan.expression) for plan in self.plans]
        self._tables = Tables(atoms)
        self._rules = [OpenRule(rule, formula, self._tables) for rule, formula in enumerate(formulas)]
        self.fields = frozenset(name for plan in self.plans for name in fields_of(plan.expression))
        # Thousands of rules are about a hundred log sources.
        self._by_logsource: dict[LogSource, list[int]] = {}
        for index, plan in enumerate(self.plans):
            self._by_logsource.setdefault(plan.logsource, []).append(index)
        self._forget()

    def match(self, fields: Fields, *, near: bool = True) -> Matched:
        """Indexes of the plans the event fulfils, ascending. Never raises, whatever the fields hold.

        Args:
            fields: the event.
            near: false if `text_gate` finds neither keyword nor boolean in the JSON text that the event was read from.
        """
        shape = self._shapes[tuple(fields)]
        stated = shape.stated(fields)
        way = shape[told_apart(stated) if near else stated]
        assert way is not None
        if near or not way.gate.searched:
            node = way.loud() if way.gate.may_be_in(fields.values()) else way.node
            matched, later = node.verdict(fields)
        else:
            matched, later = way.node[tuple(map(getitem, way.memos, way.values_of(fields)))]
        return matched if later is None else with_open(matched, later, fields)

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
            self.memory.spend(_ENTRY_BYTES + 8 * len(known))
        return known

    def routed_count(self, fields: Fields) -> int:
        """How many plans are about the event's log source."""
        return len(self.routed_rules(fields))

    def route(self, stated: Fields) -> Route:
        """The rules for events that state this log source."""
        rules = self.routed_rules(stated)
        known = self._routes.get(rules)
        if known is None:
            known = self._routes[rules] = Route(tuple(self._rules[rule] for rule in rules), self._tables, self.memory)
            self.text_gate.cover(known.gate)
        return known

    def _forget(self) -> None:
        # What an event in hand still uses lives on until it is done.
        self.memory = Memory(self._memo_bytes, self._forget)
        self.text_gate = TextGate()
        self._shapes = Shapes(self, as_they_are)
        self._rules_of: dict[Names, tuple[int, ...]] = {}
        self._routes: dict[tuple[int, ...], Route] = {}
        for rule in self._rules:
            rule.begin(self.memory, {})


def with_open(matched: Matched, later: Later | None, fields: Fields) -> Matched:
    """What matches once the rules that are open have been decided too."""
    found = [*matched]
    while later is not None:
        more, later = later.verdict(fields)
        found += more
    return tuple(sorted(found))
