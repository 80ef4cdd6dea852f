"""One answer of the index for everybody who asks the same: fifty screens show the same queue.

Rows are a second old at most. Counts look at every alert there is, so they may be some seconds old, and nobody waits
for new ones where there are old ones.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, Final

import structlog

from connectors.alert_index import AlertQuery, Counts, Found
from dashboard.site import AlertReader
from schemas.alert import Alert
from schemas.errors import ConnectionError_

log = structlog.get_logger()

KEEP_SECONDS: Final = 1.0
COUNTS_SECONDS: Final = 5.0
"""Older counts are given once more while new ones are asked for."""
STALE_SECONDS: Final = 60.0
"""Still older ones are given to nobody: who asks waits."""
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
        self._renewed: set[Hashable] = set()

    def find(self, query: AlertQuery) -> Found:
        """Alerts that fit the query, as they were at most a second ago."""
        found: Found = self._shared(query, lambda: self._index.find(query), KEEP_SECONDS)
        return found

    def counts(self, query: AlertQuery) -> Counts:
        """How many alerts fit the query, as it was some seconds ago."""
        counts: Counts = self._aged(("counts", _kind_of(query)), lambda: self._index.counts(query))
        return counts

    def ages(self, query: AlertQuery, edges: Sequence[str]) -> dict[str, list[int]]:
        """For each level, how many alerts had their last hit in each span of time, as it was some seconds ago."""
        key = ("ages", len(edges), _kind_of(query))  # the edges move with the clock
        ages: dict[str, list[int]] = self._aged(key, lambda: self._index.ages(query, edges))
        return ages

    def tally(self) -> dict[tuple[str, str], int]:
        """Number of alerts for each (state, level), as it was some seconds ago."""
        tally: dict[tuple[str, str], int] = self._aged("tally", self._index.tally)
        return tally

    def get(self, alert_id: str) -> Alert | None:
        """One alert as it stands now."""
        return self._index.get(alert_id)

    def _aged(self, key: Hashable, ask: Callable[[], Any]) -> Any:
        with self._lock:
            made, answer = self._kept.get(key, (float("-inf"), None))
            age = self._now() - made
            renew = COUNTS_SECONDS < age <= STALE_SECONDS and key not in self._renewed
            if renew:
                self._renewed.add(key)
        if age > STALE_SECONDS:
            return self._shared(key, ask, COUNTS_SECONDS)
        if renew:
            threading.Thread(target=self._renew, args=(key, ask), name="counts", daemon=True).start()
        return answer

    def _renew(self, key: Hashable, ask: Callable[[], Any]) -> None:
        try:
            self._shared(key, ask, COUNTS_SECONDS)
        except ConnectionError_ as error:
            log.warning("counts.not_renewed", why=str(error))
            with self._lock:
                self._kept.pop(key, None)  # whoever asks next is told
        finally:
            with self._lock:
                self._renewed.discard(key)

    def _shared(self, key: Hashable, ask: Callable[[], Any], keep: float) -> Any:
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
        with turn:  # whoever comes while the first one asks waits for that answer
            made, answer = self._kept.get(key, (float("-inf"), None))
            if self._now() - made <= keep:
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


def _kind_of(query: AlertQuery) -> AlertQuery:
    """What counts depend on; the ids to leave out, which change with every click, by what they stand for."""
    return replace(query, without=frozenset(), limit=0, order="newest", brief=False)
