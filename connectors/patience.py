"""Waiting between tries: longer each time, never in step with others, over at once when told to stop."""

from __future__ import annotations

import random
import threading
from typing import Final

FIRST_SECONDS: Final = 0.1
LONGEST_SECONDS: Final = 2.0
"""Also the longest a server that came back stays unnoticed."""


class Stopped(Exception):
    """The process was told to end while it waited."""


class Patience:
    """Exponential back-off with jitter, for work that must be tried until it succeeds.

    Args:
        stop: set when the process must end; a wait then raises `Stopped` at once.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self.tries = 0

    def failed(self) -> bool:
        """Note a failure; True if it should be logged: the 1st, 2nd, 4th, 8th... of a row."""
        self.tries += 1
        return self.tries & (self.tries - 1) == 0

    def wait(self, at_least: float = 0.0) -> None:
        """Sleep before the next try, the longer the more failures were noted.

        Args:
            at_least: seconds; for faults that only a person can mend.

        Raises:
            Stopped: told to stop before or while waiting.
        """
        if self._stop.wait(max(at_least, self.pause())):
            raise Stopped

    def pause(self) -> float:
        """Seconds before the next try, for who does not want to sleep."""
        longest = min(FIRST_SECONDS * 2.0 ** min(self.tries, 10), LONGEST_SECONDS)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret

    def over(self) -> bool:
        """Note a success; True if there were failures before it."""
        waited, self.tries = self.tries > 0, 0
        return waited
