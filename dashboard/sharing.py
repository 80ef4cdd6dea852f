"""One answer for everybody who asks the same at about the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, Final

import structlog

from schemas.errors import ConnectionError_

log = structlog.get_logger()

KEEP_SECONDS: Final = 1.0
COUNTS_SECONDS: Final = 5.0
"""Older counts are given once more while new ones are asked for."""
STALE_SECONDS: Final = 60.0
"""Still older ones are given to nobody: who asks waits."""
MAX_KEPT: Final = 256


class Sharing:
    """Answers by question, the latest `MAX_KEPT`; a failure is kept for nobody.

    Args:
        now: seconds, monotonic.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._turns: dict[Hashable, threading.Lock] = {}
        self._kept: dict[Hashable, tuple[float, Any]] = {}
        self._renewed: set[Hashable] = set()

    def once(self, key: Hashable, ask: Callable[[], Any], keep: float = KEEP_SECONDS) -> Any:
        """The answer, asked for anew if it is older than `keep` seconds; whoever comes meanwhile waits for it too."""
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
        with turn:
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
                    self._drop(next(iter(self._kept)))
        return answer

    def aged(self, key: Hashable, ask: Callable[[], Any]) -> Any:
        """The answer as it was some seconds ago; nobody waits for a new one where there is an old one."""
        with self._lock:
            made, answer = self._kept.get(key, (float("-inf"), None))
            age = self._now() - made
            renew = COUNTS_SECONDS < age <= STALE_SECONDS and key not in self._renewed
            if renew:
                self._renewed.add(key)
        if age > STALE_SECONDS:
            return self.once(key, ask, COUNTS_SECONDS)
        if renew:
            threading.Thread(target=self._renew, args=(key, ask), name="counts", daemon=True).start()
        return answer

    def _renew(self, key: Hashable, ask: Callable[[], Any]) -> None:
        try:
            self.once(key, ask, COUNTS_SECONDS)
        except ConnectionError_ as error:
            log.warning("counts.not_renewed", why=str(error))
            with self._lock:
                self._kept.pop(key, None)  # whoever asks next is told
        finally:
            with self._lock:
                self._renewed.discard(key)

    def _drop(self, key: Hashable) -> None:
        del self._kept[key]
        self._turns.pop(key, None)
