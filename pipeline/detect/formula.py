r"""First fast layer: rules as formulas over *atoms*, tests that all rules share and that are numbered once.

    Image endswith \cmd.exe and CommandLine contains a or b   ->  Both(SomeOf(Image, {0}), SomeOf(CommandLine, {1, 2}))
    not Image endswith \cmd.exe                               ->  Inverse(SomeOf(Image, {0}))

What is true of a value is then a set of numbers, worked out once per value however many rules ask, and a rule is a few
set operations. Alternatives on one field become one operation: a list of 4,432 hashes costs as much as one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from enum import Enum
from typing import Final, NamedTuple

from pipeline.detect.plan import AllOf, AnyOf, Expression, Leaf, Not, SameAs, Selection, Text

Atom = int
TrueAtoms = frozenset[Atom]
AtomTest = Callable[[TrueAtoms], bool]


class Late(Enum):
    """What is looked at last, and only for rules that everything else left open."""

    KEYWORDS = "keywords"
    REFERENCES = "field references"


Asked = str | Late
"""What an atom is about: a field, or something that is not one field's value."""

LATE: Final[frozenset[Asked]] = frozenset(Late)


class SomeOf(NamedTuple):
    """At least one of these atoms is true."""

    asked: Asked
    atoms: frozenset[Atom]


class EachOf(NamedTuple):
    """All of these atoms are true."""

    asked: Asked
    atoms: frozenset[Atom]


class Both(NamedTuple):
    """All parts hold."""

    parts: tuple[Formula, ...]


class Either(NamedTuple):
    """Some part holds."""

    parts: tuple[Formula, ...]


class Inverse(NamedTuple):
    """The part does not hold."""

    part: Formula


Formula = SomeOf | EachOf | Both | Either | Inverse


class Atoms:
    """Every distinct leaf of all rules, by number."""

    def __init__(self) -> None:
        self.leaves: list[Leaf] = []
        self._numbers: dict[Leaf, Atom] = {}

    def formula(self, expression: Expression) -> Formula:
        """An expression as a formula; leaves not met before get numbers."""
        match expression:
            case AllOf(parts):
                return _joined(Both, EachOf, [self.formula(part) for part in parts])
            case AnyOf(parts):
                return _joined(Either, SomeOf, [self.formula(part) for part in parts])
            case Not(part):
                return Inverse(self.formula(part))
            case Selection(_, part):
                return self.formula(part)
        leaf = _folded(expression)
        number = self._numbers.get(leaf)
        if number is None:
            number = self._numbers[leaf] = len(self.leaves)
            self.leaves.append(leaf)
        return SomeOf(asked_by(leaf), frozenset((number,)))

    def by_asked(self) -> dict[Asked, dict[Atom, Leaf]]:
        """The leaves, by what they are about."""
        found: dict[Asked, dict[Atom, Leaf]] = {}
        for number, leaf in enumerate(self.leaves):
            found.setdefault(asked_by(leaf), {})[number] = leaf
        return found


def asked_by(leaf: Leaf) -> Asked:
    """What a leaf is about."""
    if isinstance(leaf, SameAs):
        return Late.REFERENCES
    return Late.KEYWORDS if leaf.field is None else leaf.field


def _folded(leaf: Leaf) -> Leaf:
    """`CMD.exe` and `cmd.EXE` are one atom where case does not count."""
    if isinstance(leaf, Text) and not leaf.cased:
        return Text(leaf.field, leaf.how, leaf.text.casefold())
    return leaf


def _joined(whole: type[Both | Either], alike: type[EachOf | SomeOf], parts: Iterable[Formula]) -> Formula:
    """Parts of one kind flattened, and those about one field put together."""
    sets: dict[Asked, frozenset[Atom]] = {}
    rest: list[Formula] = []
    for part in _flattened(whole, parts):
        if isinstance(part, alike) or (isinstance(part, SomeOf | EachOf) and len(part.atoms) == 1):
            sets[part.asked] = sets.get(part.asked, frozenset()) | part.atoms
        else:
            rest.append(part)
    grouped: list[Formula] = [
        alike(asked, atoms) if len(atoms) > 1 else SomeOf(asked, atoms) for asked, atoms in sets.items()
    ]
    found = (*grouped, *rest)
    return found[0] if len(found) == 1 else whole(found)


def _flattened(whole: type[Both | Either], parts: Iterable[Formula]) -> Iterator[Formula]:
    for part in parts:
        if isinstance(part, whole):
            yield from part.parts
        else:
            yield part


def sets_of(formula: Formula) -> list[SomeOf | EachOf]:
    """The leaves of a formula, in no order."""
    found: list[SomeOf | EachOf] = []
    waiting = [formula]
    while waiting:  # a third of the time of a generator that calls itself
        part = waiting.pop()
        if isinstance(part, SomeOf | EachOf):
            found.append(part)
        elif isinstance(part, Inverse):
            waiting.append(part.part)
        else:
            waiting += part.parts
    return found


def simplify(formula: Formula, true: Collection[Atom], unknown: Collection[Asked]) -> Formula | bool:
    """What is left of a formula once everything but `unknown` is known: true, false, or a formula about that.

    >>> both = Both((SomeOf("a", frozenset({1})), SomeOf("b", frozenset({2, 3}))))
    >>> simplify(both, {1}, {"b"})
    SomeOf(asked='b', atoms=frozenset({2, 3}))
    >>> simplify(both, set(), {"b"})
    False
    """
    kind = type(formula)
    if kind is SomeOf:
        return formula if formula.asked in unknown else not formula.atoms.isdisjoint(true)  # type: ignore[union-attr]
    if kind is EachOf:
        return formula if formula.asked in unknown else formula.atoms.issubset(true)  # type: ignore[union-attr]
    if kind is Inverse:
        part = simplify(formula.part, true, unknown)  # type: ignore[union-attr]
        return not part if isinstance(part, bool) else Inverse(part)
    assert isinstance(formula, Both | Either)
    decides = kind is Either
    left: list[Formula] = []
    for one in formula.parts:
        part = simplify(one, true, unknown)
        if part is decides:
            return decides
        if not isinstance(part, bool):
            left.append(part)
    if not left:
        return not decides
    return left[0] if len(left) == 1 else type(formula)(tuple(left))


def possible(formula: Formula, unknown: Collection[Asked], *, holds: bool = True) -> Formula | bool:
    """What can be said without `unknown`: a formula that holds whenever the given one may; with `holds` false, must.

    >>> possible(Both((SomeOf("a", frozenset({1})), SomeOf("b", frozenset({2})))), {"b"})
    SomeOf(asked='a', atoms=frozenset({1}))
    >>> possible(Inverse(SomeOf("b", frozenset({2}))), {"b"})
    True
    """
    if isinstance(formula, SomeOf | EachOf):
        return holds if formula.asked in unknown else formula
    if isinstance(formula, Inverse):
        part = possible(formula.part, unknown, holds=not holds)
        return not part if isinstance(part, bool) else Inverse(part)
    decides = isinstance(formula, Either)
    parts = [possible(part, unknown, holds=holds) for part in formula.parts]
    if decides in parts:
        return decides
    left = tuple(part for part in parts if not isinstance(part, bool))
    if not left:
        return not decides
    return left[0] if len(left) == 1 else type(formula)(left)


def compile_formula(formula: Formula) -> AtomTest:
    """A formula as a function of the true atoms."""
    match formula:
        case SomeOf(_, atoms) if len(atoms) == 1:
            (atom,) = atoms
            return lambda true: atom in true
        case SomeOf(_, atoms):
            disjoint = atoms.isdisjoint
            return lambda true: not disjoint(true)
        case EachOf(_, atoms):
            return atoms.issubset
        case Inverse(part):
            test = compile_formula(part)
            return lambda true: not test(true)
        case Both(parts):
            return _every(tuple(map(compile_formula, parts)))
        case Either(parts):
            return _some(tuple(map(compile_formula, parts)))


def _every(tests: tuple[AtomTest, ...]) -> AtomTest:
    def every(true: TrueAtoms) -> bool:
        for test in tests:  # noqa: SIM110 - half the time of all() over a generator
            if not test(true):
                return False
        return True

    return every


def _some(tests: tuple[AtomTest, ...]) -> AtomTest:
    def some(true: TrueAtoms) -> bool:
        for test in tests:  # noqa: SIM110 - half the time of any() over a generator
            if test(true):
                return True
        return False

    return some


def witnesses_of(formula: Formula, weigh: Callable[[Atom], float]) -> tuple[float, frozenset[Atom]] | None:
    """Atoms of which at least one is true whenever the formula holds, the lightest such set; None if there is none.

    Only the rules that an event's true atoms witness are looked at: a handful of thousands.
    """
    match formula:
        case SomeOf(_, atoms):
            return sum(map(weigh, atoms)), atoms
        case EachOf(_, atoms):
            return min((weigh(atom), frozenset((atom,))) for atom in atoms)
        case Both(parts):
            found = [one for part in parts if (one := witnesses_of(part, weigh)) is not None]
            return min(found, key=lambda one: one[0], default=None)
        case Either(parts):
            weight, atoms = 0.0, frozenset[Atom]()
            for part in parts:
                one = witnesses_of(part, weigh)
                if one is None:
                    return None
                weight, atoms = weight + one[0], atoms | one[1]
            return weight, atoms
    return None
