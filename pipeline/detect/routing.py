"""Which rules an event is put to: those whose log source it has."""

from __future__ import annotations

from pipeline.detect.plan import LogSource
from pipeline.detect.view import text_of
from schemas.event import Fields, Value
from schemas.logsource import FIELDS

Names = tuple[frozenset[str], frozenset[str], frozenset[str]]


def names_of(fields: Fields) -> Names:
    """The event's products, categories and services, in lower case."""
    product, category, service = (
        frozenset(name.lower() for name in stated_names(fields.get(field))) for field in FIELDS
    )
    return product, category, service


def applies(source: LogSource, names: Names) -> bool:
    """Whether each attribute the rule names is one of the event's."""
    pairs = zip(source.attributes(), names, strict=True)
    return all(wanted is None or wanted in stated for wanted, stated in pairs)


def stated_names(value: Value) -> tuple[str, ...]:
    """An attribute as its names: one, several (an event may belong to two categories) or none."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    elements = value if isinstance(value, tuple) else (value,)
    return tuple(text_of(element) for element in elements if element is not None)
