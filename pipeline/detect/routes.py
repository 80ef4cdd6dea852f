"""The rules of one log source, with a node for every set of fields that its events have had."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from pipeline.detect.formula import LATE, Atom, Formula, Late, TrueAtoms, asked_in, simplify, witnesses_of
from pipeline.detect.keywords import KeywordGate
from pipeline.detect.memos import ENTRY_BYTES, Memo, Memory
from pipeline.detect.nodes import UNKNOWN_WEIGHT, Later, Node, Rest, Rules, atoms_of
from pipeline.detect.scan import Scan
from pipeline.detect.tables import Tables

MAX_ASKING: Final = 200
"""A field that more rules ask about is looked at first."""
MAX_WITNESS_WEIGHT: Final = 1_500
_KEYWORDS_ONLY: Final = frozenset((Late.KEYWORDS,))


class Route:
    """The rules of one log source.

    Args:
        rules: the rules and their formulas.
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
        true = self.tables.absent(self._fields - present, objects)
        unknown = present | (LATE - _KEYWORDS_ONLY if quiet else LATE)
        left: list[tuple[int, Formula]] = []
        certain: list[int] = []
        for rule, formula in self._rules:
            verdict = simplify(formula, true, unknown)
            if verdict is True:
                certain.append(rule)
            elif verdict is not False:
                left.append((rule, verdict))
        self.memory.spend(ENTRY_BYTES * (len(left) + len(present)))
        return Node(left, tuple(certain), _lazy_fields(left, self.tables), self)

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
            asks_fields = any(isinstance(asked, str) for _, formula in rules for asked in asked_in(formula))
            known = Node(rules, (), frozenset(), self) if asks_fields else Rest(rules, self)
            self._later[rules] = known
        return known


def _lazy_fields(rules: Rules, tables: Tables) -> frozenset[str]:
    """Fields that few rules ask about, each of which is decided by other fields for most events.

    A rule is when something else that it needs, a *witness*, is seldom true.
    """
    asking: dict[str, list[Formula]] = {}
    for _, formula in rules:
        for asked in asked_in(formula):
            if isinstance(asked, str):
                asking.setdefault(asked, []).append(formula)
    atoms = atoms_of(rules)
    unknown: TrueAtoms = frozenset[Atom]().union(*(atoms.get(late, ()) for late in LATE))
    lazy: set[str] = set()
    for field in sorted(asking, key=lambda field: (len(asking[field]), field)):
        if len(asking[field]) > MAX_ASKING:
            break
        without = unknown | atoms[field]
        weights = (_weight(formula, without, tables) for formula in asking[field])
        if all(weight <= MAX_WITNESS_WEIGHT for weight in weights):
            lazy.add(field)
            unknown = without
    return frozenset(lazy)


def _weight(formula: Formula, unknown: TrueAtoms, tables: Tables) -> float:
    """How often a formula is open: the weight of its lightest witness that is known."""
    found = witnesses_of(formula, lambda atom: UNKNOWN_WEIGHT if atom in unknown else tables.weigh(atom))
    return UNKNOWN_WEIGHT if found is None else found[0]
