"""Remembers what was made of short texts: logs name the same hosts, users and results again and again."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeVar

MAX_TEXTS: Final = 4096
MAX_CHARS: Final = 64
"""Who writes a log must not fill the memory."""

Made = TypeVar("Made")


def remembering(make: Callable[[str], Made], *, max_chars: int = MAX_CHARS) -> Callable[[str], Made]:
    """The same function, with a bounded memory; what it makes must not be changed by whoever gets it.

    Args:
        make: depends on its text alone.
        max_chars: longer texts are not remembered.
    """
    remembered = lru_cache(maxsize=MAX_TEXTS)(make)
    return lambda text: remembered(text) if len(text) <= max_chars else make(text)
