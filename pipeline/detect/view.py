"""One event as the tests see it: a field's values as texts, folded texts and numbers, each worked out once.

Sigma compares text without regard to case, by Unicode's full case folding: `STRASSE` equals `straße`. What a value is
as text and as number is decided here and nowhere else; `docs/sigma-conformance.md` gives the reasons.
"""

from __future__ import annotations

import math
import re
from typing import Final

from schemas.event import Fields, Scalar, Value
from schemas.logsource import PREFIX

Present = str | int | float | bool

MAX_NUMBER_TEXT: Final = 64
_DECIMAL: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?\Z")
_CENTRE_FIELDS: Final = frozenset({"organization.id"})
NATIVE_INTEGERS: Final = range(-(2**63), 2**64)
"""What JSON readers and rule packs hold exactly; integers beyond are floating-point numbers everywhere."""


class EventView:
    """Lazy views of one event; a field name of `None` means every value of the event (keywords)."""

    __slots__ = ("_folded", "_numbers", "_pages", "_texts", "fields")

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self._texts: dict[str | None, tuple[str, ...]] = {}
        self._folded: dict[str | None, tuple[str, ...]] = {}
        self._numbers: dict[str, tuple[int | float, ...]] = {}
        self._pages: dict[bool, str] = {}

    def texts(self, field: str | None) -> tuple[str, ...]:
        """The field's values as text; nulls have none, an absent field has no values."""
        known = self._texts.get(field)
        if known is None:
            known = self._texts[field] = tuple(
                text_of(element) for element in self._elements(field) if element is not None
            )
        return known

    def folded(self, field: str | None) -> tuple[str, ...]:
        """The texts with case folded away."""
        known = self._folded.get(field)
        if known is None:
            known = self._folded[field] = tuple(text.casefold() for text in self.texts(field))
        return known

    def page(self, *, cased: bool) -> str:
        """Every value of the event, one below the other: a text without newline is in a value if it is here."""
        known = self._pages.get(cased)
        if known is None:
            known = self._pages[cased] = "\n".join(self.texts(None) if cased else self.folded(None))
        return known

    def numbers(self, field: str) -> tuple[int | float, ...]:
        """The field's values that are numbers."""
        known = self._numbers.get(field)
        if known is None:
            found = (number_of(element) for element in self._elements(field))
            known = self._numbers[field] = tuple(number for number in found if number is not None)
        return known

    def is_null(self, field: str) -> bool:
        """Absent, null, an array with a null, or an empty array."""
        if field not in self.fields:
            return not self._is_object(field)
        elements = self._elements(field)
        return not elements or None in elements

    def exists(self, field: str) -> bool:
        """There, whatever its value; an object is there if one of its fields is."""
        return field in self.fields or self._is_object(field)

    def truths(self, field: str) -> tuple[bool, ...]:
        """The field's values that are true or false, the texts `true` and `false` among them."""
        found = []
        for element in self._elements(field):
            if isinstance(element, bool):
                found.append(element)
            elif isinstance(element, str) and element.casefold() in _TRUTHS:
                found.append(_TRUTHS[element.casefold()])
        return tuple(found)

    def _elements(self, field: str | None) -> tuple[Scalar, ...]:
        if field is None:
            return logged_values(self.fields)
        if field not in self.fields:
            return ()
        value = self.fields[field]
        return value if isinstance(value, tuple) else (value,)

    def _is_object(self, field: str) -> bool:
        below = field + "."
        return any(name.startswith(below) for name in self.fields)


def logged_values(fields: Fields) -> tuple[Scalar, ...]:
    """Every value of the log itself: what the centre added is not searched for keywords."""
    found: list[Scalar] = []
    for name, value in fields.items():
        if not name.startswith(PREFIX) and name not in _CENTRE_FIELDS:
            if isinstance(value, tuple):
                found += value
            else:
                found.append(value)
    return tuple(found)


_TRUTHS: Final = {"true": True, "false": False}


def text_of(scalar: Present) -> str:
    """A value as text: `true`, `4625`, `1.5`; a whole float as the integer it is (JSON does not tell 1.0 from 1).

    >>> [text_of(value) for value in ("a", True, 4625, 1.0, 0.5)]
    ['a', 'true', '4625', '1', '0.5']
    """
    if isinstance(scalar, str):
        return scalar
    if isinstance(scalar, bool):
        return "true" if scalar else "false"
    if isinstance(scalar, float) and scalar.is_integer() and abs(scalar) < 1e15:
        return str(int(scalar))
    if isinstance(scalar, int) and scalar not in NATIVE_INTEGERS:
        # Python also refuses to print very long ones.
        return repr(_as_float(scalar))
    return str(scalar)


def number_of(scalar: Scalar) -> int | float | None:
    """A value as number: numbers, and texts that are plain decimals; booleans, `0x1f`, `1e3`, NaN are none.

    >>> [number_of(value) for value in (7, "7", "-1.50", True, "0x7", "7 ")]
    [7, 7, -1.5, None, None, None]
    """
    if isinstance(scalar, str):
        if len(scalar) > MAX_NUMBER_TEXT or not _DECIMAL.match(scalar):
            return None
        scalar = float(scalar) if "." in scalar else int(scalar)
    if not isinstance(scalar, int | float) or isinstance(scalar, bool):
        return None
    if isinstance(scalar, float):
        return None if math.isnan(scalar) else scalar
    return scalar if scalar in NATIVE_INTEGERS else _as_float(scalar)


def _as_float(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def elements_of(value: Value) -> tuple[Scalar, ...]:
    """A field's value as the elements of an array."""
    return value if isinstance(value, tuple) else (value,)
