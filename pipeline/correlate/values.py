"""Values of events in the one form that correlation compares: texts for groups, integers for metrics."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from itertools import islice, product
from typing import Final, NamedTuple

from pipeline.correlate.identity import digest
from schemas.event import Scalar, Value

FIXED_POINT: Final = 10**6
"""Numbers are kept as whole millionths, so that sums do not depend on the order of adding."""
MAX_VALUES: Final = 32
"""Distinct values of one array that are used; more are counted as excess."""
MAX_COMBINATIONS: Final = 64
"""Combinations of several arrays that are used."""
MAX_TEXT: Final = 256
"""Longer texts are told apart by their hash."""

REMEMBERED: Final = 1 << 14
"""Texts whose folded form a worker remembers."""

_INT64: Final = 1 << 63
_NUMBER: Final = re.compile(r"\s*[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,2})?\s*", re.ASCII)
_MISSING: Final = frozenset({"", "-"})


class Fanned(NamedTuple):
    """The combinations of several fields' values, and how many were left out."""

    combinations: list[tuple[str, ...]]
    excess: int


def canonical_text(value: Scalar) -> str | None:
    """A value as groups and distinct counts compare it; None for what counts as missing.

    >>> [canonical_text(value) for value in ("Straße", 5, "5", 5.0, True, None, "-")]
    ['strasse', '5', '5', '5', 'true', None, None]
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _INT64 else repr(value)
    text = str(value) if isinstance(value, int) else value.casefold()
    if text in _MISSING:
        return None
    if len(text) > MAX_TEXT:
        return f"{text[: MAX_TEXT - 32]}\N{HORIZONTAL ELLIPSIS}{digest(text, size=12).hex()}"
    return text


def single_texts(values: Sequence[Value]) -> tuple[str, ...] | None:
    """The canonical texts of fields that all hold one text, as most do; None if any holds something else.

    >>> single_texts(["A", "b"]), single_texts(["a", 5]), single_texts(["-"])
    (('a', 'b'), None, None)
    """
    texts = []
    for value in values:
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            return None
        text = _short_text(value)
        if text is None:
            return None
        texts.append(text)
    return tuple(texts)


@lru_cache(maxsize=REMEMBERED)  # keys repeat, and folding a text costs more than looking it up
def _short_text(text: str) -> str | None:
    return canonical_text(text)


def distinct_texts(value: Value) -> list[str]:
    """The distinct canonical texts of a field, an array's elements each; empty if the field is missing."""
    if not isinstance(value, tuple):
        text = canonical_text(value)
        return [] if text is None else [text]
    texts = (canonical_text(element) for element in value)
    return list(dict.fromkeys(text for text in texts if text is not None))


def fan_out(values: Sequence[Value]) -> Fanned | None:
    """Every combination of the fields' distinct values, within the caps; None if a field is missing.

    >>> fan_out([("a", "B", "a"), 5])
    Fanned(combinations=[('a', '5'), ('b', '5')], excess=0)
    """
    texts = [distinct_texts(value) for value in values]
    if not all(texts):
        return None
    # Sorted, so that the same set of values loses the same ones whatever order the producer wrote them in.
    kept = [names if len(names) == 1 else sorted(names)[:MAX_VALUES] for names in texts]
    wanted = math.prod(len(names) for names in texts)
    combinations = list(islice(product(*kept), MAX_COMBINATIONS))
    return Fanned(combinations, wanted - len(combinations))


def fixed_point(value: Scalar) -> int | None:
    """A number, or a text that is a plain decimal number, in millionths; None for anything else.

    >>> [fixed_point(value) for value in (0.1, "2.5e3", 7, True, "NaN", "7 apples")]
    [100000, 2500000000, 7000000, None, None, None]
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        scaled = value * FIXED_POINT
    elif isinstance(value, float):
        if not math.isfinite(value) or abs(value) * FIXED_POINT >= _INT64:
            return None
        scaled = _scaled(Decimal(repr(value)))
    elif len(value) <= MAX_TEXT and _NUMBER.fullmatch(value):
        number = Decimal(value.strip())
        if abs(number) * FIXED_POINT >= _INT64:
            return None
        scaled = _scaled(number)
    else:
        return None
    return scaled if -_INT64 < scaled < _INT64 else None


def _scaled(number: Decimal) -> int:
    return int((number * FIXED_POINT).to_integral_value(ROUND_HALF_EVEN))
