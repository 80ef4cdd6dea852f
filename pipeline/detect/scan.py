"""Second fast layer: one pass over a value finds every atom that is true of it.

Equal texts and numbers are dictionary look-ups. All `contains`, `startswith` and `endswith` of a field are one
Aho-Corasick automaton: the value is searched between two marks, so that a beginning or an end is a literal like any
other. Patterns with wildcards hang on their longest literal. What is left is tested one by one, by the plain evaluator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from ahocorasick_rs import AhoCorasick, Implementation

from pipeline.detect.formula import Atom, TrueAtoms
from pipeline.detect.plain import Network, Test, addresses_in, compile_test
from pipeline.detect.plan import Boolean, Cidr, Exists, Leaf, Null, Number, Regex, Text
from pipeline.detect.regexes import RegexSet, Search, compile_like
from pipeline.detect.view import EventView, number_of, text_of
from schemas.event import Scalar, Value

_BEGIN: Final = "\x02"
_END: Final = "\x03"
_BETWEEN: Final = _END + _BEGIN
_SPARE: Final = "\uffff"
"""A noncharacter that stands for marks and lone surrogates found in values; no pattern in an automaton holds it."""
_UNSEARCHABLE: Final = re.compile("[\x02\x03\uffff\ud800-\udfff]")
_SHORTEST_GATE: Final = 3

FIELD: Final = "value"
"""The name under which a value is shown to plain tests."""


class Scan:
    """All atoms about one field.

    Args:
        leaves: the atoms' tests, all of one field or all keywords.

    Attributes:
        absent: what is true of an event without the field.
        present: what is true of every event with it.
    """

    def __init__(self, leaves: Mapping[Atom, Leaf]) -> None:
        self.absent: TrueAtoms = frozenset(atom for atom, leaf in leaves.items() if isinstance(leaf, Null))
        self.present: TrueAtoms = frozenset(atom for atom, leaf in leaves.items() if isinstance(leaf, Exists))
        self._truths: dict[bool, list[Atom]] = {True: [], False: []}
        self._numbers: dict[int | float, list[Atom]] = {}
        self._folded = _Texts()
        self._cased = _Texts()
        self._networks: list[tuple[Atom, Network]] = []
        self._others: list[tuple[Atom, Test]] = []
        for atom, leaf in leaves.items():
            self._add(atom, leaf)
        self._folded.build()
        self._cased.build()
        regexes = {atom: (leaf.pattern, leaf.flags) for atom, leaf in leaves.items() if isinstance(leaf, Regex)}
        self._regex_atoms = list(regexes)
        self._regexes = RegexSet(list(regexes.values())) if regexes else None
        self._has_truths = any(self._truths.values())
        typed = self._numbers or self._has_truths
        self._is_simple = not (self._others or self._cased or self._networks or self._regexes or typed)

    def _add(self, atom: Atom, leaf: Leaf) -> None:
        match leaf:
            case Null() | Exists() | Regex():
                pass
            case Cidr(_, network):
                self._networks.append((atom, Network.of(network)))
            case Text(_, how, text, cased) if (self._cased if cased else self._folded).add(atom, how, text):
                pass
            case Number(_, "==", number):
                self._numbers.setdefault(number, []).append(atom)
            case Boolean(_, truth):
                self._truths[truth].append(atom)
            case _:
                self._others.append((atom, compile_test(_about_value(leaf))))

    def atoms(self, value: Value) -> TrueAtoms:
        """What is true of a value; of an array, what is true of any element."""
        if type(value) is str and self._is_simple:
            return self._folded.one(value.casefold(), self.present)
        found: set[Atom] = set(self.present)
        elements = value if isinstance(value, tuple) else (value,)
        if not elements or None in elements:
            found |= self.absent
        self._search([element for element in elements if element is not None], found)
        if self._others:
            view = EventView({FIELD: value})
            found.update(atom for atom, test in self._others if test(view))
        return frozenset(found)

    def _search(self, elements: list[str | int | float | bool], found: set[Atom]) -> None:
        texts = [text_of(element) for element in elements]
        self._folded.find([text.casefold() for text in texts], found)
        if self._cased:
            self._cased.find(texts, found)
        if self._numbers or self._has_truths:
            for element in elements:
                self._typed(element, found)
        if self._regexes is not None:
            for text in texts:
                found.update(self._regex_atoms[number] for number in self._regexes.found_in(text))
        if self._networks:
            for address in {address for text in texts for address in addresses_in(text)}:
                found.update(atom for atom, network in self._networks if network.holds(address))

    def _typed(self, element: Scalar, found: set[Atom]) -> None:
        number = number_of(element)
        if number is not None:
            found.update(self._numbers.get(number, ()))
        elif self._has_truths:
            for truth in EventView({FIELD: element}).truths(FIELD):
                found.update(self._truths[truth])


class _Texts:
    """Text tests that read a value the same way: all with case folded away, or all with case."""

    def __init__(self) -> None:
        self._equal: dict[str, list[Atom]] = {}
        self._literals: dict[str, list[Atom]] = {}
        self._gated: dict[str, list[tuple[Atom, Search]]] = {}
        self._ungated: list[tuple[Atom, Search]] = []
        self._any: list[Atom] = []
        self._find: Callable[..., list[tuple[int, int, int]]] | None = None
        self._atoms: list[list[Atom]] = []
        self._gates: dict[int, list[tuple[Atom, Search]]] = {}

    def __bool__(self) -> bool:
        return bool(self._equal or self._any or self._ungated or self._find)

    def add(self, atom: Atom, how: str, text: str) -> bool:
        """Take a test; False if it must be made in another way."""
        if how == "like":
            return self._add_like(atom, text)
        if _UNSEARCHABLE.search(text):
            return False
        if how == "equals":
            self._equal.setdefault(text, []).append(atom)
        elif not text:
            self._any.append(atom)
        else:
            begin, end = _BEGIN * (how == "startswith"), _END * (how == "endswith")
            self._literals.setdefault(begin + text + end, []).append(atom)
        return True

    def _add_like(self, atom: Atom, pattern: str) -> bool:
        if _UNSEARCHABLE.search(pattern):
            return False
        matches = compile_like(pattern)
        gate = max(literals_of(pattern), key=len, default="")
        if len(gate) >= _SHORTEST_GATE:
            self._gated.setdefault(gate, []).append((atom, matches))
        else:
            self._ungated.append((atom, matches))
        return True

    def build(self) -> None:
        """Make the automaton once all tests are known."""
        patterns = list(dict.fromkeys((*self._literals, *self._gated)))
        if patterns:
            automaton = AhoCorasick(patterns, implementation=Implementation.ContiguousNFA)
            self._find = automaton.find_matches_as_indexes
        self._atoms = [self._literals.get(pattern, []) for pattern in patterns]
        self._gates = {
            number: self._gated[pattern] for number, pattern in enumerate(patterns) if pattern in self._gated
        }

    def one(self, text: str, present: TrueAtoms) -> TrueAtoms:
        """As `find`, for the commonest case: one text; `present` is true of it anyway."""
        hits = self._find(marked((text,)), overlapping=True) if self._find else None
        if hits or self._any or self._ungated:
            found = set(present)
            self._collect((text,), hits or (), found)
            return frozenset(found)
        equal = self._equal.get(text)
        return present.union(equal) if equal else present

    def find(self, texts: Sequence[str], found: set[Atom]) -> None:
        """Add the atoms that are true of any of the texts."""
        self._collect(texts, self._find(marked(texts), overlapping=True) if self._find else (), found)

    def _collect(self, texts: Sequence[str], hits: Iterable[tuple[int, int, int]], found: set[Atom]) -> None:
        if self._any and texts:
            found.update(self._any)
        if self._equal:
            for text in texts:
                found.update(self._equal.get(text, ()))
        for atom, matches in self._ungated:
            if any(map(matches, texts)):
                found.add(atom)
        for pattern in {hit[0] for hit in hits}:
            found.update(self._atoms[pattern])
            if pattern in self._gates:
                found.update(atom for atom, matches in self._gates[pattern] if any(map(matches, texts)))


def marked(texts: Sequence[str]) -> str:
    """Texts to search in one go, each between two marks, which no pattern spans."""
    joined = _BETWEEN.join(texts)
    if not joined.isascii() or joined.count(_BEGIN) >= len(texts) or joined.count(_END) >= len(texts):
        joined = _BETWEEN.join(map(without_marks, texts))
    return _BEGIN + joined + _END


def without_marks(text: str) -> str:
    """A text as it can be searched: no marks of ours in it, no lone surrogates."""
    return _UNSEARCHABLE.sub(_SPARE, text)


def literals_of(pattern: str) -> Iterator[str]:
    r"""The literal runs of a pattern of `*` and `?`, where `\` takes the next character literally."""
    run = ""
    characters = iter(pattern)
    for char in characters:
        if char in "*?":
            yield run
            run = ""
        else:
            run += next(characters, "") if char == "\\" else char
    yield run


def _about_value(leaf: Leaf) -> Leaf:
    """The same test of the field `FIELD`."""
    fields = {name: getattr(leaf, name) for name in leaf.__struct_fields__}
    return type(leaf)(**(fields | {"field": FIELD}))
