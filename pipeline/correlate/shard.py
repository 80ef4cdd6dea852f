"""A shard of all groups: hits in, revisions of alerts out, state in a store.

What a shard holds in memory is a cache of its store. After each call the store is up to date, and a shard made from it
goes on exactly as this one would.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from operator import attrgetter
from typing import Final

import msgspec

from pipeline.correlate.alert import AlertWriter
from pipeline.correlate.correlation import Correlation
from pipeline.correlate.group import NOTHING, Group, Revision, Step
from pipeline.correlate.instants import referrals_among
from pipeline.correlate.living import BUDGET, LIVE, Living, LivingGroups, Place
from pipeline.correlate.store import ShardStore, Store, Summary
from pipeline.correlate.thinning import THIN_ABOVE
from pipeline.correlate.timetable import Timetable
from pipeline.correlate.watch import Watch
from schemas.alert import Alert
from schemas.hit import GroupHit, Hit
from schemas.member import MemberRegistry

__all__ = ["Counters", "Shard", "Store"]

JOURNAL: Final = 65_536
"""Hits in the journal, and one for each entry, at which changed groups are written and it begins anew."""
HITS_PER_PAGE: Final = 16
"""Hits in the journal for each group in memory, before their pages are written."""

_correlation: Final = attrgetter("correlation")
_group: Final = attrgetter("group")
_hit: Final = attrgetter("hit")
_Waiting = list[dict[Place, list[Hit]]]
"""For each rank the hits of its groups."""


class Limits(msgspec.Struct, frozen=True):
    """What bounds a shard."""

    thin_above: int = THIN_ABOVE
    """Hits that a group may hold before it is thinned."""
    live: int = LIVE
    """Groups in memory."""
    budget: int = BUDGET
    """Groups of one correlation."""
    journal: int = JOURNAL


class Counters(msgspec.Struct):
    """What a shard did not use or keep since it started; nothing is dropped silently."""

    late_after_settle: int = 0
    """Hits before the settle line. The clock promises that there are none: more than zero is a fault."""
    unknown_correlation: int = 0
    """Hits of a correlation that is not in the rule pack any more."""
    abandoned_groups: int = 0
    """Stored groups whose correlation left the rule pack, or changed."""
    thinned_hits: int = 0
    refused_hits: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """(correlation, member) -> hits that would have opened a group beyond the budget."""


class Shard:
    """All groups of all correlations that live in one shard.

    Args:
        correlations: id -> correlation, of the active rule pack.
        registry: names and corporate groups of the members.
        store: the shard's state; the summary and the journal are read at once.
        pack_version: named in the alerts.
        limits: what bounds it.
        lateness: ms that the settle line stays behind the clock; a rule with a shorter `settle_after` is ahead of it.
        settled_only: whether alerts are told when they have settled and not before; these are the same either way.

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
        limits: Limits | None = None,
        lateness: int = 0,
        settled_only: bool = False,
    ) -> None:
        limits = limits or Limits()
        groups, referrals = registry.groups(), referrals_among(correlations)
        self.counters = Counters()
        self.ended_groups = 0
        """Groups that nothing can come for any more, and that were forgotten."""
        self._watches = {
            name: Watch(correlation, groups, limits.thin_above, referrals.get(name, ()))
            for name, correlation in correlations.items()
        }
        for watch in self._watches.values():
            watch.tells_open = not settled_only
        self._lateness = lateness
        self._fingerprints = {name: correlation.fingerprint for name, correlation in correlations.items()}
        self._ranks = _ranks(correlations)
        self._writer = AlertWriter(registry, pack_version)
        self._store = ShardStore(store)
        self._journal, self._live = limits.journal, limits.live
        self._due: list[list[tuple[int, Place]]] = [[] for _ in range(1 + max(self._ranks.values(), default=0))]
        self._pending: dict[int, set[Place]] = {}
        summary = self._store.summary()
        known = summary or Summary()
        self._line = known.line
        # As the journal was written. A shorter lateness is taken over with the next move of the line, a longer one
        # never: what is settled stays settled.
        self._set_ahead(lateness if known.lateness is None else known.lateness)
        self._note_settled()
        self._timetable = Timetable(store, known.chunks)
        self._living = LivingGroups(
            self._watches,
            self._store,
            self._timetable,
            known.held,
            self._abandoned,
            live=limits.live,
            budget=limits.budget,
        )
        self._summary = known
        self._catch_up(known.fingerprints)
        if summary is None or known.fingerprints != self._fingerprints:
            self.save()

    @property
    def groups(self) -> int:
        """Groups held, in memory and in the store."""
        return self._living.held

    def feed(self, hits: Sequence[GroupHit], created: int | None = None) -> list[Alert]:
        """Take hits in, in any order, repeats included; what is worth saying at once.

        Args:
            hits: of any correlations and groups of this shard.
            created: ms; when the revisions are made. Left out, each takes the time of its last instant.
        """
        if not hits:
            return []
        self._store.note(hits, None)
        alerts = self._feed(hits, created)
        if self._journal_is_full():
            self.save()
        return alerts

    def advance(self, line: int, created: int | None = None) -> list[Alert]:
        """Move the settle line: what becomes final, what may now be said, and what grew since it was last said.

        Args:
            line: ms; before it, nothing can come any more. One that is not later than before changes nothing.
            created: as in `feed`; a settled revision always takes the time of its last instant.
        """
        if line <= self._line:
            return []
        shortened = self._lateness < self._lateness_in_use
        if shortened:
            self._set_ahead(self._lateness)
        self._store.note((), line)
        alerts = self._advance(line, created)
        if shortened or self._journal_is_full():
            self.save()
        return alerts

    def _journal_is_full(self) -> bool:
        """Whether to write pages: not for a few hits each, unless there are more groups than memory is for."""
        groups = len(self._living.by_place)
        most = max(self._journal, HITS_PER_PAGE * groups) if groups <= self._live else self._journal
        return self._store.journalled >= most

    def _set_ahead(self, lateness: int) -> None:
        self._ahead: dict[str, int] = {}
        for name, watch in self._watches.items():
            settle_after = watch.correlation.settle_after
            if settle_after is not None and settle_after < lateness:
                self._ahead[name] = lateness - settle_after
            watch.ahead = self._ahead.get(name, 0)
        self._lateness_in_use = lateness

    def _note_settled(self) -> None:
        for watch in self._watches.values():
            watch.settled = max(watch.settled, self._line + watch.ahead)

    def _catch_up(self, fingerprints: Mapping[str, str]) -> None:
        """Do again what the journal says; its alerts were published then."""
        same = {name for name, fingerprint in fingerprints.items() if self._fingerprints.get(name) == fingerprint}
        for hits, line in self._store.journal():
            if line is None:
                self._feed([one for one in hits if one.correlation in same], None)
            else:
                self._advance(line, None)
        abandoned = self.counters.abandoned_groups
        self.counters = Counters(abandoned_groups=abandoned)

    def save(self) -> None:
        """Write every changed group and begin a new journal; without it the next shard has more to read."""
        self._living.save(self._line)
        for rank, due in enumerate(self._due):
            if len(due) > 2 * len(self._living.by_place) + 1_000:
                timers = ((time, place, self._living.by_place.get(place)) for time, place in due)
                self._due[rank] = [(time, place) for time, place, one in timers if one and one.timer == time]
                heapify(self._due[rank])
        self._summary.line = self._line
        self._summary.lateness = self._lateness_in_use
        self._summary.fingerprints = self._fingerprints
        self._summary.chunks = self._timetable.save()
        self._store.begin(self._summary)

    def _abandoned(self) -> None:
        self.counters.abandoned_groups += 1

    def _feed(self, hits: Sequence[GroupHit], created: int | None) -> list[Alert]:
        places: dict[Place, list[Hit]] = {}
        line, watches, ahead, by_place = self._line, self._watches, self._ahead, self._living.by_place
        reached = zip(map(_correlation, hits), map(_group, hits), strict=True)
        for place, hit in zip(reached, map(_hit, hits), strict=True):
            if hit.time < line or (ahead and hit.time < line + ahead.get(place[0], 0)):
                self.counters.late_after_settle += 1
                continue
            living = by_place.get(place)
            if living is not None and (living.columns.doze(hit) or living.group.doze(hit)):
                living.changed = True
            elif place[0] in watches:
                places.setdefault(place, []).append(hit)
            else:
                self.counters.unknown_correlation += 1
        waiting = self._by_rank(places)
        return [alert for rank in range(len(waiting)) for alert in self._take(waiting, rank, created)]

    def _by_rank(self, places: dict[Place, list[Hit]]) -> _Waiting:
        if len(self._due) == 1:
            return [places]
        waiting: _Waiting = [{} for _ in self._due]
        for place, hits in places.items():
            waiting[self._ranks[place[0]]][place] = hits
        return waiting

    def _take(self, waiting: _Waiting, rank: int, created: int | None) -> list[Alert]:
        """Feed the groups of one rank; what they find for those above waits there."""
        alerts: list[Alert] = []
        by_place = self._living.by_place
        for place, hits in waiting[rank].items():
            living = by_place.get(place) or self._open(place, hits)
            if living is None:
                continue
            living.changed = True
            group, timer = living.group, living.timer
            step = group.feed(hits)
            if step is not NOTHING:
                alerts += self._done(group, step, waiting, created)
            if len(group.columns.times) >= group.thin_above:
                self.counters.thinned_hits += group.thin()
            if group.pending:
                self._await_refresh(place, group)
            if (
                timer is None
                or step is not NOTHING
                or (group.settling is not None and hits[0].time - group.watch.ahead < timer)
            ):
                self._arm(place, living, group.watch.settled)
        return alerts

    def _open(self, place: Place, hits: Sequence[Hit]) -> Living | None:
        living = self._living.open(place, hits[0].member)
        if living is None:
            self.counters.refused_hits[place[0], hits[0].member] += len(hits)
        return living

    def _done(self, group: Group, step: Step, waiting: _Waiting, created: int | None) -> list[Alert]:
        """After a group has done something: pass on what others refer to, and write its alerts."""
        if step.instants:
            for referral in group.watch.referrals:
                above = waiting[self._ranks[referral.parent]]
                for one in referral.hits(group.key, step.instants):
                    above.setdefault((one.correlation, one.group), []).append(one.hit)
        return self._written(group, step.revisions, created)

    def _advance(self, line: int, created: int | None) -> list[Alert]:
        settled, self._line = self._line, line
        for key in self._timetable.take(line):
            living = self._living.load(key)
            if living is not None:
                living.changed = True
                place = living.group.watch.correlation.id, living.group.key
                if living.group.pending:
                    self._await_refresh(place, living.group)
                self._arm(place, living, living.group.watch.settled)
        alerts: list[Alert] = []
        waiting = self._by_rank({})
        for rank in range(len(self._due)):
            # What became final below is not too late here: nothing of this rank has moved on yet.
            alerts += self._take(waiting, rank, created)
            alerts += self._move(rank, line, waiting, created)
        self._note_settled()
        for interval in sorted(self._pending):
            if line // interval > settled // interval:
                alerts += self._refresh(self._pending.pop(interval), created)
        return alerts

    def _await_refresh(self, place: Place, group: Group) -> None:
        self._pending.setdefault(group.watch.refresh, set()).add(place)

    def _move(self, rank: int, line: int, waiting: _Waiting, created: int | None) -> list[Alert]:
        """Move the groups of one rank that are due."""
        alerts: list[Alert] = []
        due, by_place = self._due[rank], self._living.by_place
        while due and due[0][0] <= line:
            time, place = heappop(due)
            living = by_place.get(place)
            if living is None or living.timer != time:
                continue
            living.timer = None
            living.changed = True
            watch = living.group.watch
            own_line = max(watch.settled, line + watch.ahead)
            step = living.group.advance(watch.settled, own_line)
            if step is not NOTHING:
                alerts += self._done(living.group, step, waiting, created)
            if living.group.empty:
                self._living.remove(place)
                self.ended_groups += 1
            else:
                self._arm(place, living, own_line)
        return alerts

    def _refresh(self, places: set[Place], created: int | None) -> list[Alert]:
        alerts: list[Alert] = []
        for place in sorted(places):
            living = self._living.by_place.get(place)
            if living is not None and living.group.pending:
                living.changed = True
                alerts += self._written(living.group, living.group.refresh(), created)
        return alerts

    def _written(self, group: Group, revisions: Sequence[Revision], created: int | None) -> list[Alert]:
        write, correlation = self._writer.alert, group.watch.correlation
        return [write(correlation, group.key, revision, created) for revision in revisions]

    def _arm(self, place: Place, living: Living, settled: int) -> None:
        """Note when the settle line will next mean something to the group."""
        due = living.group.deadline(settled)
        if due is None:
            return
        due -= living.group.watch.ahead
        if living.timer is None or due < living.timer:
            living.timer = due
            heappush(self._due[self._ranks[place[0]]], (due, place))


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
