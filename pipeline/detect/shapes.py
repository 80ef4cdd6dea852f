"""Events of one shape, that is with the same names in the same order, are looked at in the same way.

What can be worked out from the names alone is worked out once for each shape: which of the values tell the log source,
and, for each log source, which node the event is put to and where the values lie that the node asks about.

    (EventID, Image, product) -> asks for product -> windows -> node of windows' rules about EventID and Image
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from pipeline.detect.memos import Memory, Truth, is_key
from pipeline.detect.nodes import Getter, Node, getter
from pipeline.detect.routes import Route
from schemas.event import Fields
from schemas.logsource import deciding_fields

Names = tuple[str, ...]
Renamed = Mapping[str, str]
"""Field -> the name under which the record has its value."""
Rename = Callable[[Names, Fields], Renamed | None]
"""From a record's names, and those of its values that may matter, to its fields; None if other values matter too."""

_SHAPE_BYTES: Final = 300
_PER_NAME_BYTES: Final = 100


class Way:
    """How events of one shape and log source are matched.

    Args:
        route: the log source.
        fields: the events' fields.
        above: values that are more fields if they are objects; None if there are none.
    """

    __slots__ = ("_later", "_loud", "_route", "above", "fields", "gate", "memos", "node", "values_of")

    def __init__(self, route: Route, fields: Renamed, above: Getter | None) -> None:
        self.node = route.node(fields.keys(), quiet=True)
        self.memos = self.node.memos
        self.values_of = getter([fields[name] for name in self.node.fields])
        self.gate = route.gate
        self.fields = fields
        self.above = above
        self._route = route
        self._loud: Node | None = None
        self._later: dict[tuple[str, ...], Getter] = {}

    def loud(self) -> Node:
        """The node for events that may hold keywords."""
        if self._loud is None:
            self._loud = self._route.node(self.fields.keys(), quiet=False)
        return self._loud

    def values_for(self, later: Node) -> Getter:
        """The values that a later node asks about."""
        known = self._later.get(later.fields)
        if known is None:
            self._route.memory.spend(_SHAPE_BYTES)
            known = self._later[later.fields] = getter([self.fields[name] for name in later.fields])
        return known


class LogSources(Protocol):
    """Where a shape has its rules from."""

    memory: Memory

    def route(self, stated: Fields) -> Route:
        """The rules for events that state this log source."""


class Shapes(dict[Names, "Shape"]):
    """From the names of a record to its shape.

    Args:
        sources: where the rules are from.
        rename: how records become fields.
        valued: fields whose values `rename` looks at where a record has all of them.
        above_fields: names that stand above dotted fields, where records are not flat for certain.
    """

    def __init__(
        self,
        sources: LogSources,
        rename: Rename,
        *,
        valued: Sequence[str] = (),
        above_fields: frozenset[str] = frozenset(),
    ) -> None:
        self._sources = sources
        self._rename = rename
        self._valued = valued
        self._above_fields = above_fields

    def __missing__(self, names: Names) -> Shape:
        above = [name for name in names if name in self._above_fields]
        shape = self[names] = Shape(names, self._sources, self._rename, self._valued, above)
        self._sources.memory.spend(_PER_NAME_BYTES * len(names) + _SHAPE_BYTES)
        return shape


class Shape(dict[Any, Way | None]):
    """From the values that tell a record's log source to the way it goes; None: it has to be read for itself."""

    __slots__ = ("_above", "_names", "_rename", "_sources", "_stating", "stated")

    def __init__(
        self, names: Names, sources: LogSources, rename: Rename, valued: Sequence[str], above: Sequence[str]
    ) -> None:
        self._names = names
        self._above = getter(above) if above else None
        self._sources = sources
        self._rename = rename
        fields = rename(names, {})
        telling = (
            [] if fields is None else [*deciding_fields(fields), *(valued if fields.keys() >= set(valued) else ())]
        )
        self._stating = [] if fields is None else list(dict.fromkeys(fields[name] for name in telling))
        self.stated: Getter = getter(self._stating)

    def __missing__(self, stated: tuple[Any, ...]) -> Way | None:
        plain = [value.value if isinstance(value, Truth) else value for value in stated]
        way = self._way(dict(zip(self._stating, plain, strict=True)))
        self._sources.memory.spend(_SHAPE_BYTES + (_PER_NAME_BYTES * len(way.fields) if way else 0))
        if all(map(is_key, stated)):
            self[stated] = way
        return way

    def _way(self, stated: Fields) -> Way | None:
        fields = self._rename(self._names, stated)
        if fields is None:
            return None
        telling = deciding_fields(fields)
        if not stated.keys() >= {fields[name] for name in telling}:
            return None
        return Way(self._sources.route({name: stated[fields[name]] for name in telling}), fields, self._above)


def as_they_are(names: Names, _: Fields) -> Renamed:
    """Records that are fields already."""
    return {name: name for name in names}
