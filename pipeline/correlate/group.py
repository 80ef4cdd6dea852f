"""One group of one correlation: its hits, its episodes, and what there is to say about them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

from pipeline.correlate.clock import NEVER
from pipeline.correlate.columns import Columns, Fresh
from pipeline.correlate.content import Content
from pipeline.correlate.correlation import NUMERIC
from pipeline.correlate.eager import EagerSweep, build_eager
from pipeline.correlate.episode import Episode, Published, Superseded, merge_instants
from pipeline.correlate.instants import Census, Instant
from pipeline.correlate.settling import SettlingSweep
from pipeline.correlate.tally import Tally
from pipeline.correlate.watch import Watch
from schemas.alert import SETTLED_REVISION, SUPERSEDED_REVISION, State
from schemas.hit import Hit

MAX_REWRITTEN: Final = 16
"""Superseded ids of one episode whose tombstones are rewritten when it settles; older ones stay links of a chain."""

_NEVER_DUE: Final = 1 << 62


class Revision(NamedTuple):
    """Something to say about an alert."""

    start: int
    """The first instant, which makes the id."""
    last: int
    """The last instant."""
    content: Content
    state: State
    successor: int | None = None
    """First instant of the alert that supersedes this one."""

    @property
    def number(self) -> int:
        """Later revisions have higher numbers: settled ones above open ones, tombstones above all."""
        match self.state:
            case "open":
                return self.content.size
            case "settled":
                return SETTLED_REVISION + self.content.size
            case "superseded":
                return SUPERSEDED_REVISION


class Step(NamedTuple):
    """What a group made of new hits, or of a move of the settle line."""

    revisions: Sequence[Revision] = ()
    instants: Sequence[Instant] = ()
    """Satisfied times for the correlations that refer to this one; some may be known to them."""


NOTHING: Final = Step()


class Group:
    """Hits and episodes of one group.

    Args:
        watch: its correlation.
        key: canonical values of the group-by fields.
    """

    __slots__ = (
        "_asleep",
        "_census",
        "_dozes_below",
        "_eager",
        "_tally",
        "cells",
        "columns",
        "episodes",
        "key",
        "pending",
        "settling",
        "thin_above",
        "watch",
    )

    def __init__(self, watch: Watch, key: tuple[str, ...]) -> None:
        self.watch = watch
        self.key = key
        self.columns = Columns(numeric=watch.correlation.kind in NUMERIC)
        self._asleep = True
        self.episodes: list[Episode] = []
        self.cells: dict[int, Content] = {}
        self.bound(watch.thinning.above)
        self.pending = False
        """Whether an episode has grown since it was last published."""
        self._census = Census(watch.timespan) if watch.referrals else None
        self._eager: EagerSweep | None = None
        self._tally: Tally | None = None
        self.settling: SettlingSweep | None = None
        """What looks at windows behind the settle line; None while none can hold, or if none need wait."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing left to remember."""
        return not self.columns.times and not self.episodes and not self.cells

    def doze(self, hit: Hit) -> bool:
        """Take a hit that is later than all others, of a member and a reference that were seen before.

        While no window can hold, and none can by its number, nothing more need be done; False if it may be more.
        """
        columns = self.columns
        times = columns.times
        if (
            not 0 < len(times) < self._dozes_below
            or hit.time <= times[-1]
            or hit.mask | columns.mask != columns.mask
            or hit.member not in columns.members
            or hit.also
        ):
            return False
        if columns.numeric:
            if self.watch.waiting.over_by(columns, hit.value):
                return False
            columns.see_number(hit.value)
        times.append(hit.time)
        columns.hits.append(hit)
        return True

    def feed(self, hits: list[Hit]) -> Step:
        """Take hits in, none before the settle line; what is new, and what there is to say at once."""
        if self._asleep and len(hits) == 1 and self.columns.push(hits[0]):
            # Most hits: no window is looked at, and nothing was said.
            if not self.watch.waiting.over(self.columns):
                return NOTHING
            fresh: Fresh | None = Fresh(hits, [], NEVER, replaced=False)
        else:
            fresh = self.columns.insert(hits)
        if fresh is None:
            return NOTHING
        if self._census is not None and fresh.late:
            self._census.forget()
        if self._tally is not None:
            if fresh.replaced:
                self._tally = None
            else:
                self._tally.note(fresh)
        if self._eager is None:
            if not self.watch.waiting.over(self.columns):
                return NOTHING
            self._wake()
        if self._eager is None:
            return NOTHING
        instants = self._eager.instants(self.columns, fresh, covered=self._covered(fresh))
        if not instants and not self.episodes:
            return NOTHING
        revisions: list[Revision] = []
        if self.watch.alerts:
            merge_instants(self.episodes, instants, self.watch.gap)
            revisions = self._news(fresh.earliest)
        told = self._told(instants)
        return Step(revisions, told) if revisions or told else NOTHING

    def _wake(self) -> None:
        """From now on the condition may hold, and windows are looked at."""
        watch = self.watch
        self._asleep = False
        self.bound(self.thin_above)
        if watch.eager:
            self._eager = build_eager(watch.correlation, watch.groups, referred=bool(watch.referrals))
        elif self.settling is None:
            self.settling = SettlingSweep(watch.correlation, watch.groups)

    def restore(self, hits: list[Hit], episodes: list[Episode], cells: dict[int, Content], thin_above: int) -> None:
        """Hold what the group held when it was written."""
        self.columns.insert(hits)
        self.episodes, self.cells = episodes, cells
        self.bound(thin_above)
        self.pending = any(self._grown(episode) for episode in episodes)
        if self.watch.waiting.over(self.columns):
            self._wake()

    def bound(self, thin_above: int) -> None:
        """Set the number of hits above which the group is thinned."""
        self.thin_above = thin_above
        waiting = self.watch.waiting
        most = min(waiting.too_few, thin_above - 1) if self._asleep else 0
        self.columns.dozes_below, self._dozes_below = (most, 0) if waiting.counts_hits else (0, most)

    def _covered(self, fresh: Fresh) -> bool:
        """Whether one alert covers every time that the late hits can have changed, and nobody asks for more."""
        if not fresh.late or fresh.replaced or self.watch.referrals or not self.episodes:
            return False
        last = self.episodes[-1]
        return last.start <= fresh.earliest and last.last >= fresh.newest_before

    def _told(self, instants: Sequence[int]) -> list[Instant]:
        if self._census is None:
            return []
        return self._census.at(self.columns, instants, exact=not self.cells)

    def thin(self) -> int:
        """Drop hits that need not be kept; how many."""
        held = len(self.columns)
        self.columns.see_dozed()
        last = self.episodes[-1] if self.episodes else None
        if self._tally is not None and (last is None or not self._tally.complete(self.columns, last)):
            self._tally = None
        self.watch.thinning.thin(self.columns, self.cells)
        dropped = held - len(self.columns)
        self.bound(max(self.watch.thinning.above, 2 * len(self.columns)))
        if dropped:
            if self._tally is not None and last is not None and self._cells(last.start, last.last):
                self._tally.estimate()
            for sweep in (self._eager, self.settling, self._census):
                if sweep is not None:
                    sweep.forget()
        return dropped

    def advance(self, settled: int, line: int) -> Step:
        """Move the settle line from `settled` to `line`: what becomes true or final by that. Evicts old hits."""
        revisions: list[Revision] = []
        instants: list[int] = []
        if self.settling is not None:
            instants = self.settling.instants(self.columns, settled, line)
            if self.watch.alerts:
                merge_instants(self.episodes, instants, self.watch.gap)
        told = self._told(instants)
        while self.episodes and self.episodes[0].last + self.watch.gap < line:
            revisions += self._publish(self.episodes.pop(0), "settled")
        if instants:
            revisions += self._news(instants[0])
        self._evict(line)
        return Step(revisions, told) if revisions or told else NOTHING

    def refresh(self) -> list[Revision]:
        """Episodes that have grown since they were last published."""
        self.pending = False
        grown = [episode for episode in self.episodes if self._grown(episode)]
        return [revision for episode in grown for revision in self._publish(episode, "open")]

    def deadline(self, settled: int) -> int | None:
        """The first settle line at which there is something to do; None if there never is."""
        watch, times = self.watch, self.columns.times
        due = times[0] + watch.timespan + watch.slack if times else _NEVER_DUE
        if self.episodes:
            due = min(due, self.episodes[0].last + watch.gap + 1)
        if self.cells:
            due = min(due, (min(self.cells) + 1) * watch.thinning.width + watch.timespan)
        if self.settling is not None:
            following = self.settling.next_due(self.columns, settled)
            if following is not None:
                due = min(due, following + 1)
        return None if due == _NEVER_DUE else due

    def _news(self, earliest: int) -> list[Revision]:
        """Revisions of the episodes that something at `earliest` or later can have changed."""
        revisions: list[Revision] = []
        for episode in reversed(self.episodes):
            if episode.last < earliest:
                break
            if self._worth_saying(episode, earliest):
                revisions += self._publish(episode, "open")
            elif not self.pending:
                self.pending = self._grown(episode)
        return revisions

    def _worth_saying(self, episode: Episode, earliest: int) -> bool:
        """New, under another id, at another member, or twice as large: all else waits for the next refresh."""
        if not self.watch.tells_open:
            return False
        said = episode.published
        if said is None or episode.overtaken or said.start != episode.start:
            return True
        if self._count(episode) >= 2 * said.count:
            return True
        if self.columns.members <= said.members:
            return False
        # Hits that were there may have become evidence when the episode grew.
        first, end = self.columns.span(min(earliest, said.last + 1), episode.last)
        first = max(first, bisect_left(self.columns.times, episode.start - self.watch.timespan))
        return any(not said.members.issuperset(hit.members) for hit in self.columns.hits[first:end])

    def _grown(self, episode: Episode) -> bool:
        if not self.watch.tells_open:
            return False
        said = episode.published
        return said is None or said.count != self._count(episode) or said.last != episode.last

    def _publish(self, episode: Episode, state: State) -> list[Revision]:
        """The episode's revision, after the tombstones of the ids it has taken over."""
        tombstones = self._tombstones(episode, state)
        content = self._content(episode)
        episode.published = Published(episode.start, episode.last, content.count, set(content.members))
        return [*tombstones, Revision(episode.start, episode.last, content, state)]

    def _tombstones(self, episode: Episode, state: State) -> list[Revision]:
        """What to say about ids that were published and are not the episode's any more.

        While the episode is open, a tombstone may name an id that gets a tombstone later. When it settles, all name the
        final one.
        """
        said = episode.published
        taken = episode.overtaken + ([said] if said is not None and said.start != episode.start else [])
        fresh = [
            Superseded(former.start, former.last, self._range_content(former.start, former.last), episode.start)
            for former in taken
        ]
        outdated = [one for one in episode.superseded if state == "settled" and one.successor != episode.start]
        for one in outdated:
            one.successor = episode.start
        episode.superseded = (episode.superseded + fresh)[-MAX_REWRITTEN:]
        episode.overtaken = []
        return [Revision(one.start, one.last, one.content, "superseded", episode.start) for one in (*outdated, *fresh)]

    def _count(self, episode: Episode) -> int:
        if self._tally is not None and self._tally.fits(episode):
            return self._tally.count(self.columns, episode.last)
        first, end = self.columns.span(episode.start - self.watch.timespan, episode.last)
        count = end - first + (episode.frozen.count if episode.frozen is not None else 0)
        return count + sum(cell.count for cell in self._cells(episode.start, episode.last))

    def _content(self, episode: Episode) -> Content:
        tally = self._tally
        if tally is None or not tally.fits(episode):
            content = self._range_content(episode.start, episode.last)
            if episode.frozen is not None:
                content.merge(episode.frozen)
            starts = (bucket * self.watch.thinning.width for bucket in self.cells)
            unmet = min((start for start in starts if start > episode.last), default=_NEVER_DUE)
            tally = Tally(episode, content, episode.start - self.watch.timespan, unmet)
            # What joins an episode from its limbo, or falls into a sleeping group, would pass the tally by.
            self._tally = None if self._asleep or episode.limbo is not None else tally
        return tally.content(self.columns, episode.last)

    def _range_content(self, start: int, last: int) -> Content:
        """The evidence of instants `start..last` that is still held."""
        content = Content()
        first, end = self.columns.span(start - self.watch.timespan, last)
        content.fold(self.columns.hits[first:end])
        for cell in self._cells(start, last):
            content.merge(cell)
        return content

    def _cells(self, start: int, last: int) -> list[Content]:
        meets, first = self.watch.thinning.meets, start - self.watch.timespan
        return [cell for bucket, cell in self.cells.items() if meets(bucket, first, last)]

    def _evict(self, line: int) -> None:
        """Forget hits that no admissible hit can share a window with; open episodes keep what they tell."""
        oldest = line - self.watch.timespan
        count = bisect_left(self.columns.times, oldest)
        if count:
            if self._tally is not None and self._tally.misses(self.columns.times[count - 1]):
                self._tally = None
            for episode in self.episodes:
                self._freeze(episode, count)
            if self._eager is not None:
                self._eager.evict(self.columns, count, line)
            elif self.settling is not None:
                self.settling.evict(self.columns, count)
            if self._census is not None:
                self._census.forget()
            self.columns.drop_first(count)
        for bucket in [bucket for bucket in self.cells if (bucket + 1) * self.watch.thinning.width <= oldest]:
            cell = self.cells.pop(bucket)
            for episode in self.episodes:
                if self.watch.thinning.meets(bucket, episode.start - self.watch.timespan, episode.last):
                    episode.frozen = _joined(episode.frozen, cell)

    def _freeze(self, episode: Episode, count: int) -> None:
        times, hits = self.columns.times, self.columns.hits
        first = min(bisect_left(times, episode.start - self.watch.timespan), count)
        after = max(first, min(bisect_right(times, episode.last), count))
        for part, portion in (("frozen", hits[first:after]), ("limbo", hits[after:count])):
            if portion:
                folded = Content()
                folded.fold(portion)
                setattr(episode, part, _joined(getattr(episode, part), folded))


def _joined(content: Content | None, more: Content) -> Content:
    joined = content or Content()
    joined.merge(more)
    return joined
