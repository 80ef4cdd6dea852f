"""Slows down whoever guesses passwords."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

FREE_FAILURES: Final = 5
FIRST_WAIT_SECONDS: Final = 60.0
LONGEST_WAIT_SECONDS: Final = 900.0
MAX_REMEMBERED: Final = 10_000


class LoginLimit:
    """After five failures in a row the next try must wait a minute, then two, four... up to fifteen.

    Counted for each pair of client address and user name, so that nobody can lock another person out from elsewhere.

    Args:
        now: seconds, monotonic.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failures: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_seconds(self, address: str, user: str) -> float:
        """How long this client must still wait; 0 if it may try."""
        with self._lock:
            _, until = self._failures.get((address, user), (0, 0.0))
        return max(0.0, until - self._now())

    def failed(self, address: str, user: str) -> None:
        """Note a wrong password."""
        key = (address, user)
        with self._lock:
            count = self._failures.pop(key, (0, 0.0))[0] + 1
            beyond = count - FREE_FAILURES
            wait = min(FIRST_WAIT_SECONDS * 2.0 ** min(beyond, 10), LONGEST_WAIT_SECONDS) if beyond >= 0 else 0.0
            self._failures[key] = (count, self._now() + wait)
            if len(self._failures) > MAX_REMEMBERED:
                self._failures.popitem(last=False)

    def succeeded(self, address: str, user: str) -> None:
        """Forget this client's failures."""
        with self._lock:
            self._failures.pop((address, user), None)
