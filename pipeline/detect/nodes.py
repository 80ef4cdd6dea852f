r"""Fourth fast layer: events with the same fields, and in each of them a value of the same kind, have the same verdict.

A *node* is for one log source and one set of fields. It holds the rules that can still hold there, simplified by what
is known: tests of absent fields are decided. The numbers of what is true of its fields' values (`memos`) are the key
under which the node remembers which rules match:

    Image: C:\Windows\cmd.exe -> 17    CommandLine: whoami -> 4    node: (17, 4) -> rules 7 and 9

Fields that seldom decide are left for *later*: a verdict then says which rules are open still, and the node that asks
about those fields alone. Half the fields of an event of SigmaHQ's rules, and nine keys of ten, are saved so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import getitem, itemgetter
from typing import Any, Final, NamedTuple, Protocol

from pipeline.detect.formula import LATE, Asked, Atom, Late, TrueAtoms, compile_formula
from pipeline.detect.memos import ENTRY_BYTES, Memo, Memory, told_apart
from pipeline.detect.open_rules import OpenRule, Tests, atoms_of
from pipeline.detect.plain import compile_test
from pipeline.detect.scan import Scan
from pipeline.detect.tables import Tables
from pipeline.detect.view import EventView, logged_values
from schemas.event import Fields

Rules = tuple[OpenRule, ...]
Matched = tuple[int, ...]
Getter = Callable[[Fields], tuple[Any, ...]]
"""Some values of an event."""

MAX_KNOWN: Final = 4_096
_NOTHING: Final[TrueAtoms] = frozenset()


class Later(Protocol):
    """What is asked when rules are open."""

    def verdict(self, fields: Fields) -> Verdict:
        """Which of the open rules match."""


class Verdict(NamedTuple):
    """What has been decided of an event."""

    matched: Matched
    later: Later | None
    """What more there is to ask."""


class Sources(Protocol):
    """What a node needs of its log source."""

    tables: Tables
    memory: Memory

    def memo(self, field: str) -> Memo:
        """The memo of a field."""

    def keywords(self) -> Scan:
        """The scan for the log source's keywords."""

    def later(self, rules: Rules) -> Later:
        """What is to be asked for rules that are open; the same for the same rules."""


class Rest:
    """Rules of which only keywords and comparisons of fields are open."""

    def __init__(self, rules: Rules, source: Sources) -> None:
        self._tests = [(rule.rule, compile_formula(rule.formula)) for rule in rules]
        late = atoms_of(rules)
        self._references = {atom: compile_test(source.tables.leaves[atom]) for atom in late.get(Late.REFERENCES, ())}
        self._keywords = source.keywords() if Late.KEYWORDS in late else None
        self._known: dict[TrueAtoms, Verdict] = {}

    def verdict(self, fields: Fields) -> Verdict:
        """The rules that hold for this event."""
        true = _NOTHING if self._keywords is None else self._keywords.atoms(logged_values(fields))
        if self._references:
            view = EventView(fields)
            true |= frozenset(atom for atom, test in self._references.items() if test(view))
        known = self._known.get(true)
        if known is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            known = self._known[true] = Verdict(tuple(rule for rule, test in self._tests if test(true)), None)
        return known


class Node(dict[tuple[int, ...], Verdict]):
    """From the numbers of the atom sets of an event's fields to its verdict.

    Args:
        rules: what is left of the log source's rules; they ask about the event's fields, or are `Late`.
        certain: rules that match whatever the fields hold.
        lazy: fields that are left for later.
        source: the log source.
    """

    __slots__ = (
        "_always",
        "_by_atom",
        "_certain",
        "_indexed",
        "_rules",
        "_source",
        "_tests",
        "_unknown",
        "fields",
        "memos",
        "values_of",
    )

    def __init__(self, rules: Rules, certain: Matched, lazy: frozenset[str], source: Sources) -> None:
        self._rules = rules
        self._certain = certain
        self._source = source
        self._unknown: frozenset[Asked] = LATE | lazy
        self.fields = tuple(sorted(frozenset[str]().union(*(rule.fields for rule in rules)) - lazy))
        self.values_of = getter(self.fields)
        self.memos = [source.memo(field) for field in self.fields]
        self._tests: dict[int, Tests] = {}
        self._always: list[int] = []
        self._by_atom: dict[Atom, list[int]] = {}
        for position, rule in enumerate(rules):
            _, witnesses = rule.witnesses(self._unknown)
            if not witnesses:
                self._always.append(position)
            for atom in witnesses:
                self._by_atom.setdefault(atom, []).append(position)
        self._indexed = frozenset(self._by_atom)

    def verdict(self, fields: Fields) -> Verdict:
        """What the event's fields decide."""
        return self.verdict_of(told_apart(self.values_of(fields)))

    def verdict_of(self, values: Sequence[Any]) -> Verdict:
        """What the values of the node's fields decide; booleans have been told apart."""
        return self[tuple(map(getitem, self.memos, values))]

    def __missing__(self, key: tuple[int, ...]) -> Verdict:
        sets = self._source.memory.sets
        true = _NOTHING.union(*[sets[number] for number in key])
        candidates = set(self._always)
        for atom in true & self._indexed:
            candidates.update(self._by_atom[atom])
        matched = list(self._certain)
        open_: list[OpenRule] = []
        for position in sorted(candidates):
            rule = self._rules[position]
            tests = self._tests.get(position)
            if tests is None:
                tests = self._tests[position] = rule.tests(self._unknown)
            if tests.holds is not None:
                if tests.holds(true):
                    matched.append(rule.rule)
            elif tests.may_hold is None or tests.may_hold(true):
                found = rule.open(true, tests.unknown)
                if found is True:
                    matched.append(rule.rule)
                elif found is not False:
                    open_.append(found)
        self._source.memory.spend(8 * len(key) + ENTRY_BYTES)
        later = self._source.later(tuple(open_)) if open_ else None
        verdict = self[key] = Verdict(tuple(sorted(matched)), later)
        return verdict


def getter(fields: Sequence[str]) -> Getter:
    """The values of these fields, all of which the event has."""
    if not fields:
        return lambda _: ()
    if len(fields) == 1:
        (field,) = fields
        return lambda event: (event[field],)
    return itemgetter(*fields)
