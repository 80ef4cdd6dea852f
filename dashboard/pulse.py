"""What every screen says of this moment: how many alerts wait for somebody, and how far the index is behind Kafka."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

from dashboard.desk import Desk
from dashboard.rows import open_tally

MAX_LOOKS: Final = 1000


class Tally(Protocol):
    """Where alerts are counted."""

    def tally(self) -> dict[tuple[str, str], int]:
        """Number of alerts for each (state, level)."""


@dataclass(slots=True)
class Pulse:
    """What is known now; kept by threads of their own, so that no page waits for it.

    Attributes:
        to_do: alerts that are open or acknowledged; None: not known.
        behind: ms for which the oldest alert in Kafka has waited to be indexed; 0: none waits; None: not known.
    """

    to_do: int | None = None
    behind: int | None = None

    def words(self) -> dict[str, Any]:
        """Both, as pages and their updates carry them."""
        return asdict(self)

    def count(self, index: Tally, desk: Desk) -> None:
        """Count what waits for somebody.

        Raises:
            ConnectionError_: the index is away; the number is not known then.
        """
        self.to_do, counted = None, desk.counts("level", "closed")
        self.to_do = open_tally(index.tally(), counted).to_do


class Backlog:
    """How long the oldest record that a reader has not committed has waited, from where topic and reader stand.

    Looks are remembered until the reader has passed them; a thousand of them, then only the oldest: what has waited
    for so long need not be known to the second.
    """

    def __init__(self) -> None:
        self._looks: deque[tuple[int, Mapping[Any, int]]] = deque()

    def behind(self, now: int, ends: Mapping[Any, int], committed: Mapping[Any, int]) -> int:
        """One look; ms since the first one whose records are not all committed, 0 if there is none.

        Args:
            now: ms.
            ends: partition -> offset after its last record.
            committed: partition -> offset after the last record the reader is done with.
        """
        if len(self._looks) < MAX_LOOKS:
            self._looks.append((now, dict(ends)))
        while self._looks and all(committed.get(place, 0) >= end for place, end in self._looks[0][1].items()):
            self._looks.popleft()
        return now - self._looks[0][0] if self._looks else 0
