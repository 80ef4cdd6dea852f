"""One detection's hit on one event, as it travels from the detect stage to the shard that correlates it."""

from __future__ import annotations

from typing import Final

import msgspec

from schemas.event import Scalar

SHARDS: Final = 16
"""Into how many keys the correlation state is divided; a group of one correlation lives in one shard."""


class Hit(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One event that counts for one correlation (correlation.md section 1).

    Two hits are the same if `(time, hid, value)` are equal; the hits of a group form a set.
    """

    time: int
    """Milliseconds, as admitted."""
    hid: int
    """blake2b-64 over member, event id and time."""
    mask: int
    """A bit for each of the correlation's references that the event matched."""
    member: str
    value: Scalar = None
    """What `value_*` correlations count or add; None if the event lacks it."""
    weight: int = 1
    """Events in a rolled-up event."""
    topic: str = ""
    partition: int = 0
    offset: int = 0
    line: int = 0
    event_id: str = ""
    also: tuple[str, ...] = ()
    """Further members, where the hit is a satisfied time of another correlation; ascending, after `member`."""
    exact: bool = True
    """Whether it was found among all hits, not among the sample of a flooded group."""

    @property
    def members(self) -> tuple[str, ...]:
        """Every member that the hit is about."""
        return (self.member, *self.also)


class GroupHit(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A hit and the group it belongs to."""

    correlation: str
    """Id of the correlation rule."""
    group: tuple[str, ...]
    """Canonical values of the group-by fields, in the rule's order; () without group-by."""
    hit: Hit
