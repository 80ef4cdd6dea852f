"""Groups in memory: a bounded cache of the stored ones, read when touched and written some time later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from pipeline.correlate.group import Group
from pipeline.correlate.store import FORMAT, Page, ShardStore, group_key
from pipeline.correlate.timetable import Timetable
from pipeline.correlate.watch import Watch

LIVE: Final = 10_000
"""Groups of one shard that stay in memory when they have been written; others are read again when touched."""
BUDGET: Final = 200_000
"""Groups of one correlation in one shard. Beyond, a member that holds its share of them opens no further ones."""

Place = tuple[str, tuple[str, ...]]
"""Correlation id and group."""


class Living:
    """A group in memory."""

    __slots__ = ("changed", "columns", "group", "key", "opener", "timer")

    def __init__(self, group: Group, key: bytes, opener: str) -> None:
        self.group = group
        self.columns = group.columns
        self.key = key
        self.opener = opener
        self.timer: int | None = None
        """The settle line at which it is due."""
        self.changed = False
        """Whether its page is out of date."""


class LivingGroups:
    """The groups of a shard that are in memory, and the way to those that are not.

    Args:
        watches: id -> correlation.
        store: the shard's.
        timetable: lists every stored group.
        held: correlation -> member -> groups that it opened; changed in place.
        on_abandoned: told of a stored group whose correlation left the rule pack, or changed.
        live: groups that stay in memory.
        budget: groups of one correlation.
    """

    def __init__(
        self,
        watches: Mapping[str, Watch],
        store: ShardStore,
        timetable: Timetable,
        held: dict[str, dict[str, int]],
        on_abandoned: Callable[[], None],
        *,
        live: int = LIVE,
        budget: int = BUDGET,
    ) -> None:
        self.by_place: dict[Place, Living] = {}
        self._held = held
        self._totals = {correlation: sum(members.values()) for correlation, members in held.items()}
        self._watches = watches
        self._store = store
        self._timetable = timetable
        self._on_abandoned = on_abandoned
        self._live = live
        self._budget = budget
        self._places: dict[bytes, Place] = {}
        self._gone: set[bytes] = set()

    @property
    def held(self) -> int:
        """Groups of all correlations, in memory and in the store."""
        return sum(self._totals.values())

    def open(self, place: Place, opener: str) -> Living | None:
        """The group at a place that is not in memory: from the store, or new; None if there is no room for it.

        Args:
            place: where.
            opener: the member whose hit asks for it.
        """
        watch = self._watches[place[0]]
        key = group_key(watch.correlation, place[1])
        if key in self._timetable:
            found = self.load(key)
            if found is not None:
                return found
        held, total = self._held.setdefault(place[0], {}), self._totals.get(place[0], 0)
        if total >= self._budget and held.get(opener, 0) * len(held) >= self._budget:
            return None
        held[opener] = held.get(opener, 0) + 1
        self._totals[place[0]] = total + 1
        return self._keep(place, Living(Group(watch, place[1]), key, opener))

    def load(self, key: bytes) -> Living | None:
        """The group with a key; None if it is not there any more."""
        place = self._places.get(key)
        if place is not None:
            return self.by_place[place]
        page = None if key in self._gone else self._store.page(key)
        if page is None:
            return None
        watch = self._watches.get(page.correlation)
        if watch is None or watch.correlation.fingerprint != page.fingerprint:
            self._on_abandoned()
            self._forget(key, page.correlation, page.opener)
            return None
        group = Group(watch, page.group)
        group.restore(page.hits, page.episodes, page.cells, page.thin_above)
        return self._keep((page.correlation, page.group), Living(group, key, page.opener))

    def remove(self, place: Place) -> None:
        """Forget an empty group."""
        living = self.by_place.pop(place)
        del self._places[living.key]
        self._forget(living.key, place[0], living.opener)

    def save(self, line: int) -> None:
        """Write what changed, list it in the timetable, and let go of what memory has no room for.

        Args:
            line: ms; the settle line.
        """
        for key in self._gone - self._places.keys():
            self._store.delete_page(key)
        self._gone = set()
        quiet, written = [], []
        for place, living in self.by_place.items():
            if not living.changed:
                quiet.append(place)
                continue
            group, watch = living.group, living.group.watch
            page = Page(
                FORMAT,
                place[0],
                watch.correlation.fingerprint,
                place[1],
                living.opener,
                group.episodes,
                group.cells,
                group.columns.hits,
                group.thin_above,
            )
            self._store.put_page(living.key, page)
            due = line + watch.ahead if group.pending else group.deadline(line + watch.ahead)
            assert due is not None, "a group that is never due is empty"
            self._timetable.note(living.key, due - watch.ahead, watch.timespan)
            living.changed = False
            written.append(place)
        for place in (quiet + written)[: max(0, len(self.by_place) - self._live)]:
            del self._places[self.by_place.pop(place).key]

    def _keep(self, place: Place, living: Living) -> Living:
        living.changed = True
        self.by_place[place] = living
        self._places[living.key] = place
        return living

    def _forget(self, key: bytes, correlation: str, opener: str) -> None:
        self._timetable.forget(key)
        self._gone.add(key)
        held = self._held.get(correlation, {})
        self._totals[correlation] = self._totals.get(correlation, 1) - 1
        if held.get(opener, 0) > 1:
            held[opener] -= 1
        else:
            held.pop(opener, None)
