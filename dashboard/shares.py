"""Bars that divide a whole: how closed alerts, or members' answers, divide by what was said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slice:
    """One part of a bar, in per cent of its length."""

    name: str
    count: int
    start: float
    width: float


def shares(counts: Mapping[str, int]) -> list[Slice]:
    """The parts of a bar, in the order given; nothing for what is not there.

    >>> [(part.name, part.start, part.width) for part in shares({"a": 1, "b": 0, "c": 3})]
    [('a', 0.0, 25.0), ('c', 25.0, 75.0)]
    """
    total, before, parts = sum(counts.values()), 0, []
    for name, count in counts.items():
        if count:
            parts.append(Slice(name, count, round(100 * before / total, 2), round(100 * count / total, 2)))
        before += count
    return parts
