"""Who has an alert open at this moment, so that two people do not do the same work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

GONE_AFTER_SECONDS: Final = 10.0
"""An open page asks every second; several missing questions are a closed page."""


class Readers:
    """Who asked for which alert lately; known to this process alone, and to it only for some seconds.

    Args:
        now: seconds, monotonic.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._seen: dict[str, dict[str, float]] = {}

    def read(self, alert: str, who: str) -> list[str]:
        """Note that somebody reads an alert; gives the names of the others who do."""
        now = self._now()
        with self._lock:
            self._seen.setdefault(alert, {})[who] = now
            for each, people in list(self._seen.items()):
                self._seen[each] = kept = {name: at for name, at in people.items() if now - at <= GONE_AFTER_SECONDS}
                if not kept:
                    del self._seen[each]
            return sorted(self._seen[alert].keys() - {who})
