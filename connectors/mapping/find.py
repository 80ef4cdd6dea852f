"""Finds values in a parsed line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from connectors.mapping.parse import Parsed

MAX_ITEMS: Final = 100
"""So many items of a list of objects are looked at."""

Find = Callable[[Parsed], Any]
"""A parsed line -> a value; None where there is none."""


def first_of(sources: tuple[str, ...], absent: frozenset[str], *, nested: bool) -> Find:
    """A function that finds the first source with a value.

    Args:
        sources: names of fields; paths where `nested`.
        absent: texts that mean: no value.
        nested: whether fields hold fields, as in JSON.
    """
    finds = tuple(_in_objects(source, absent) if nested else _in_fields(source, absent) for source in sources)
    if len(finds) == 1:
        return finds[0]

    def find_first(data: Parsed) -> Any:
        for find in finds:
            value = find(data)
            if value is not None:
                return value
        return None

    return find_first


def _in_fields(name: str, absent: frozenset[str]) -> Find:
    def find(data: Parsed) -> Any:
        value = data.get(name)
        return None if type(value) is str and value in absent else value

    return find


def _in_items(find: Find, items: list[Any]) -> list[Any] | None:
    found = [value for item in items[:MAX_ITEMS] if type(item) is dict and (value := find(item)) is not None]
    return found or None


def _in_objects(path: str, absent: frozenset[str] = frozenset()) -> Find:
    """Finds `a.b.c` however the object nests it: as one key, as objects, or half and half; in a list, of each item."""
    if "." not in path:
        return _in_fields(path, absent)
    steps = path.split(".")
    *outer, last = steps
    splits = tuple((".".join(steps[:count]), ".".join(steps[count:])) for count in range(1, len(steps)))
    inner = tuple((head, _in_objects(rest)) for head, rest in splits)

    def find(data: Parsed) -> Any:
        value: Any = data
        for step in outer:  # as nearly everybody nests it: objects in objects
            value = value.get(step)
            if type(value) is not dict:
                found = find_split(data)
                break
        else:
            found = value.get(last)
            if found is None:
                found = find_split(data)
        return None if type(found) is str and found in absent else found

    def find_split(data: Parsed) -> Any:
        for head, find_rest in inner:
            value = data.get(head)
            if type(value) is dict:
                found = find_rest(value)
            elif type(value) is list:
                found = _in_items(find_rest, value)
            else:
                continue
            if found is not None:
                return found
        return data.get(path)

    return find
