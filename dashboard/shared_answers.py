"""One answer of the index for everybody who asks the same within a second: fifty screens show the same queue."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, Final

from connectors.alert_index import AlertQuery, Found
from dashboard.site import AlertReader
from schemas.alert import Alert

KEEP_SECONDS: Final = 1.0
MAX_KEPT: Final = 64


class SharedAnswers:
    """An `AlertReader` in front of another; single alerts are always read anew.

    Args:
        index: who is asked.
        now: seconds, monotonic.
    """

    def __init__(self, index: AlertReader, now: Callable[[], float] = time.monotonic) -> None:
        self._index, self._now = index, now
        self._lock = threading.Lock()
        self._turns: dict[Hashable, threading.Lock] = {}
        self._kept: dict[Hashable, tuple[float, Any]] = {}

    def find(self, query: AlertQuery) -> Found:
        """Alerts that fit the query, as they were at most a second ago."""
        found: Found = self._shared(query, lambda: self._index.find(query))
        return found

    def tally(self) -> dict[tuple[str, str], int]:
        """Number of alerts for each (state, level), as it was at most a second ago."""
        tally: dict[tuple[str, str], int] = self._shared("tally", self._index.tally)
        return tally

    def get(self, alert_id: str) -> Alert | None:
        """One alert as it stands now."""
        return self._index.get(alert_id)

    def _shared(self, key: Hashable, ask: Callable[[], Any]) -> Any:
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
        with turn:  # whoever comes while the first one asks waits for that answer
            made, answer = self._kept.get(key, (float("-inf"), None))
            if self._now() - made <= KEEP_SECONDS:
                return answer
            try:
                answer = ask()
            except BaseException:
                with self._lock:
                    self._turns.pop(key, None)
                raise
            with self._lock:
                self._kept.pop(key, None)
                self._kept[key] = (self._now(), answer)
                while len(self._kept) > MAX_KEPT:
                    oldest = next(iter(self._kept))
                    del self._kept[oldest]
                    self._turns.pop(oldest, None)
        return answer
