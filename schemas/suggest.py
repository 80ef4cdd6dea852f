"""What somebody may have meant: the nearest of the names that exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

MAX_WRONG: Final = 200
"""Characters of a wrong name that are looked at."""


def nearest(wrong: str, known: Iterable[str], *, alike: float = 0.6) -> str | None:
    """The known name that is most like a wrong one, if one is.

    >>> nearest("endwith", ["startswith", "endswith"])
    'endswith'
    """
    return next(iter(get_close_matches(wrong[:MAX_WRONG].strip().lower(), list(known), 1, alike)), None)


def did_you_mean(wrong: str, known: Iterable[str]) -> str | None:
    """The same as an error's hint.

    >>> did_you_mean("Many_logins", ["many_logins", "login_failed"])
    '`many_logins`'
    """
    found = nearest(wrong, known)
    return None if found is None else f"`{found}`"
