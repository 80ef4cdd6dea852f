"""The centre's tick: a small record in every `events.*` partition that carries the append-time clock of a quiet member.

A tick also names every partition there is. A correlator that has heard of a partition but not read from it yet knows
that it must not let event time pass that partition's first tick: a replay sees the same clock as the live stream.
"""

from __future__ import annotations

from typing import Final

import msgspec

TICK_HEADER: Final = "tick"
"""Kafka header that marks a tick; its value is the format version, `1`."""


class Tick(msgspec.Struct, frozen=True):
    """What a tick record says: topic -> number of partitions, for every member topic."""

    partitions: dict[str, int]


_decoder = msgspec.json.Decoder(Tick)


def encode_tick(tick: Tick) -> bytes:
    """The record value, JSON."""
    return msgspec.json.encode(tick)


def decode_tick(value: bytes) -> Tick:
    """Read a record value.

    Raises:
        msgspec.ValidationError, msgspec.DecodeError: not a tick.
    """
    return _decoder.decode(value)
