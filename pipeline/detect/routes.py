"""The rules of one log source, with a node for every set of fields that its events have had."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from pipeline.detect.formula import LATE, Asked, Late
from pipeline.detect.keywords import KeywordGate
from pipeline.detect.memos import ENTRY_BYTES, Memo, Memory
from pipeline.detect.nodes import Later, Node, Rest, Rules
from pipeline.detect.open_rules import OpenRule, atoms_of
from pipeline.detect.scan import Scan
from pipeline.detect.tables import Tables

MAX_ASKING: Final = 200
"""A field that more rules ask about is looked at first."""
MAX_WITNESS_WEIGHT: Final = 1_500


class Route:
    """The rules of one log source.

    Args:
        rules: the rules.
        tables: the compiled atoms.
        memory: where the numbers of atom sets come from.
    """

    def __init__(self, rules: Rules, tables: Tables, memory: Memory) -> None:
        self.tables = tables
        self.memory = memory
        self._rules = rules
        self._atoms = atoms_of(rules)
        self.gate = KeywordGate(tables.leaves[atom] for atom in self._atoms.get(Late.KEYWORDS, ()))
        self._fields = frozenset(asked for asked in self._atoms if isinstance(asked, str))
        self._keywords: Scan | None = None
        self._memos: dict[str, Memo] = {}
        self._nodes: dict[tuple[frozenset[str], frozenset[str], bool], Node] = {}
        self._later: dict[Rules, Later] = {}

    def node(self, names: Collection[str], *, quiet: bool) -> Node:
        """The node for events with fields of these names; `quiet`: with none of the log source's keywords in them."""
        present = self._fields.intersection(names)
        objects = self.tables.objects(self._fields - present, names)
        known = self._nodes.get((present, objects, quiet))
        if known is None:
            known = self._nodes[present, objects, quiet] = self._new_node(present, objects, quiet=quiet)
        return known

    def _new_node(self, present: frozenset[str], objects: frozenset[str], *, quiet: bool) -> Node:
        left: list[OpenRule] = []
        certain: list[int] = []
        for rule in self._rules:
            found = rule.left(present, objects, quiet=quiet)
            if found is True:
                certain.append(rule.rule)
            elif found is not False:
                left.append(found)
        self.memory.spend(ENTRY_BYTES * (len(left) + len(present)))
        return Node(tuple(left), tuple(certain), _lazy_fields(left), self)

    def memo(self, field: str) -> Memo:
        """The memo of a field, as far as these rules ask about it."""
        known = self._memos.get(field)
        if known is None:
            known = self._memos[field] = Memo(self.tables.scans[field], self._atoms[field], self.memory)
        return known

    def keywords(self) -> Scan:
        """The scan for the log source's keywords; made when an event may hold one."""
        if self._keywords is None:
            atoms = self._atoms.get(Late.KEYWORDS, ())
            self._keywords = Scan({atom: self.tables.leaves[atom] for atom in atoms})
        return self._keywords

    def later(self, rules: Rules) -> Later:
        """What is asked for rules that a node left open; the same for the same open rules."""
        known = self._later.get(rules)
        if known is None:
            self.memory.spend(ENTRY_BYTES * len(rules))
            known = Node(rules, (), frozenset(), self) if any(rule.fields for rule in rules) else Rest(rules, self)
            self._later[rules] = known
        return known


def _lazy_fields(rules: Iterable[OpenRule]) -> frozenset[str]:
    """Fields that few rules ask about, each of which is decided by other fields for most events.

    A rule is when something else that it needs, a *witness*, is seldom true.
    """
    asking: dict[str, list[OpenRule]] = {}
    for rule in rules:
        for field in rule.fields:
            asking.setdefault(field, []).append(rule)
    lazy: frozenset[Asked] = frozenset()
    for field in sorted(asking, key=lambda field: (len(asking[field]), field)):
        if len(asking[field]) > MAX_ASKING:
            break
        unknown = LATE | lazy | {field}
        if all(rule.witnesses(unknown)[0] <= MAX_WITNESS_WEIGHT for rule in asking[field]):
            lazy |= {field}
    return frozenset(field for field in lazy if isinstance(field, str))
