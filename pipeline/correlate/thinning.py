"""Fewer hits of a flooded group: what is kept decides the same, what is dropped is still counted (correlation.md 7).

Time is cut into buckets of a 16th of the timespan. A window cuts a bucket from one side only. So for conditions that
ask for so many events, values or references, it is enough to keep, from both ends of each bucket, as much as the
condition asks for: **the alerts stay the same, and only their counts become estimates** (a repeat of a dropped hit
counts again). A weighted count may ask for more than can be held: then what is kept of a bucket takes over the weight
of its neighbours, and a window is right but for the buckets at its ends. For the other types a sample is kept, the hits
of lowest hash and the first and last of each member and set of references: **the alerts themselves become estimates.**
All are marked `exact: false` in the alert.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from operator import attrgetter
from typing import Final

import msgspec

from pipeline.correlate.columns import Columns
from pipeline.correlate.content import Content
from pipeline.correlate.correlation import Correlation
from pipeline.correlate.federation_block import THINNING_PARTS
from schemas.event import Scalar
from schemas.hit import Hit

THIN_ABOVE: Final = 4096
"""Hits that a group may hold before it is thinned for the first time."""
LEAST_SAMPLE: Final = 16


_key: Final = attrgetter("mask", "member")
_hid: Final = attrgetter("hid")


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
        asked = len(correlation.references) if correlation.kind == "temporal" else correlation.least
        self._most = 0 if correlation.weight else 2 * (asked + correlation.min_organizations)

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
            if len(hits) <= (self._most if self._lossless else quota):  # all would be kept
                kept += hits
                continue
            wanted = self._deciding(hits) if self._lossless else _sample(hits, quota)
            wanted |= {0, len(hits) - 1}
            if self._correlation.weight and len(wanted) > quota:
                # So much is asked for that no group can hold it: what is kept stands for its neighbours.
                wanted = _sample(hits, quota) | {0, len(hits) - 1}
                kept += _standing_for(hits, sorted(wanted))
            elif len(wanted) == len(hits):
                kept += hits
                continue
            else:
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
        correlation, least = self._correlation, self._correlation.least
        everything, spread = (1 << len(correlation.references)) - 1, correlation.min_organizations
        needed: list[int] = []
        weight, mask = 0, 0
        values: set[Scalar] = set()
        organizations: set[str] = set()
        for index, hit in enumerate(hits):
            wanted = False
            if correlation.kind == "event_count":
                wanted = weight < least
                weight += hit.weight
                seen = weight >= least
            elif correlation.kind == "value_count":
                wanted = hit.value is not None and hit.value not in values
                if wanted:
                    values.add(hit.value)
                seen = len(values) >= least
            else:
                wanted = hit.mask & ~mask != 0
                mask |= hit.mask
                seen = mask == everything
            if len(organizations) < spread:
                groups = {self._groups.get(member, member) for member in hit.members}
                wanted = wanted or not groups <= organizations
                organizations |= groups
            if wanted:
                needed.append(index)
            if seen and len(organizations) >= spread:
                break
        return needed


def _standing_for(hits: Sequence[Hit], kept: Sequence[int]) -> Iterator[Hit]:
    """The hits at these positions, each with the weight of those dropped after it; the first is one of them."""
    for index, following in zip(kept, [*kept[1:], len(hits)], strict=True):
        yield msgspec.structs.replace(hits[index], weight=sum(hit.weight for hit in hits[index:following]))


def _sample(hits: Sequence[Hit], quota: int) -> set[int]:
    """Positions of a sample that does not depend on the order of arrival, with the ends of each member and mask."""
    keys = list(map(_key, hits))
    # Of equal keys the later one wins.
    last = dict(zip(keys, count(), strict=False))
    first = dict(zip(reversed(keys), range(len(hits) - 1, -1, -1), strict=True))
    lowest = sorted(range(len(hits)), key=list(map(_hid, hits)).__getitem__)[:quota]
    return {*lowest, *first.values(), *last.values()}
