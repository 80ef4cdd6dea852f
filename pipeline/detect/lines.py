"""Sixth fast layer: lines of JSON to matches, without making fields of what no rule asks about.

To read a record is to open its envelope, flatten it and give its fields Sigma's names. For a flat record all of that
follows from its names, and is done once for each shape. A line for which that is not certain is left to the reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import getitem
from typing import Final

import orjson

from pipeline.detect import envelopes
from pipeline.detect.evaluate import Detector, with_open
from pipeline.detect.nodes import Matched
from pipeline.detect.shapes import Names, Renamed, Shapes
from pipeline.detect.windows import VALUED, dotted_names, event_fields, renaming
from schemas.event import MAX_DEPTH, MAX_ELEMENTS, Fields
from schemas.logsource import telling_fields

_LONG: Final = 2 * MAX_ELEMENTS
"""Bytes; a shorter line has no array with too many elements."""
_SCALARS: Final = frozenset(map(type, ("", 0, 0.0, True, None)))


class LineMatcher:
    """Matches lines that hold one flat object each, as most do.

    Args:
        detector: the rules.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        asked = {*detector.fields, *telling_fields(), *dotted_names()}
        self._above_fields = frozenset[str]().union(*map(_above, asked))
        self._begin()

    def _begin(self) -> None:
        self._memory = self._detector.memory
        self._shapes = Shapes(self._detector, _rename, valued=VALUED, above_fields=self._above_fields)

    def match(self, lines: Sequence[bytes]) -> list[Matched | None]:
        """Indexes of the plans that each line's event fulfils; None for a line that has to be read for itself."""
        text = b"\n".join(lines)
        apart = self._detector.text_gate.lines_near(lines, text) | _nested(lines, text)
        match = self._match
        if not apart:
            return list(map(match, lines))
        return [None if number in apart else match(line) for number, line in enumerate(lines)]

    def _match(self, line: bytes) -> Matched | None:
        if self._memory is not self._detector.memory:
            self._begin()
        try:
            record = orjson.loads(line)
            shape = self._shapes[tuple(record)]
            way = shape[shape.stated(record)]
            if way is None or (way.above is not None and not _SCALARS.issuperset(map(type, way.above(record)))):
                return None
            if not way.gate.searched and way.gate.may_be_in(event_fields(record).values()):
                return None
            matched, later = way.node[tuple(map(getitem, way.memos, way.values_of(record)))]
            return matched if later is None else with_open(matched, later, event_fields(record))
        except (orjson.JSONDecodeError, TypeError):
            # No JSON, no object, or an array where a rule asks.
            return None


def _rename(names: Names, valued: Fields) -> Renamed | None:
    return renaming(names, valued) if envelopes.NAMES.isdisjoint(names) else None


def _nested(lines: Sequence[bytes], text: bytes) -> frozenset[int]:
    """Positions of lines that may be nested too deeply, or hold too much; `text` is all of them joined."""
    objects = text.count(b"{")
    if objects == len(lines) == text.count(b"\n{") + text.startswith(b"{") and b"[" not in text:
        return frozenset()
    return frozenset(
        number
        for number, line in enumerate(lines)
        if line.count(b"{") + line.count(b"[") > MAX_DEPTH or (len(line) > _LONG and line.count(b",") > MAX_ELEMENTS)
    )


def _above(name: str) -> Iterable[str]:
    """`a` and `a.b` for `a.b.c`."""
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts)))
