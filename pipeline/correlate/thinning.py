"""Fewer hits of a flooded group: what is kept decides the same, what is dropped is still counted (correlation.md 7).

Time is cut into buckets of a 16th of the timespan. A window cuts a bucket from one side only. So for conditions that
ask for so many events, values or references, it is enough to keep, from both ends of each bucket, as much as the
condition asks for: **the alerts stay the same, and only their counts become estimates** (a repeat of a dropped hit
counts again). For the other types a sample is kept, the hits of lowest hash and the first and last of each member and
set of references: **the alerts themselves become estimates.** Both are marked `exact: false` in the alert.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pipeline.correlate.columns import Columns
from pipeline.correlate.content import Content
from pipeline.correlate.correlation import Correlation
from pipeline.correlate.federation_block import THINNING_PARTS
from schemas.event import Scalar
from schemas.hit import Hit

THIN_ABOVE: Final = 4096
"""Hits that a group may hold before it is thinned for the first time."""
LEAST_SAMPLE: Final = 16


class Thinning:
    """How hits of one correlation are thinned.

    Args:
        correlation: the rule.
        groups: member -> corporate group.
        above: hits that a group may hold.
        referred: whether other correlations refer to it.
    """

    def __init__(
        self, correlation: Correlation, groups: Mapping[str, str], above: int = THIN_ABOVE, *, referred: bool = False
    ) -> None:
        self._correlation = correlation
        self._groups = groups
        self.above = above
        self.width = min(correlation.timespan // THINNING_PARTS, correlation.suppress)
        counts = correlation.eager and correlation.kind in ("event_count", "value_count", "temporal")
        # Whoever refers to the rule counts its satisfied times, and thinning leaves only the first and last of many.
        self._lossless = counts and not referred

    def thin(self, columns: Columns, cells: dict[int, Content]) -> bool:
        """Drop what need not be kept and count it in the cell of its bucket; whether anything was dropped.

        Args:
            columns: changed in place.
            cells: bucket number -> what was dropped from it; changed in place.
        """
        buckets = list(self._buckets(columns))
        quota = max(LEAST_SAMPLE, self.above // 2 // max(1, len(buckets)))
        kept: list[Hit] = []
        for bucket, hits in buckets:
            wanted = self._deciding(hits) if self._lossless else _sample(hits, quota)
            wanted |= {0, len(hits) - 1}
            kept += [hits[index] for index in sorted(wanted)]
            dropped = [hit for index, hit in enumerate(hits) if index not in wanted]
            if dropped:
                cell = cells.setdefault(bucket, Content(exact=False))
                cell.fold(dropped)
        if len(kept) == len(columns):
            return False
        columns.replace(kept)
        return True

    def meets(self, bucket: int, first: int, last: int) -> bool:
        """Whether a bucket has a part in `first..last` (ms)."""
        return bucket * self.width <= last and (bucket + 1) * self.width > first

    def _buckets(self, columns: Columns) -> Iterable[tuple[int, list[Hit]]]:
        times, start = columns.times, 0
        while start < len(times):
            bucket = times[start] // self.width
            end = bisect_left(times, (bucket + 1) * self.width, start)
            yield bucket, columns.hits[start:end]
            start = end

    def _deciding(self, hits: Sequence[Hit]) -> set[int]:
        """Positions of the hits that decide every window which cuts the bucket, from either side."""
        forward = self._needed(hits)
        backward = self._needed(hits[::-1])
        return {*forward, *(len(hits) - 1 - index for index in backward)}

    def _needed(self, hits: Sequence[Hit]) -> list[int]:
        """Positions of hits, from the start, until as much was seen as the condition can ask for."""
        correlation = self._correlation
        needed: list[int] = []
        weight, mask = 0, 0
        values: set[Scalar] = set()
        organizations: set[str] = set()
        for index, hit in enumerate(hits):
            wanted = False
            if correlation.kind == "event_count":
                wanted = weight < correlation.least
                weight += hit.weight
            elif correlation.kind == "value_count":
                wanted = hit.value is not None and hit.value not in values and len(values) < correlation.least
                if wanted:
                    values.add(hit.value)
            else:
                wanted = hit.mask & ~mask != 0
                mask |= hit.mask
            hit_groups = {self._groups.get(member, member) for member in hit.members}
            if len(organizations) < correlation.min_organizations and not hit_groups <= organizations:
                organizations |= hit_groups
                wanted = True
            if wanted:
                needed.append(index)
        return needed


def _sample(hits: Sequence[Hit], quota: int) -> set[int]:
    """Positions of a sample that does not depend on the order of arrival, with the ends of each member and mask."""
    ends: dict[tuple[int, str], tuple[int, int]] = {}
    for index, hit in enumerate(hits):
        first, _ = ends.get((hit.mask, hit.member), (index, index))
        ends[hit.mask, hit.member] = first, index
    lowest = sorted(range(len(hits)), key=lambda index: hits[index].hid)[:quota]
    return {*lowest, *(index for pair in ends.values() for index in pair)}
