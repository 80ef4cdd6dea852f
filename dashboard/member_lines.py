"""How the members' board is laid out: sectors in two columns, and the last hour of each institution in 20 pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboard.health_board import MemberLine
from dashboard.member_hours import Column

HEIGHT = 15
_WIDTH = 112


@dataclass(frozen=True, slots=True)
class SparkColumn:
    """A few minutes: a column for events, a bar for the heartbeat, hatching where nothing is known."""

    x: float
    width: float
    height: float
    heartbeat: bool
    known: bool


def spark(columns: Sequence[Column]) -> list[SparkColumn]:
    """The drawing of one institution's last hour; each is drawn on its own scale.

    >>> [(c.x, c.height, c.known) for c in spark([Column(4, True, True), Column(0, False, False)])]
    [(0.0, 15.0, True), (56.0, 0.0, False)]
    """
    most = max((column.lines for column in columns), default=0) or 1
    width = _WIDTH / max(1, len(columns))
    return [
        SparkColumn(
            round(number * width, 2), round(width - 0.7, 2), round(HEIGHT * column.lines / most, 1),
            column.heartbeat, column.alive,
        )
        for number, column in enumerate(columns)
    ]  # fmt: skip


def in_columns(sectors: Mapping[str, list[MemberLine]]) -> list[list[tuple[str, list[MemberLine]]]]:
    """The sectors in two columns of about the same height, the largest first."""
    columns: list[list[tuple[str, list[MemberLine]]]] = [[], []]
    heights = [0, 0]
    for kind, lines in sorted(sectors.items(), key=lambda item: -len(item[1])):
        shorter = heights.index(min(heights))
        columns[shorter].append((kind, lines))
        heights[shorter] += len(lines) + 2
    return columns
