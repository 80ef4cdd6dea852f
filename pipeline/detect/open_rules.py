r"""Part of the fourth layer: what is left of a rule once some of its fields are known, worked out once for all nodes.

    not CommandLine contains a and Image endswith b    without CommandLine  ->  Image endswith b
                                                       without Image        ->  no match

Events of thousands of shapes leave the same few remainders of a rule. Making a node of 1,300 rules took 20 ms, nearly
all of it the same again as for the node before.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pipeline.detect.formula import (
    Asked,
    Atom,
    AtomTest,
    Formula,
    Late,
    TrueAtoms,
    compile_formula,
    possible,
    sets_of,
    simplify,
    witnesses_of,
)
from pipeline.detect.memos import ENTRY_BYTES, Memory
from pipeline.detect.tables import Tables

UNKNOWN_WEIGHT: Final = 1e6
_KEYWORDS: Final[frozenset[Asked]] = frozenset((Late.KEYWORDS,))


class Tests(NamedTuple):
    """What can be said of a rule while something is unknown."""

    holds: AtomTest | None
    """Whether it holds, if nothing is unknown."""
    may_hold: AtomTest | None
    """Whether it still may; None if nothing can be said. Most rules may not, whatever the unknown turns out to be."""
    unknown: frozenset[Asked]
    """What the rule asks about of it."""


class OpenRule:
    """A rule, or what is left of it.

    Args:
        rule: its number.
        formula: what has to hold.
        tables: the compiled atoms.

    Attributes:
        by_asked: the formula's atoms, by what they are about.
        fields: the fields it is about.
    """

    __slots__ = (
        "_asked",
        "_atoms",
        "_family",
        "_judged",
        "_left",
        "_memory",
        "_tables",
        "_tests",
        "_witnesses",
        "by_asked",
        "fields",
        "formula",
        "rule",
    )

    def __init__(self, rule: int, formula: Formula, tables: Tables) -> None:
        self.rule = rule
        self.formula = formula
        self._tables = tables
        found: dict[Asked, frozenset[Atom]] = {}
        for part in sets_of(formula):
            known = found.get(part.asked)
            found[part.asked] = part.atoms if known is None else known | part.atoms
        self.by_asked = found
        self.fields = frozenset(asked for asked in found if isinstance(asked, str))
        self._asked = frozenset(found)
        self._atoms = frozenset[Atom]().union(*found.values())

    def begin(self, memory: Memory, family: dict[Formula, OpenRule]) -> None:
        """Remember nothing yet.

        Args:
            memory: what remembering is charged to from now on.
            family: everything that is left of the same rule, by formula.
        """
        self._memory = memory
        self._family = family
        self._left: dict[tuple[frozenset[str], frozenset[str], bool], OpenRule | bool] = {}
        self._witnesses: dict[frozenset[Asked], tuple[float, frozenset[Atom]]] = {}
        self._tests: dict[frozenset[Asked], Tests] = {}
        self._judged: dict[tuple[frozenset[Asked], TrueAtoms], OpenRule | bool] = {}

    def left(self, present: frozenset[str], objects: frozenset[str], *, quiet: bool) -> OpenRule | bool:
        """What is left for events with some fields.

        Args:
            present: the fields they have.
            objects: fields they have as objects.
            quiet: they hold no keyword.
        """
        absent = self.fields - present
        quiet = quiet and Late.KEYWORDS in self._asked
        if not absent and not quiet:
            return self
        key = absent, absent & objects, quiet
        known = self._left.get(key)
        if known is None:
            true = self._tables.absent(*key[:2])
            known = self._left[key] = self._simplified(true, self._asked - absent - (_KEYWORDS if quiet else set()))
        return known

    def witnesses(self, unknown: frozenset[Asked]) -> tuple[float, frozenset[Atom]]:
        """Atoms of which one is true if the rule holds, with their weight; none if only what is unknown tells."""
        mine = unknown & self._asked
        known = self._witnesses.get(mine)
        if known is None:
            hidden = frozenset[Atom]().union(*(self.by_asked[asked] for asked in mine))
            weigh = self._tables.weigh
            found = witnesses_of(self.formula, lambda atom: UNKNOWN_WEIGHT if atom in hidden else weigh(atom))
            if found is None or not hidden.isdisjoint(found[1]):
                found = UNKNOWN_WEIGHT, frozenset()
            self._memory.spend(ENTRY_BYTES)
            known = self._witnesses[mine] = found
        return known

    def tests(self, unknown: frozenset[Asked]) -> Tests:
        """What can be said of the rule without some of what it asks about."""
        mine = unknown & self._asked
        known = self._tests.get(mine)
        if known is None:
            self._memory.spend(ENTRY_BYTES * (1 + len(self.by_asked)))
            hope = possible(self.formula, mine) if mine else False
            known = self._tests[mine] = Tests(
                None if mine else compile_formula(self.formula),
                None if isinstance(hope, bool) else compile_formula(hope),
                mine,
            )
        return known

    def open(self, true: TrueAtoms, unknown: frozenset[Asked]) -> OpenRule | bool:
        """What is open once everything but `unknown`, which it asks about, is known; or whether it holds anyway."""
        key = unknown, true & self._atoms
        known = self._judged.get(key)
        if known is None:
            known = self._judged[key] = self._simplified(true, unknown)
        return known

    def _simplified(self, true: TrueAtoms, unknown: frozenset[Asked]) -> OpenRule | bool:
        self._memory.spend(2 * ENTRY_BYTES)
        formula = simplify(self.formula, true, unknown)
        if isinstance(formula, bool):
            return formula
        known = self._family.get(formula)
        if known is None:
            known = self._family[formula] = OpenRule(self.rule, formula, self._tables)
            known.begin(self._memory, self._family)
            self._memory.spend(ENTRY_BYTES * (5 + len(known.by_asked)))
        return known


def atoms_of(rules: tuple[OpenRule, ...]) -> dict[Asked, frozenset[Atom]]:
    """The atoms of all rules, by what they are about."""
    found: dict[Asked, set[Atom]] = {}
    for rule in rules:
        for asked, atoms in rule.by_asked.items():
            found.setdefault(asked, set()).update(atoms)
    return {asked: frozenset(atoms) for asked, atoms in found.items()}
