"""How the members' board is laid out: sectors in two columns, and the last hours of each institution in 20 pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboard.health_board import MemberLine
from dashboard.member_hours import Column

HEIGHT = 15
MOST_IN_PANEL = 16
"""Lines that stay together in any case."""
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


@dataclass(frozen=True, slots=True)
class Panel:
    """Institutions under one title, or a part of them; `up` and `number` are those of all parts."""

    title: str
    part: int
    lines: Sequence[MemberLine]
    up: int
    number: int


def in_columns(titled: Mapping[str, Sequence[MemberLine]]) -> list[list[Panel]]:
    """Panels in two columns of about the same height, the largest first; one that is higher than both is parted."""
    columns: list[list[Panel]] = [[], []]
    heights = [0, 0]
    most = max(MOST_IN_PANEL, -(-sum(map(len, titled.values())) // 2))
    for title, lines in sorted(titled.items(), key=lambda item: -len(item[1])):
        up = sum(line.health == "reporting" for line in lines)
        for start in range(0, len(lines), most):
            part = Panel(title, start // most, lines[start : start + most], up, len(lines))
            shorter = heights.index(min(heights))
            columns[shorter].append(part)
            heights[shorter] += len(part.lines) + 2
    return columns
