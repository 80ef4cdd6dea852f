"""Sixth fast layer: lines of JSON to matches, without making fields of what no rule asks about.

To read a record is to open its envelope, flatten it and give its fields Sigma's names. For a flat record all of that
follows from its names, and is done once for each shape. A line for which that is not certain is left to the reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import getitem
from typing import Any, Final

import orjson

from pipeline.detect import envelopes
from pipeline.detect.evaluate import Detector, with_open
from pipeline.detect.memos import told_apart
from pipeline.detect.nodes import Later, Matched, Node
from pipeline.detect.shapes import Names, Renamed, Shape, Shapes, Way
from pipeline.detect.tables import names_above
from pipeline.detect.windows import VALUED, dotted_names, event_fields, renaming
from schemas.event import MAX_DEPTH, MAX_ELEMENTS, Fields
from schemas.logsource import telling_fields

_SCALARS: Final = frozenset(map(type, ("", 0, 0.0, True, None)))


class LineMatcher:
    """Matches lines that hold one flat object each, as most do.

    Args:
        detector: the rules.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        asked = {*detector.fields, *telling_fields(), *dotted_names()}
        self._above_fields = frozenset(above for name in asked for above in names_above(name))
        self._begin()

    def _begin(self) -> None:
        self._memory = self._detector.memory
        self._shapes = Shapes(self._detector, _rename, valued=VALUED, above_fields=self._above_fields)

    def match(self, lines: Sequence[bytes]) -> list[Matched | None]:
        """Indexes of the plans that each line's event fulfils; None for a line that has to be read for itself."""
        near, typed, nested = self._detector.text_gate.lines_apart(lines)
        if self._memory is not self._detector.memory:
            self._begin()
        near = near.union(number for number in nested if _is_refusable(lines[number]))
        shapes, loads = self._shapes, orjson.loads
        found: list[Matched | None] = []
        for number, line in enumerate(lines):
            if number in near:
                found.append(None)
                continue
            try:
                record = loads(line)
                if type(record) is not dict:
                    found.append(None)
                    continue
                shape = shapes[tuple(record)]
                if number in typed:
                    found.append(_match_typed(shape, record, line))
                    continue
                way = shape[shape.stated(record)]
                if (
                    way is None
                    or (number in nested and _has_fields_within(way, record))
                    or not (way.gate.searched or _is_quiet(way, record, line))
                ):
                    found.append(None)
                    continue
                matched, later = way.node[tuple(map(getitem, way.memos, way.values_of(record)))]
                found.append(matched if later is None else _with_later(matched, later, way, record))
            except (orjson.JSONDecodeError, TypeError):
                # No JSON, or an array where a rule asks.
                found.append(None)
        return found


def _match_typed(shape: Shape, record: dict[str, Any], line: bytes) -> Matched | None:
    """The same for a record in which booleans have to be told from numbers."""
    way = shape[told_apart(shape.stated(record))]
    if way is None or _has_fields_within(way, record) or not (way.gate.searched or _is_quiet(way, record, line)):
        return None
    matched, later = way.node.verdict_of(told_apart(way.values_of(record)))
    return matched if later is None else _with_later(matched, later, way, record)


def _has_fields_within(way: Way, record: dict[str, Any]) -> bool:
    """Whether a value in which a rule may ask for a field is not just a value."""
    return way.above is not None and not _SCALARS.issuperset(map(type, way.above(record)))


def _is_quiet(way: Way, record: dict[str, Any], line: bytes) -> bool:
    """Whether a record has none of the keywords, which have not been searched for."""
    return not way.gate.may_be_in_line(line, lambda: event_fields(dict(record)).values())


def _with_later(matched: Matched, later: Later | None, way: Way, record: dict[str, Any]) -> Matched:
    if isinstance(later, Node):
        more, later = later.verdict_of(told_apart(way.values_for(later)(record)))
        if more:
            matched = tuple(sorted((*matched, *more)))
    return matched if later is None else with_open(matched, later, event_fields(record))


def _rename(names: Names, valued: Fields) -> Renamed | None:
    return renaming(names, valued) if envelopes.NAMES.isdisjoint(names) else None


def _is_refusable(line: bytes) -> bool:
    """Whether a line may be nested too deeply, or hold an array with too many elements."""
    # Splitting skips from one to the next, counting looks at every byte.
    deep = len(line.split(b"{")) + len(line.split(b"[")) - 2 > MAX_DEPTH
    return deep or (len(line) > MAX_ELEMENTS and line.count(b",") > MAX_ELEMENTS)
