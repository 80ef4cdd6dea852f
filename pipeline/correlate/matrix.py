"""The member x time matrix: how many hits each member had in each stretch of time.

It comes out the same whatever the order and the portions: columns are aligned to the epoch, their width is one of
`STEPS`, and each of these divides the next, so that finer columns can always be joined to wider ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import repeat
from operator import floordiv, itemgetter
from typing import Final

import msgspec

STEPS: Final = tuple(1000 * seconds for seconds in (1, 5, 15, 60, 300, 900, 3600, 10_800, 43_200, 86_400, 604_800))
"""Widths of a column, ms."""
MOST_KEPT: Final = 64
"""Columns kept at most; more than are told, so that what is told never needs finer ones than are kept."""
MOST_TOLD: Final = 24

Row = dict[int, int]
"""Number of the column since the epoch -> hits in it."""


class Matrix(msgspec.Struct, array_like=True):
    """The rows of all members, in columns of one width."""

    step: int = STEPS[0]
    rows: dict[str, Row] = {}

    def merge(self, other: Matrix) -> None:
        """Add what another matrix tells."""
        self._widen(other.step)
        for member, row in other.rows.items():
            _add(self.rows.setdefault(member, {}), row, self.step // other.step)
        columns = [column * self.step for row in self.rows.values() for column in row]
        if columns:
            self._widen(step_of(min(columns), max(columns), MOST_KEPT))

    def _widen(self, step: int) -> None:
        if step > self.step:
            joined = step // self.step
            for member, row in self.rows.items():
                self.rows[member] = _add({}, row, joined)
            self.step = step

    def told(self, first: int, last: int) -> tuple[int, dict[str, list[int]]]:
        """Width of a column (ms), and for each member its hits in each column from `first` to `last` (ms)."""
        step = max(step_of(first, last, MOST_TOLD), self.step)
        columns = range(first // step, last // step + 1)
        rows = {member: _add({}, row, step // self.step) for member, row in self.rows.items()}
        return step, {member: [row.get(column, 0) for column in columns] for member, row in rows.items()}


def matrix_of(seen: Sequence[tuple[str, int]]) -> Matrix:
    """The matrix of hits, each a member and a time (ms), in the order of time; at least one."""
    step = step_of(seen[0][1], seen[-1][1], MOST_KEPT)
    columns = map(floordiv, map(itemgetter(1), seen), repeat(step))
    rows: dict[str, Row] = {}
    # Whole windows are folded whenever an alert is told: the loop runs over cells, not over hits.
    for (member, column), count in Counter(zip(map(itemgetter(0), seen), columns, strict=True)).items():
        rows.setdefault(member, {})[column] = count
    return Matrix(step, rows)


def step_of(first: int, last: int, most: int) -> int:
    """The least width with which `first..last` (ms) needs no more than `most` columns.

    >>> step_of(0, 23_999, MOST_TOLD), step_of(0, 24_000, MOST_TOLD), step_of(0, 4_200_000, MOST_TOLD)
    (1000, 5000, 300000)
    """
    return next((step for step in STEPS if last // step - first // step < most), STEPS[-1])


def _add(row: Row, other: Row, joined: int) -> Row:
    """Add the other row, of which so many columns become one."""
    for column, count in other.items():
        row[column // joined] = row.get(column // joined, 0) + count
    return row
