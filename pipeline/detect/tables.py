"""What all log sources share: the atoms' scans and weights; and what has been remembered since the last fresh start."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from pipeline.detect.formula import Atom, Atoms, TrueAtoms
from pipeline.detect.plan import Cidr, Exists, How, Leaf, Null, Regex, SameAs, Text, TimePart
from pipeline.detect.scan import Scan

_TEXT_WEIGHTS: Final[dict[How, float]] = {"equals": 2, "endswith": 3, "startswith": 5, "contains": 6, "like": 6}
_LATE_WEIGHT: Final = 1e6
COMMON: Final = 10_000.0
"""The weight of what is true of most values, if of any: numbers, truths, the shortest expressions."""
_TRUTHS: Final = frozenset({"true", "false"})


class Tables:
    """The compiled atoms.

    Args:
        atoms: of all rules.

    Attributes:
        weigh: how often an atom is likely to be true: lower is rarer.

    Raises:
        RuleError: a regular expression that does not compile (a damaged pack).
    """

    def __init__(self, atoms: Atoms) -> None:
        groups = atoms.by_asked()
        self.leaves: Sequence[Leaf] = atoms.leaves
        self.scans = {field: Scan(group) for field, group in groups.items() if isinstance(field, str)}
        self.weigh: Callable[[Atom], float] = [_weight(leaf) for leaf in atoms.leaves].__getitem__
        self._shaped = frozenset(field for field, scan in self.scans.items() if scan.absent or scan.present)

    def objects(self, absent: Collection[str], names: Collection[str]) -> frozenset[str]:
        """Those of the absent fields that are objects: one of the names lies below them."""
        asked = self._shaped.intersection(absent)
        return asked.intersection(above for name in names for above in names_above(name))

    def absent(self, fields: Collection[str], objects: Collection[str]) -> TrueAtoms:
        """What is true because fields are not there, or are objects."""
        true: set[Atom] = set()
        for field in self._shaped.intersection(fields):
            scan = self.scans[field]
            true |= scan.present if field in objects else scan.absent
        return frozenset(true)


def names_above(name: str) -> Iterable[str]:
    """`a` and `a.b` for `a.b.c`."""
    place = name.find(".")
    while place >= 0:
        yield name[:place]
        place = name.find(".", place + 1)


def _weight(leaf: Leaf) -> float:
    """A guess: few values satisfy an equality, more a suffix, most a number such as an event id."""
    if leaf.field is None or isinstance(leaf, SameAs):
        return _LATE_WEIGHT
    match leaf:
        case Text() if leaf.text.lower() not in _TRUTHS:
            return _TEXT_WEIGHTS[leaf.how]
        case Null() | Exists():
            return 2 * COMMON
        case Regex(_, pattern):
            return 2 * COMMON / max(len(pattern), 1)
        case Cidr() | TimePart():
            return 8
    return COMMON
