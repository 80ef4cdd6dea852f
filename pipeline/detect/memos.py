r"""Third fast layer: what is true of a value is worked out once, and has a number from then on.

Image: C:\Windows\cmd.exe -> {12, 40} -> 17    and every other value of which 12 and 40 are true -> 17
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from hashlib import blake2b
from typing import Any, Final

from pipeline.detect.formula import Atom, TrueAtoms
from pipeline.detect.scan import Scan, Trace
from schemas.event import Value

MAX_VALUE: Final = 2_048
"""Of longer texts only a digest is remembered."""
_DIGEST_BYTES: Final = 16
ENTRY_BYTES: Final = 200
"""What an entry of a dictionary takes beside the texts in it."""
_PER_FOUND_BYTES: Final = 64
_SAME_TEXT: Final = 10**15
"""Whole numbers below this read the same whether they are integers or floats."""


class Truth(Enum):
    """A boolean as a key of a memo, where `True` itself would be 1."""

    TRUE = True
    FALSE = False


def told_apart(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values with each boolean as a `Truth`."""
    return tuple([Truth(value) if value is True or value is False else value for value in values])


def is_key(value: Value | Truth) -> bool:
    """Whether no value that reads otherwise is the same key of a dictionary, as 10**18 is 1e18 and `(True,)` is `(1,)`.

    Booleans have to be told apart before.
    """
    kind = type(value)
    if kind is int or kind is float:
        return -_SAME_TEXT < value < _SAME_TEXT  # type: ignore[operator]
    return value is None or kind is str or kind is Truth or (kind is tuple and set(map(type, value)) == {str})  # type: ignore[arg-type]


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


class Memo(dict[Value | Truth, int]):
    """From a field's value to the number of the set of atoms that are true of it.

    Args:
        scan: of the field.
        atoms: those that count here.
        memory: where the numbers come from.
    """

    __slots__ = ("_atoms", "_long", "_memory", "_scan", "_traces")

    def __init__(self, scan: Scan, atoms: frozenset[Atom], memory: Memory) -> None:
        self._scan = scan
        self._atoms = atoms
        self._memory = memory
        self._traces: dict[Trace, int] = {}
        self._long: dict[bytes, int] = {}

    def __missing__(self, value: Value | Truth) -> int:
        if type(value) is str:
            size = len(value)
            if size > MAX_VALUE:
                return self._of_long(value)
            trace = self._scan.trace(value)
            number = self._traces.get(trace)
            if number is None:
                number = self._of_trace(trace)
            self._memory.spend(2 * size + ENTRY_BYTES)
            self[value] = number
            return number
        number = self._of_trace(self._scan.trace(value.value if isinstance(value, Truth) else value))
        if not isinstance(value, tuple) and is_key(value):
            self._memory.spend(ENTRY_BYTES)
            self[value] = number
        return number

    def _of_long(self, text: str) -> int:
        digest = blake2b(text.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).digest()
        known = self._long.get(digest)
        if known is None:
            known = self._of_trace(self._scan.trace(text))
            self._memory.spend(ENTRY_BYTES)
            self._long[digest] = known
        return known

    def _of_trace(self, trace: Trace) -> int:
        known = self._traces.get(trace)
        if known is None:
            known = self._memory.number(self._scan.atoms_of(trace) & self._atoms)
            self._memory.spend(_PER_FOUND_BYTES * len(trace) + ENTRY_BYTES)
            self._traces[trace] = known
        return known
