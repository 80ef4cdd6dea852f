r"""Third fast layer: events with the same fields, and in each of them a value of the same kind, have the same verdict.

A *node* is for one log source and one set of fields. It holds the rules that can still hold there, simplified by what
is known: tests of absent fields are decided. A *memo* gives the number of the set of atoms that are true of a value;
the numbers of all the node's fields are the key under which the node remembers which rules match:

    Image memo: C:\Windows\cmd.exe -> 17    CommandLine memo: whoami -> 4    node: (17, 4) -> rules 7 and 9
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

from pipeline.detect.formula import (
    LATE,
    Asked,
    Atom,
    AtomTest,
    Formula,
    Late,
    TrueAtoms,
    asked_in,
    compile_formula,
    sets_of,
    simplify,
    witnesses_of,
)
from pipeline.detect.keywords import KeywordGate
from pipeline.detect.plain import compile_test
from pipeline.detect.scan import Scan
from pipeline.detect.tables import Tables
from pipeline.detect.view import EventView, logged_values
from schemas.event import Fields, Value

Rules = Sequence[tuple[int, Formula]]
Matched = tuple[int, ...]
Getter = Callable[[Fields], tuple[Any, ...]]
"""Some values of an event."""

MAX_VALUE: Final = 2_048
"""Longer texts hardly repeat: they are searched, not remembered."""
_ENTRY_BYTES: Final = 200
_SAME_TEXT: Final = 10**15
"""Whole numbers below this read the same whether they are integers or floats."""
MAX_KNOWN: Final = 4_096
KEYWORDS_NEAR: Final = frozenset((-1,))
"""Stands for no atom."""
_NOTHING: Final[TrueAtoms] = frozenset()


class Verdict(NamedTuple):
    """What the fields of an event decide."""

    matched: Matched
    rest: Rest | None
    """Rules that hang on keywords or on comparisons of two fields."""
    keywords_near: bool
    """Whether one of the node's fields may hold a keyword."""


class Memory:
    """Sets of atoms, each with a number; and how many bytes have been spent on remembering.

    Args:
        limit: bytes.
        exceeded: called when more are spent.
    """

    def __init__(self, limit: int, exceeded: Callable[[], None]) -> None:
        self.sets: list[TrueAtoms] = []
        self._numbers: dict[TrueAtoms, int] = {}
        self._left = limit
        self._exceeded = exceeded

    def spend(self, size: int) -> None:
        """Note what another entry takes (bytes)."""
        self._left -= size
        if self._left < 0:
            self._exceeded()

    def number(self, atoms: TrueAtoms) -> int:
        """The number of a set; equal sets have the same."""
        known = self._numbers.get(atoms)
        if known is None:
            self.spend(40 * len(atoms) + _ENTRY_BYTES)
            known = self._numbers[atoms] = len(self.sets)
            self.sets.append(atoms)
        return known


class Memo(dict[Value, int]):
    """From a field's value to the number of the set of atoms that are true of it, as far as a log source's rules ask.

    `KEYWORDS_NEAR` is added to the set if the value may hold one of the log source's keywords.
    """

    __slots__ = ("_ambiguous", "_atoms", "_gate", "_memory", "_scan")

    def __init__(self, scan: Scan, atoms: frozenset[Atom], gate: KeywordGate, memory: Memory) -> None:
        self._scan = scan
        self._atoms = atoms
        self._gate = gate
        self._memory = memory
        self._ambiguous: dict[tuple[type, Value], int] = {}

    def __missing__(self, value: Value) -> int:
        kind = type(value)
        if kind is str:
            number = self._number(value)
            if len(value) <= MAX_VALUE:  # type: ignore[arg-type]
                self._memory.spend(2 * len(value) + _ENTRY_BYTES)  # type: ignore[arg-type]
                self[value] = number
        elif kind is tuple:
            number = self._number(value)
        elif (known := self._ambiguous.get((kind, value))) is not None:
            return known
        elif is_one_of_its_kind(value):
            number = self[value] = self._number(value)
            self._memory.spend(_ENTRY_BYTES)
        else:
            number = self._number(value)
            if value in _SMALL:
                self._ambiguous[kind, value] = number
        return number

    def _number(self, value: Value) -> int:
        atoms = self._scan.atoms(value) & self._atoms
        return self._memory.number(atoms | KEYWORDS_NEAR if self._gate.may_be_in((value,)) else atoms)


_SMALL: Final = (0, 1)


def is_one_of_its_kind(value: Value) -> bool:
    """Whether no value that reads otherwise is the same dictionary key, as `True` is 1 and 10**18 is 1e18."""
    kind = type(value)
    if kind is int or kind is float:
        return -_SAME_TEXT < value < _SAME_TEXT and value not in _SMALL  # type: ignore[operator]
    return value is None or kind is str


class Rest:
    """Rules of which only keywords and comparisons of fields are open."""

    def __init__(self, rules: Rules, tables: Tables) -> None:
        self._tests = [(rule, compile_formula(formula)) for rule, formula in rules]
        references = atoms_of(rules).get(Late.REFERENCES, ())
        self._references = {atom: compile_test(tables.leaves[atom]) for atom in references}
        self._keywords = tables.keywords
        self._known: dict[TrueAtoms, Matched] = {}
        # What holds of most events: those without any of the keywords.
        self._quiet = self._holding(_NOTHING)

    def matched(self, fields: Fields, *, keywords: bool) -> Matched:
        """The rules that hold for this event.

        Args:
            fields: the event.
            keywords: whether it may hold one of the log source's keywords.
        """
        if not keywords and not self._references:
            return self._quiet
        true = self._keywords.atoms(logged_values(fields)) if keywords else _NOTHING
        if self._references:
            view = EventView(fields)
            true |= frozenset(atom for atom, test in self._references.items() if test(view))
        known = self._known.get(true)
        if known is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            known = self._known[true] = self._holding(true)
        return known

    def _holding(self, true: TrueAtoms) -> Matched:
        return tuple(rule for rule, test in self._tests if test(true))


def atoms_of(rules: Rules) -> dict[Asked, frozenset[Atom]]:
    """The atoms of all rules, by what they are about."""
    found: dict[Asked, set[Atom]] = {}
    for _, formula in rules:
        for part in sets_of(formula):
            found.setdefault(part.asked, set()).update(part.atoms)
    return {asked: frozenset(atoms) for asked, atoms in found.items()}


class Node(dict[tuple[int, ...], Verdict]):
    """From the numbers of the atom sets of an event's fields to its verdict.

    Args:
        rules: what is left of the log source's rules; they ask about the event's fields, or are `Late`.
        certain: rules that match whatever the fields hold.
        route: the log source.
    """

    __slots__ = (
        "_always",
        "_by_atom",
        "_certain",
        "_indexed",
        "_route",
        "_rules",
        "_tests",
        "fields",
        "gate",
        "memos",
        "values_of",
    )

    def __init__(self, rules: Rules, certain: Matched, route: Route) -> None:
        self._rules = rules
        self._certain = certain
        self._route = route
        self.fields = sorted(asked for asked in atoms_of(rules) if isinstance(asked, str))
        self.values_of = getter(self.fields)
        self.memos = [route.memo(field) for field in self.fields]
        self.gate = route.gate
        self._tests: dict[int, AtomTest | None] = {}
        self._always: list[int] = []
        self._by_atom: dict[Atom, list[int]] = {}
        for position, (_, formula) in enumerate(rules):
            found = witnesses_of(formula, route.tables.weigh)
            if found is None or not route.tables.late.isdisjoint(found[1]):
                self._always.append(position)
            else:
                for atom in found[1]:
                    self._by_atom.setdefault(atom, []).append(position)
        self._indexed = frozenset(self._by_atom)

    def __missing__(self, key: tuple[int, ...]) -> Verdict:
        sets = self._route.memory.sets
        true = _NOTHING.union(*[sets[number] for number in key])
        candidates = set(self._always)
        for atom in true & self._indexed:
            candidates.update(self._by_atom[atom])
        matched = list(self._certain)
        open_: list[tuple[int, Formula]] = []
        for position in sorted(candidates):
            rule, formula = self._rules[position]
            test = self._test(position)
            verdict = simplify(formula, true, LATE) if test is None else test(true)
            if verdict is True:
                matched.append(rule)
            elif verdict is not False:
                open_.append((rule, verdict))
        self._route.memory.spend(8 * len(key) + _ENTRY_BYTES)
        rest = self._route.rest(tuple(open_)) if open_ else None
        found = self[key] = Verdict(tuple(sorted(matched)), rest, not true.isdisjoint(KEYWORDS_NEAR))
        return found

    def _test(self, position: int) -> AtomTest | None:
        """The rule as a function; none if it has something late in it."""
        if position not in self._tests:
            formula = self._rules[position][1]
            self._tests[position] = compile_formula(formula) if asked_in(formula).isdisjoint(LATE) else None
        return self._tests[position]


class Route:
    """The rules of one log source, and a node for every set of fields that its events have had.

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
        self._memos: dict[str, Memo] = {}
        self._nodes: dict[tuple[frozenset[str], frozenset[str]], Node] = {}
        self._rests: dict[Rules, Rest] = {}

    def node(self, names: Collection[str]) -> Node:
        """The node for events with fields of these names."""
        present = self._fields.intersection(names)
        objects = self.tables.objects(self._fields - present, names)
        known = self._nodes.get((present, objects))
        if known is None:
            known = self._nodes[present, objects] = self._new_node(present, objects)
        return known

    def _new_node(self, present: frozenset[str], objects: frozenset[str]) -> Node:
        true = self.tables.absent(self._fields - present, objects)
        unknown = present | LATE
        left: list[tuple[int, Formula]] = []
        certain: list[int] = []
        for rule, formula in self._rules:
            verdict = simplify(formula, true, unknown)
            if verdict is True:
                certain.append(rule)
            elif verdict is not False:
                left.append((rule, verdict))
        self.memory.spend(_ENTRY_BYTES * (len(left) + len(present)))
        return Node(left, tuple(certain), self)

    def memo(self, field: str) -> Memo:
        """The memo of a field, as far as these rules ask about it."""
        known = self._memos.get(field)
        if known is None:
            known = self._memos[field] = Memo(self.tables.scans[field], self._atoms[field], self.gate, self.memory)
        return known

    def rest(self, rules: Rules) -> Rest:
        """What is open after a node; the same for the same open rules."""
        known = self._rests.get(rules)
        if known is None:
            self.memory.spend(_ENTRY_BYTES * len(rules))
            known = self._rests[rules] = Rest(rules, self.tables)
        return known


def getter(fields: Sequence[str]) -> Getter:
    """The values of these fields, all of which the event has."""
    if not fields:
        return lambda _: ()
    if len(fields) == 1:
        (field,) = fields
        return lambda event: (event[field],)
    return itemgetter(*fields)
