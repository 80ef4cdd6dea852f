"""The settle line: how far event time has come, as the slowest member partition tells it (correlation.md 9).

Only append times of the broker move it. A member's own clock appears nowhere, so it can neither stall nor advance
others. Ticks carry the clock of quiet partitions and name all there are, so that a replay that has not read one yet
does not run ahead of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

NEVER: Final = -(1 << 62)
"""The settle line before any tick: nothing is final."""


class _State(msgspec.Struct, array_like=True):
    newest: dict[str, int] = {}
    """`topic/partition` -> newest append time read."""
    first_named: dict[str, int] = {}
    """`topic/partition` -> append time of the first tick that named it."""
    roster: set[str] = set()
    """What the newest tick named."""
    roster_seen_at: int = NEVER


class SettleClock:
    """The clock of one shard; everything it knows fits in `to_bytes`."""

    def __init__(self, state: _State | None = None) -> None:
        self._state = state or _State()

    def see(self, clocks: Mapping[str, int]) -> None:
        """Take note of append times: `topic/partition` -> newest one read, ms."""
        newest = self._state.newest
        for partition, time in clocks.items():
            if time > newest.get(partition, NEVER):
                newest[partition] = time

    def roster(self, partitions: Mapping[str, int], seen_at: int) -> None:
        """Take note of a tick: topic -> number of partitions, and when the tick was appended (ms).

        A partition that the newest tick no longer names belonged to a member that left: it is not waited for.
        """
        state = self._state
        named = {f"{topic}/{number}" for topic, count in partitions.items() for number in range(count)}
        for partition in named:
            state.first_named[partition] = min(seen_at, state.first_named.get(partition, seen_at))
        if seen_at >= state.roster_seen_at:
            state.roster, state.roster_seen_at = named, seen_at

    def settle_line(self, lateness: int) -> int:
        """Milliseconds before which nothing can come any more; `NEVER` until the first tick.

        Args:
            lateness: ms that an admitted event may be older than its append time.
        """
        state = self._state
        if not state.roster:
            return NEVER
        # A partition that was read before any tick named it is new: its events count, so it is waited for.
        unnamed = state.newest.keys() - state.first_named.keys()
        return (
            min(state.newest.get(name, state.first_named.get(name, NEVER)) for name in state.roster | unnamed)
            - lateness
        )

    def to_bytes(self) -> bytes:
        """The clock as state."""
        return msgspec.msgpack.encode(self._state)

    @classmethod
    def from_bytes(cls, data: bytes) -> SettleClock:
        """The clock as it was.

        Raises:
            msgspec.DecodeError: not a clock.
        """
        return cls(msgspec.msgpack.decode(data, type=_State))
