"""A shard of all groups: hits in, revisions of alerts out, state in a store.

What a shard holds in memory is a cache of its store. After each call the store is up to date, and a shard made from it
goes on exactly as this one would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import Final

import msgspec

from pipeline.correlate.alert import AlertWriter
from pipeline.correlate.columns import Fresh
from pipeline.correlate.correlation import Correlation
from pipeline.correlate.group import Group, Revision, Step, Watch
from pipeline.correlate.instants import Referral
from pipeline.correlate.store import GroupStore, Head, Segment, Store, Stored, group_key
from pipeline.correlate.thinning import THIN_ABOVE
from schemas.alert import Alert
from schemas.hit import GroupHit, Hit
from schemas.member import MemberRegistry

__all__ = ["Counters", "Shard", "Store"]

REFRESH: Final = 5_000
"""Milliseconds of the settle line after which grown alerts are published again: a flood is one growing alert."""

_Place = tuple[str, tuple[str, ...]]
"""Correlation id and group."""


class Counters(msgspec.Struct):
    """What a shard did not use or keep; nothing is dropped silently."""

    late_after_settle: int = 0
    """Hits before the settle line. The clock promises that there are none: more than zero is a fault."""
    unknown_correlation: int = 0
    """Hits of a correlation that is not in the rule pack any more."""
    abandoned_groups: int = 0
    """Stored groups whose correlation left the rule pack, or changed."""
    thinned_hits: int = 0


class _Kept:
    """A group, where it is stored, and when it is due."""

    __slots__ = ("group", "key", "segments", "timer")

    def __init__(self, group: Group, key: bytes) -> None:
        self.group = group
        self.key = key
        self.segments: list[Segment] = []
        self.timer: int | None = None


class Shard:
    """All groups of all correlations that live in one shard.

    Args:
        correlations: id -> correlation, of the active rule pack.
        registry: names and corporate groups of the members.
        store: the shard's state; read at once.
        pack_version: named in the alerts.
        thin_above: hits that a group may hold before it is thinned.

    Raises:
        ConfigError: the state was written in another format.
    """

    def __init__(
        self,
        correlations: Mapping[str, Correlation],
        registry: MemberRegistry,
        store: Store,
        *,
        pack_version: str = "",
        thin_above: int = THIN_ABOVE,
    ) -> None:
        groups = registry.groups()
        self.counters = Counters()
        referrals = _referrals(correlations)
        self._watches = {
            name: Watch(correlation, groups, thin_above, referrals.get(name, ()))
            for name, correlation in correlations.items()
        }
        self._ranks = _ranks(correlations)
        self._writer = AlertWriter(registry, pack_version)
        self._store = GroupStore(store)
        self._kept: dict[_Place, _Kept] = {}
        self._due: list[list[tuple[int, _Place]]] = [[] for _ in range(1 + max(self._ranks.values(), default=0))]
        self._pending: set[_Place] = set()
        self._line, stored = self._store.load()
        self._refreshed = self._line
        for one in stored:
            self._restore(one)

    def feed(self, hits: Sequence[GroupHit], created: int | None = None) -> list[Alert]:
        """Take hits in, in any order, repeats included; what is worth saying at once.

        Args:
            hits: of any correlations and groups of this shard.
            created: ms; when the revisions are made. Left out, each takes the time of its last instant.
        """
        waiting = self._waiting()
        for one in hits:
            if one.hit.time < self._line:
                self.counters.late_after_settle += 1
            elif one.correlation not in self._watches:
                self.counters.unknown_correlation += 1
            else:
                waiting[self._ranks[one.correlation]].setdefault((one.correlation, one.group), []).append(one.hit)
        alerts: list[Alert] = []
        for rank in range(len(waiting)):
            alerts += self._take(waiting, rank, self._line, created)
        return alerts

    def _waiting(self) -> list[dict[_Place, list[Hit]]]:
        return [{} for _ in self._due]

    def _take(
        self, waiting: list[dict[_Place, list[Hit]]], rank: int, settled: int, created: int | None
    ) -> list[Alert]:
        """Feed the groups of one rank; what they find for those above waits there."""
        alerts: list[Alert] = []
        for place, found in waiting[rank].items():
            kept = self._kept.get(place) or self._open(place)
            step = kept.group.feed(found)
            alerts += self._done(place, kept, step, settled, waiting, created)
        return alerts

    def _done(
        self,
        place: _Place,
        kept: _Kept,
        step: Step,
        settled: int,
        waiting: list[dict[_Place, list[Hit]]],
        created: int | None,
    ) -> list[Alert]:
        """After a group has done something: pass on what others refer to, store it, and write its alerts."""
        group = kept.group
        if step.instants:
            for referral in group.watch.referrals:
                above = waiting[self._ranks[referral.parent]]
                for one in referral.hits(group.key, step.instants):
                    above.setdefault((one.correlation, one.group), []).append(one.hit)
        alerts = self._written(group, step.revisions, created)
        self._save(place, kept, step.fresh, settled)
        return alerts

    def advance(self, line: int, created: int | None = None) -> list[Alert]:
        """Move the settle line: what becomes final, what may now be said, and what grew since it was last said.

        Args:
            line: ms; before it, nothing can come any more. One that is not later than before changes nothing.
            created: as in `feed`; a settled revision always takes the time of its last instant.
        """
        if line <= self._line:
            return []
        settled, self._line = self._line, line
        alerts: list[Alert] = []
        waiting = self._waiting()
        for rank, due in enumerate(self._due):
            # What became final below is not too late here: nothing of this rank has moved on yet.
            alerts += self._take(waiting, rank, settled, created)
            while due and due[0][0] <= line:
                time, place = heappop(due)
                kept = self._kept.get(place)
                if kept is None or kept.timer != time:
                    continue
                kept.timer = None
                alerts += self._done(place, kept, kept.group.advance(settled, line), line, waiting, created)
        if line - self._refreshed >= REFRESH:
            self._refreshed = line
            alerts += self._refresh(created)
        self._store.put_line(line)
        return alerts

    def _refresh(self, created: int | None) -> list[Alert]:
        alerts: list[Alert] = []
        for place in sorted(self._pending):
            kept = self._kept.get(place)
            if kept is not None and kept.group.pending:
                alerts += self._written(kept.group, kept.group.refresh(), created)
                self._save(place, kept, None, self._line)
        self._pending.clear()
        return alerts

    def _written(self, group: Group, revisions: Sequence[Revision], created: int | None) -> list[Alert]:
        write, correlation = self._writer.alert, group.watch.correlation
        return [write(correlation, group.key, revision, created) for revision in revisions]

    def _open(self, place: _Place) -> _Kept:
        watch = self._watches[place[0]]
        kept = self._kept[place] = _Kept(Group(watch, place[1]), group_key(watch.correlation, place[1]))
        return kept

    def _restore(self, stored: Stored) -> None:
        head = stored.head
        watch = self._watches.get(head.correlation) if head is not None else None
        if head is None or watch is None or watch.correlation.fingerprint != head.fingerprint:
            self.counters.abandoned_groups += 1
            self._store.delete(stored.key, stored.segments)
            return
        place = head.correlation, head.group
        kept = self._kept[place] = _Kept(Group(watch, head.group), stored.key)
        group = kept.group
        # A segment may hold hits that were evicted, and are in an episode's frozen part already.
        oldest = self._line - watch.timespan
        group.columns.insert([hit for segment in stored.segments for hit in segment.hits if hit.time >= oldest])
        group.episodes, group.cells = head.episodes, head.cells
        group.thin_above = max(group.thin_above, 2 * len(group.columns)) if head.cells else group.thin_above
        group.changed = False
        group.pending = True
        self._pending.add(place)
        kept.segments = stored.segments
        self._arm(place, kept, self._line)

    def _save(self, place: _Place, kept: _Kept, fresh: Fresh | None, settled: int) -> None:
        """Bring the store up to date with a group, and see when it is due."""
        group = kept.group
        if group.empty:
            self._store.delete(kept.key, kept.segments)
            del self._kept[place]
            return
        held, oldest = len(group.columns), settled - group.watch.timespan
        if group.thin():
            self.counters.thinned_hits += held - len(group.columns)
            self._store.rewrite(kept.key, kept.segments, group.columns.hits)
        elif fresh is None:
            self._store.drop_before(kept.key, kept.segments, oldest)
        elif fresh.hits:
            self._store.add(kept.key, kept.segments, fresh.hits, oldest)
        if group.changed:
            group.changed = False
            head = Head(*place[:1], group.watch.correlation.fingerprint, group.key, group.episodes, group.cells)
            self._store.put_head(kept.key, head)
        if group.pending:
            self._pending.add(place)
        self._arm(place, kept, settled)

    def _arm(self, place: _Place, kept: _Kept, settled: int) -> None:
        """Note when the settle line will next mean something to the group."""
        due = kept.group.deadline(settled)
        if due is not None and (kept.timer is None or due < kept.timer):
            kept.timer = due
            heappush(self._due[self._ranks[place[0]]], (due, place))


def _referrals(correlations: Mapping[str, Correlation]) -> dict[str, list[Referral]]:
    found: dict[str, list[Referral]] = {}
    for parent in correlations.values():
        for position, reference in enumerate(parent.references):
            child = correlations.get(reference.id)
            if child is not None:
                found.setdefault(child.id, []).append(Referral(child, parent, position))
    return found


def _ranks(correlations: Mapping[str, Correlation]) -> dict[str, int]:
    """How many correlations are below each one; nothing refers to itself."""
    ranks: dict[str, int] = {}

    def rank(one: Correlation) -> int:
        if one.id not in ranks:
            below = [correlations[reference.id] for reference in one.references if reference.id in correlations]
            ranks[one.id] = 1 + max((rank(child) for child in below), default=-1)
        return ranks[one.id]

    for one in correlations.values():
        rank(one)
    return ranks
