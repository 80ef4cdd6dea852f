"""Random correlations and streams, and a driver that delivers a stream in any way the real one may."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from pipeline.correlate.correlation import Clause, Comparison, Correlation, Reference
from pipeline.correlate.episode import alert_id
from pipeline.correlate.project import hit_id
from pipeline.correlate.shard import Limits, Shard
from pipeline.correlate.store import DictStore
from pipeline.correlate.thinning import THIN_ABOVE
from schemas.alert import Alert
from schemas.event import Event, Origin
from schemas.hit import GroupHit, Hit
from schemas.member import Member, MemberRegistry
from schemas.times import from_rfc3339
from tests.pipeline.correlate.naive import NaiveAlert

BASE = 1_700_000_000_000
END = BASE + 10**12
LATENESS = 20
"""Milliseconds that the settle line of most rules stays behind the clock."""
REGISTRY = MemberRegistry(
    members=(
        Member(id="ash-bank", name="Ash Bank", group="ash"),
        Member(id="ash-broker", name="Ash Broker", group="ash"),
        Member(id="birch", name="Birch"),
        Member(id="cedar", name="Cedar"),
        Member(id="dogwood", name="Dogwood"),
    )
)
MEMBERS = [member.id for member in REGISTRY.members]
EXAMPLES = int(os.environ.get("JSOC_EXAMPLES", "25"))
"""Random cases per family; the nightly run asks for thousands."""

examples = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES <= 100, suppress_health_check=list(HealthCheck)
)


def correlation(kind: Any, span: int = 10, references: int = 1, **changes: Any) -> Correlation:
    """A correlation with made-up references."""
    fields: dict[str, Any] = {
        "id": f"test-{kind}",
        "fingerprint": "0",
        "title": "A test",
        "kind": kind,
        "references": tuple(Reference(f"r{number}", f"Detection {number}") for number in range(references)),
        "group_by": ("source.ip",),
        "timespan": span,
        "suppress": span,
        "comparisons": (Comparison("gte", references),) if "clauses" not in changes else (),
    }
    return Correlation(**fields | changes)


def hit(
    time: int,
    *,
    member: int = 0,
    mask: int = 1,
    value: int | None = None,
    weight: int = 1,
    name: str = "",
    group: str = "x",
    rule: str = "test-event_count",
) -> GroupHit:
    """A hit at BASE + time, of an event that `name` and the member identify."""
    event_id = f"{name}@{time}"
    origin = Origin(f"events.{MEMBERS[member]}", 0, time, BASE + time)
    event = Event({}, origin, 0, MEMBERS[member], event_id, BASE + time, "on_time")
    return GroupHit(
        rule,
        (group,),
        Hit(BASE + time, hit_id(event), mask, MEMBERS[member], value, weight, origin.topic, 0, time, 0, event_id),
    )


class Said(NamedTuple):
    """What an alert says, in a form that the reference can say, too."""

    id: str
    last: int
    count: int
    members: tuple[tuple[str, int, int, int], ...]
    evidence: tuple[str, ...]


@dataclass
class Outcome:
    """All that a shard said over a stream."""

    alerts: list[Alert] = field(default_factory=list)
    thinned: int = 0
    """Hits that were counted and not kept."""

    @property
    def settled(self) -> list[Said]:
        """What the settled alerts say."""
        return sorted(summary(alert) for alert in self.alerts if alert.jointsoc.alert.state == "settled")

    def latest(self) -> dict[str, Alert]:
        """Id -> the document with the highest revision, the later one of equals: what an index ends up with."""
        documents: dict[str, Alert] = {}
        for alert in self.alerts:
            known = documents.get(alert.id)
            if known is None or alert.jointsoc.alert.revision >= known.jointsoc.alert.revision:
                documents[alert.id] = alert
        return documents

    def live(self) -> set[str]:
        """Ids that are not superseded."""
        return {one.id for one in self.latest().values() if one.jointsoc.alert.state != "superseded"}


def summary(alert: Alert) -> Said:
    """What matters of an alert document."""
    part = alert.jointsoc
    return Said(
        alert.id,
        from_rfc3339(alert.timestamp),
        part.events,
        tuple((one.id, from_rfc3339(one.first_seen), from_rfc3339(one.last_seen), one.count) for one in part.members),
        tuple(item.event_id for item in part.evidence),
    )


def expected(alerts: Sequence[NaiveAlert], rules: Sequence[Correlation]) -> list[Said]:
    """The same, of the reference's alerts."""
    by_id = {rule.id: rule for rule in rules}
    return sorted(
        Said(alert_id(by_id[one.correlation], one.group, one.start), one.last, one.count, one.members, one.evidence)
        for one in alerts
    )


def deliver(
    correlations: Sequence[Correlation],
    hits: Sequence[GroupHit],
    random: Random,
    *,
    shuffle: float = 1.0,
    restarts: float = 0.2,
    moves: float = 0.5,
    thin_above: int = THIN_ABOVE,
    settled_only: bool = False,
    look: Callable[[Outcome, Sequence[GroupHit]], None] | None = None,
) -> Outcome:
    """Feed a stream in random order and batches, with repeats, legal moves of the settle line, and restarts.

    Args:
        correlations: the rules.
        hits: the stream.
        random: decides everything.
        shuffle: how far out of order, as a part of the stream's length.
        restarts: chance of a restart after each batch.
        moves: chance of a move of the line after each batch.
        thin_above: hits that a group may hold.
        settled_only: whether the shard keeps silent about what is open.
        look: called after each batch with what came out so far and what went in.
    """
    rules: Mapping[str, Correlation] = {rule.id: rule for rule in correlations}
    repeated = [*hits, *(one for one in hits if random.random() < 0.25)]
    latest = max((one.hit.time for one in hits), default=0)
    reach = shuffle * (latest - BASE + 1)
    order = sorted(repeated, key=lambda one: one.hit.time + random.random() * reach)
    store, outcome, line, place = DictStore(), Outcome(), BASE - 1000, 0
    ahead = max((LATENESS - rule.settle_after for rule in correlations if rule.settle_after is not None), default=0)
    limits = Limits(thin_above=thin_above, live=random.choice((0, 1, 10)), journal=random.choice((1, 4, 30, 10_000)))

    def start() -> Shard:
        return Shard(rules, REGISTRY, store, limits=limits, lateness=LATENESS, settled_only=settled_only)

    shard = start()
    while place < len(order):
        size = random.choice((1, 2, 5, 100))
        batch = order[place : place + size]
        place += size
        outcome.alerts += shard.feed(batch)
        if look is not None:
            look(outcome, order[:place])
        if random.random() < moves:
            legal = min((one.hit.time for one in order[place:]), default=END - 1)
            line = max(line, random.randint(min(line, legal), legal) if random.random() < 0.5 else legal)
            outcome.alerts += shard.advance(line - ahead)
        if random.random() < restarts:
            assert shard.counters.late_after_settle == 0
            outcome.thinned += shard.counters.thinned_hits
            shard = start()
    outcome.alerts += shard.advance(END)
    outcome.thinned += shard.counters.thinned_hits
    shard.save()
    assert shard.counters.late_after_settle == 0
    assert set(store.entries) == {b"shard"}, "nothing is left when everything has settled"
    return outcome


@st.composite
def streams(
    draw: st.DrawFn,
    rule: str,
    *,
    references: int = 1,
    values: bool = False,
    least_value: int = -3,
    weights: bool = False,
    least: int = 0,
    most: int = 24,
    horizon: int = 60,
) -> list[GroupHit]:
    """Hits of two groups, dense enough for ties, hits on the edge of windows, and episodes that meet."""
    found = []
    bits = [1 << position for position in range(references)]
    for number in range(draw(st.integers(least, most))):
        one: dict[str, Any] = {
            "time": draw(st.integers(0, horizon)),
            "member": draw(st.integers(0, len(MEMBERS) - 1)),
            "mask": draw(st.one_of(st.sampled_from(bits), st.integers(1, (1 << references) - 1))),
            "weight": draw(st.integers(1, 3)) if weights else 1,
            "name": str(number),
            "group": draw(st.sampled_from(["x", "x", "x", "y"])),
            "rule": rule,
        }
        halves = st.integers(least_value, 6).map(lambda half: half * 500_000)
        # An event with an array in its field has several values, each a hit of its own.
        held = draw(st.lists(st.one_of(st.none(), halves), min_size=1, max_size=2, unique=True)) if values else [None]
        found += [hit(**one, value=value) for value in held]
    return found


def clauses(*found: tuple[Sequence[int], Sequence[int]]) -> tuple[Clause, ...]:
    """Clauses from (present, absent)."""
    return tuple(Clause(tuple(present), tuple(absent)) for present, absent in found)
