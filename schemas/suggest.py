"""What somebody may have meant: the nearest of the names that exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(wrong: str, known: Iterable[str], *, alike: float = 0.75) -> str | None:
    """The known name that is most like a wrong one, if one is.

    >>> nearest("endwith", ["startswith", "endswith"])
    'endswith'
    """
    return next(iter(get_close_matches(wrong[:200], known, 1, alike)), None)


def did_you_mean(wrong: str, known: Iterable[str]) -> str | None:
    """The same as a hint for an error."""
    found = nearest(wrong, known)
    return None if found is None else f'did you mean "{found}"?'
