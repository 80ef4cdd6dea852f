"""One answer for everybody who asks the same at about the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import structlog

log = structlog.get_logger()

KEEP_SECONDS: Final = 0.5
"""A screen asks each second: what is in the index is on it within two."""
COUNTS_SECONDS: Final = 5.0
"""Older counts are given once more while new ones are asked for."""
COUNTS_PART: Final = 10
"""What took long to count is counted less often: at most in one of so many seconds."""
PATIENCE_SECONDS: Final = 1.0
"""How long somebody waits for what the page can do without."""
COUNTERS: Final = 4
STALE_SECONDS: Final = 60.0
"""Still older ones are given to nobody: who asks waits."""
MAX_KEPT: Final = 256


class _Kept(NamedTuple):
    made: float = float("-inf")
    took: float = 0.0
    answer: Any = None


_NOTHING: Final = _Kept()


class Sharing:
    """Answers by question, the latest `MAX_KEPT`; a failure is kept for nobody.

    Args:
        now: seconds, monotonic.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._turns: dict[Hashable, threading.Lock] = {}
        self._kept: dict[Hashable, _Kept] = {}
        self._renewals: dict[Hashable, Future[Any]] = {}
        self._counters = ThreadPoolExecutor(COUNTERS, thread_name_prefix="counts")

    def once(self, key: Hashable, ask: Callable[[], Any], keep: float = KEEP_SECONDS) -> Any:
        """The answer, asked for anew if it is older than `keep` seconds; whoever comes meanwhile waits for it too."""
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
        with turn:
            kept = self._kept.get(key, _NOTHING)
            if self._now() - kept.made <= keep:
                return kept.answer
            try:
                return self._asked(key, ask)
            except BaseException:
                with self._lock:
                    self._turns.pop(key, None)
                raise

    def aged(self, key: Hashable, ask: Callable[[], Any], unknown: Any = None) -> Any:
        """The answer as it was some seconds ago; nobody waits for a new one where there is an old one.

        Args:
            key: what is asked.
            ask: gives the answer.
            unknown: given instead where there is no answer within a second; None: wait for it.
        """
        with self._lock:
            kept, renewal = self._kept.get(key, _NOTHING), self._renewals.get(key)
            age = self._now() - kept.made
            if renewal is None and age > min(max(COUNTS_SECONDS, COUNTS_PART * kept.took), STALE_SECONDS):
                renewal = self._renewals[key] = self._counters.submit(self._renew, key, ask)
        if renewal is None or age <= STALE_SECONDS:
            return kept.answer
        try:
            return renewal.result(None if unknown is None else PATIENCE_SECONDS)
        except TimeoutError:
            return unknown

    def _renew(self, key: Hashable, ask: Callable[[], Any]) -> Any:
        try:
            return self._asked(key, ask)
        except Exception as error:  # a thread of nobody's: whoever asks next asks for himself, and is told
            log.warning("counts.not_renewed", why=str(error))
            with self._lock:
                self._kept.pop(key, None)
            raise
        finally:
            with self._lock:
                self._renewals.pop(key, None)

    def _asked(self, key: Hashable, ask: Callable[[], Any]) -> Any:
        begun = self._now()
        answer = ask()
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = _Kept(self._now(), self._now() - begun, answer)
            while len(self._kept) > MAX_KEPT:
                oldest = next(iter(self._kept))
                del self._kept[oldest]
                self._turns.pop(oldest, None)
        return answer
