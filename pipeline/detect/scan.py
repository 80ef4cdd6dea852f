"""Second fast layer: one pass over a value finds every atom that is true of it.

Equal texts and numbers are dictionary look-ups. All `contains`, `startswith` and `endswith` of a field are one
Aho-Corasick automaton: the value is searched between two marks, so that a beginning or an end is a literal like any
other. Patterns with wildcards and regular expressions hang on a literal that they need: without it they are not looked
for. What is left is tested one by one, by the plain evaluator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from ahocorasick_rs import AhoCorasick, Implementation

from pipeline.detect.formula import Atom, TrueAtoms
from pipeline.detect.literals import required_literals
from pipeline.detect.plain import Network, Test, addresses_in, compile_test
from pipeline.detect.plan import Boolean, Cidr, Exists, Leaf, Null, Number, Regex, Text
from pipeline.detect.regexes import RegexSet, Search, compile_like, compile_regex
from pipeline.detect.view import EventView, Present, number_of, text_of
from schemas.event import Value

_BEGIN: Final = "\x02"
_END: Final = "\x03"
_BETWEEN: Final = _END + _BEGIN
_SPARE: Final = "\uffff"
"""A noncharacter that stands for marks and lone surrogates found in values; no pattern in an automaton holds it."""
_UNSEARCHABLE: Final = re.compile("[\x02\x03\uffff\ud800-\udfff]")
_SHORTEST_GATE: Final = 3
_SHORTEST_REGEX_GATE: Final = 2

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
        regexes: dict[Atom, Regex] = {}
        for atom, leaf in leaves.items():
            if isinstance(leaf, Regex):
                if not self._folded.add_regex(atom, leaf):
                    regexes[atom] = leaf
            else:
                self._add(atom, leaf)
        self._folded.build()
        self._cased.build()
        self._regex_atoms = list(regexes)
        self._regexes = RegexSet([(leaf.pattern, leaf.flags) for leaf in regexes.values()]) if regexes else None
        self._has_truths = any(self._truths.values())
        typed = self._numbers or self._has_truths
        self._is_simple = not (self._others or self._cased or self._networks or self._regexes or typed)

    def _add(self, atom: Atom, leaf: Leaf) -> None:
        match leaf:
            case Null() | Exists():
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
        if type(value) is str:
            found = self._folded.of_one(value, value.casefold(), self.present)
            return found if self._is_simple else self._with_rarer_tests(value, (value,), found)
        elements = value if isinstance(value, tuple) else (value,)
        present = [element for element in elements if element is not None]
        texts = [text_of(element) for element in present]
        found = self.present | self._folded.of_any(texts, [text.casefold() for text in texts])
        if len(present) < len(elements) or not elements:
            found |= self.absent
        return found if self._is_simple else self._with_rarer_tests(value, present, found)

    def _with_rarer_tests(self, value: Value, elements: Sequence[Present], known: TrueAtoms) -> TrueAtoms:
        """What is known already, and what is true by other tests than those of folded text."""
        found = set(known)
        texts = [text_of(element) for element in elements]
        if self._cased:
            found |= self._cased.of_any(texts, texts)
        if self._numbers or self._has_truths:
            for element in elements:
                self._typed(element, found)
        if self._regexes is not None:
            for text in texts:
                found.update(self._regex_atoms[number] for number in self._regexes.found_in(text))
        if self._networks:
            for address in {address for text in texts for address in addresses_in(text)}:
                found.update(atom for atom, network in self._networks if network.holds(address))
        if self._others:
            view = EventView({FIELD: value})
            found.update(atom for atom, test in self._others if test(view))
        return frozenset(found)

    def _typed(self, element: Present, found: set[Atom]) -> None:
        number = number_of(element)
        if number is not None:
            found.update(self._numbers.get(number, ()))
        elif self._has_truths:
            for truth in EventView({FIELD: element}).truths(FIELD):
                found.update(self._truths[truth])


class _Gated(NamedTuple):
    """A test that is worth making only where a literal was found."""

    atom: Atom
    matches: Search
    as_written: bool
    """It reads the value as it is, not as these tests do."""


class _Texts:
    """Text tests that read a value the same way: all with case folded away, or all with case."""

    def __init__(self) -> None:
        self._equal: dict[str, list[Atom]] = {}
        self._literals: dict[str, list[Atom]] = {}
        self._gated: dict[str, list[_Gated]] = {}
        self._ungated: list[tuple[Atom, Search]] = []
        self._any: list[Atom] = []
        self._find: Callable[..., list[tuple[int, int, int]]] | None = None
        self._atoms: list[list[Atom]] = []
        self._gates: dict[int, list[_Gated]] = {}

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
            self._gated.setdefault(gate, []).append(_Gated(atom, matches, as_written=False))
        else:
            self._ungated.append((atom, matches))
        return True

    def add_regex(self, atom: Atom, regex: Regex) -> bool:
        """Take a regular expression; False if nothing is known that must be there."""
        gates = required_literals(regex.pattern)
        if min(map(len, gates), default=0) < _SHORTEST_REGEX_GATE:
            return False
        gated = _Gated(atom, compile_regex(regex.pattern, regex.flags, "rule pack"), as_written=True)
        for gate in gates:
            self._gated.setdefault(gate, []).append(gated)
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

    def of_one(self, text: str, read: str, present: TrueAtoms) -> TrueAtoms:
        """The atoms that are true of a text, beside those that are true of any.

        Args:
            text: as it is.
            read: as these tests read it.
            present: what is true of it anyway.
        """
        hits = self._find(marked((read,)), overlapping=True) if self._find else None
        if hits or self._any or self._ungated:
            return present | self._collected((text,), (read,), hits or ())
        equal = self._equal.get(read)
        return present.union(equal) if equal else present

    def of_any(self, texts: Sequence[str], read: Sequence[str]) -> set[Atom]:
        """The atoms that are true of any of the texts."""
        return self._collected(texts, read, self._find(marked(read), overlapping=True) if self._find else ())

    def _collected(self, texts: Sequence[str], read: Sequence[str], hits: Iterable[tuple[int, int, int]]) -> set[Atom]:
        found: set[Atom] = set(self._any) if texts else set()
        if self._equal:
            for text in read:
                found.update(self._equal.get(text, ()))
        for atom, matches in self._ungated:
            if any(map(matches, read)):
                found.add(atom)
        for pattern in {hit[0] for hit in hits}:
            found.update(self._atoms[pattern])
            if pattern in self._gates:
                for gated in self._gates[pattern]:
                    if any(map(gated.matches, texts if gated.as_written else read)):
                        found.add(gated.atom)
        return found


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
