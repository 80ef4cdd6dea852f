"""Waiting for what the servers bring about, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def wait_for(condition: Callable[[], bool], state: Callable[[], object] = lambda: None, seconds: float = 300) -> None:
    """Wait until a condition holds; on the way out say how things stood."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {state()!r}"
        time.sleep(0.5)


def eventually(find: Callable[[], Found], seconds: float = 300) -> Found:
    """What is looked for, once it is there: anything that is not empty."""
    deadline = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.2)
    return found
