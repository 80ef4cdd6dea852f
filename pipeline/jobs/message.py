"""What the detect stage says to the keyed stage: few, large messages, each addressed by a key.

A batch of records becomes at most one message per shard, one account per partition, and the records that pass
straight through (dead letters, alerts of single detections). Per-record keyed state would be ten times slower.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

import lz4.block
import msgspec

from pipeline.correlate.project import Dropped
from schemas.hit import GroupHit

SHARD_ADDRESS: Final = "shard/"


class Roster(msgspec.Struct, array_like=True, frozen=True):
    """What a tick said: every member partition there is, and when the tick was appended (ms)."""

    partitions: dict[str, int]
    seen_at: int


class ShardBatch(msgspec.Struct, array_like=True, frozen=True, tag="shard"):
    """What one batch of records means for one shard: its hits, and the clocks seen, so that event time moves."""

    shard: int
    hits: list[GroupHit]
    clocks: dict[str, int]
    """`topic/partition` -> newest append time read, ms."""
    rosters: list[Roster]
    pack: str = ""
    """Version of the rule pack that made the hits."""
    fingerprints: dict[str, str] = {}
    """Id -> fingerprint of the correlations that the hits are for: another pack may mean something else by that id."""


class AccountDelta(msgspec.Struct, array_like=True, tag="account"):
    """What became of one batch of one partition; the counters of `schemas.health.PartitionAccount`."""

    topic: str
    partition: int
    next_offset: int = 0
    newest: int = 0
    """Newest append time read, ms."""
    records: int = 0
    ticks: int = 0
    lines: int = 0
    evaluated: int = 0
    matched: int = 0
    late: int = 0
    clock_ahead: int = 0
    dead: int = 0
    dropped: list[tuple[Dropped, int]] = []
    """What correlations could not count of the matched events, and how often."""


def add_dropped(known: Iterable[tuple[Dropped, int]], more: Iterable[tuple[Dropped, int]]) -> list[tuple[Dropped, int]]:
    """Two tallies of what correlations could not count, as one."""
    total = Counter(dict(known))
    for dropped, count in more:
        total[dropped] += count
    return sorted(total.items())


class Passing(msgspec.Struct, array_like=True, frozen=True, tag="pass"):
    """A finished output record: where it goes, its key, its value."""

    topic: str
    key: str
    value: bytes


Message = ShardBatch | AccountDelta | Passing

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def address(message: Message) -> str:
    """The key by which Flink sends a message to its state."""
    match message:
        case ShardBatch(shard=shard):
            return f"{SHARD_ADDRESS}{shard}"
        case AccountDelta(topic=topic, partition=partition):
            return f"account/{topic}/{partition}"
        case Passing(topic=topic):
            return f"pass/{topic}"


def encode(message: Message) -> bytes:
    r"""The message with its address in front: `<address>\0<lz4 of msgpack>`.

    Compressed, since it passes through Flink's heap several times, and one event can be hundreds of hits that hardly
    differ: a hit takes 25 bytes in place of 110.
    """
    body: bytes = lz4.block.compress(_encoder.encode(message))
    return address(message).encode() + b"\0" + body


def address_of(data: bytes) -> str:
    """The address alone, without decoding the message."""
    return data[: data.index(b"\0")].decode()


def decode(data: bytes) -> Message:
    """Read a message back.

    Raises:
        lz4.block.LZ4BlockError, msgspec.DecodeError: not a message.
    """
    return _decoder.decode(lz4.block.decompress(memoryview(data)[data.index(b"\0") + 1 :]))
