r"""Third fast layer: what is true of a value is worked out once, and has a number from then on.

    Image: C:\Windows\cmd.exe -> {12, 40} -> 17    and every other value of which 12 and 40 are true -> 17
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pipeline.detect.formula import Atom, TrueAtoms
from pipeline.detect.scan import Scan
from schemas.event import Value

MAX_VALUE: Final = 2_048
"""Longer texts hardly repeat: they are searched, not remembered."""
ENTRY_BYTES: Final = 200
"""What an entry of a dictionary takes beside the texts in it."""
_SAME_TEXT: Final = 10**15
"""Whole numbers below this read the same whether they are integers or floats."""
_SMALL: Final = (0, 1)


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
            self.spend(40 * len(atoms) + ENTRY_BYTES)
            known = self._numbers[atoms] = len(self.sets)
            self.sets.append(atoms)
        return known


class Memo(dict[Value, int]):
    """From a field's value to the number of the set of atoms that are true of it, as far as a log source's rules ask."""

    __slots__ = ("_ambiguous", "_atoms", "_memory", "_scan")

    def __init__(self, scan: Scan, atoms: frozenset[Atom], memory: Memory) -> None:
        self._scan = scan
        self._atoms = atoms
        self._memory = memory
        self._ambiguous: dict[tuple[type, Value], int] = {}

    def __missing__(self, value: Value) -> int:
        kind = type(value)
        if kind is str:
            number = self._number(value)
            if len(value) <= MAX_VALUE:  # type: ignore[arg-type]
                self._memory.spend(2 * len(value) + ENTRY_BYTES)  # type: ignore[arg-type]
                self[value] = number
        elif kind is tuple:
            number = self._number(value)
        elif (known := self._ambiguous.get((kind, value))) is not None:
            return known
        elif is_one_of_its_kind(value):
            number = self[value] = self._number(value)
            self._memory.spend(ENTRY_BYTES)
        else:
            number = self._number(value)
            if value in _SMALL:
                self._ambiguous[kind, value] = number
        return number

    def _number(self, value: Value) -> int:
        return self._memory.number(self._scan.atoms(value) & self._atoms)


def is_one_of_its_kind(value: Value) -> bool:
    """Whether no value that reads otherwise is the same dictionary key, as `True` is 1 and 10**18 is 1e18."""
    kind = type(value)
    if kind is int or kind is float:
        return -_SAME_TEXT < value < _SAME_TEXT and value not in _SMALL  # type: ignore[operator]
    return value is None or kind is str
