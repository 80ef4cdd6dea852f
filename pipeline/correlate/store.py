"""Where a shard keeps its state, and in what form.

Three kinds of entry, so that a batch writes what is new and never what a window holds:

    16 bytes + b"h"          head of a group: its name, episodes, cells of thinned hits
    16 bytes + b"s" + 4      segment: the hits that one batch added, or those of eight segments merged
    b"shard"                 format version and settle line
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Protocol

import msgspec

from pipeline.correlate.clock import NEVER
from pipeline.correlate.content import Content
from pipeline.correlate.correlation import Correlation
from pipeline.correlate.episode import Episode
from pipeline.correlate.identity import digest
from schemas.errors import ConfigError
from schemas.hit import Hit

FORMAT: Final = 1
MERGED: Final = 8
"""Segments of one level that become one of the next: each hit is written again once per level, and no more."""

_KEY: Final = b"shard"
_DIGEST: Final = 16


class Store(Protocol):
    """Bytes by key: a dict, or the keyed state of a stream processor."""

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        """Everything in the store; read once, when a shard starts."""
        ...

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key."""
        ...

    def delete(self, key: bytes) -> None:
        """Remove a key; one that is not there is fine."""
        ...


class Head(msgspec.Struct, array_like=True):
    """What is stored of a group besides its hits."""

    correlation: str
    fingerprint: str
    group: tuple[str, ...]
    episodes: list[Episode]
    cells: dict[int, Content]


class Segment(msgspec.Struct, array_like=True):
    """One stored portion of a group's hits, in any order."""

    number: int
    level: int
    newest: int
    """Time of its latest hit."""
    hits: list[Hit]


class Stored(NamedTuple):
    """One group as it was found in the store."""

    key: bytes
    head: Head | None
    segments: list[Segment]


class _Summary(msgspec.Struct, array_like=True):
    version: int = FORMAT
    line: int = NEVER


class DictStore:
    """A store in memory, for `jsoc replay` and for tests."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Everything, as it is now."""
        return iter(list(self.entries.items()))

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key."""
        self.entries[key] = value

    def delete(self, key: bytes) -> None:
        """Remove a key."""
        self.entries.pop(key, None)


class GroupStore:
    """Groups of one shard in a `Store`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._encoder = msgspec.msgpack.Encoder()
        self._segments = msgspec.msgpack.Decoder(Segment)

    def load(self) -> tuple[int, list[Stored]]:
        """The settle line, and every group.

        Raises:
            ConfigError: the state was written in another format.
        """
        line = NEVER
        heads: dict[bytes, Head] = {}
        segments: dict[bytes, list[Segment]] = {}
        for key, value in self._store.items():
            group = key[:_DIGEST]
            if key == _KEY:
                line = _read_summary(value)
            elif key[_DIGEST:] == b"h":
                heads[group] = msgspec.msgpack.decode(value, type=Head)
            else:
                segments.setdefault(group, []).append(self._segments.decode(value))
        return line, [
            Stored(key, heads.get(key), sorted(segments.get(key, []), key=lambda segment: segment.number))
            for key in heads.keys() | segments.keys()
        ]

    def put_line(self, line: int) -> None:
        """Keep the settle line."""
        self._store.put(_KEY, msgspec.msgpack.encode(_Summary(FORMAT, line)))

    def put_head(self, key: bytes, head: Head) -> None:
        """Keep a group's head."""
        self._store.put(key + b"h", msgspec.msgpack.encode(head))

    def add(self, key: bytes, segments: list[Segment], hits: list[Hit], oldest: int) -> None:
        """Keep hits as one more segment.

        Args:
            key: the group's.
            segments: the group's; changed in place, as in all methods.
            hits: not empty.
            oldest: hits before this time (ms) may be forgotten where segments merge.
        """
        self._append(key, segments, 0, hits)
        level = 0
        while len(alike := [segment for segment in segments if segment.level == level]) >= MERGED:
            level += 1
            kept = [hit for segment in alike for hit in segment.hits if hit.time >= oldest]
            if kept:
                self._append(key, segments, level, kept)
            self._drop(key, segments, alike)

    def rewrite(self, key: bytes, segments: list[Segment], hits: list[Hit]) -> None:
        """Replace all segments by one with these hits."""
        former = list(segments)
        if hits:
            self._append(key, segments, max((segment.level for segment in former), default=0), hits)
        self._drop(key, segments, former)

    def drop_before(self, key: bytes, segments: list[Segment], time: int) -> None:
        """Delete segments whose hits are all older than `time`."""
        self._drop(key, segments, [segment for segment in segments if segment.newest < time])

    def _append(self, key: bytes, segments: list[Segment], level: int, hits: list[Hit]) -> None:
        number = segments[-1].number + 1 if segments else 0
        segment = Segment(number, level, max(hit.time for hit in hits), hits)
        self._store.put(_segment_key(key, segment.number), self._encoder.encode(segment))
        segments.append(segment)

    def _drop(self, key: bytes, segments: list[Segment], dropped: list[Segment]) -> None:
        for segment in dropped:
            self._store.delete(_segment_key(key, segment.number))
            segments.remove(segment)

    def delete(self, key: bytes, segments: list[Segment]) -> None:
        """Forget a group."""
        self._store.delete(key + b"h")
        self.rewrite(key, segments, [])


def group_key(correlation: Correlation, group: tuple[str, ...]) -> bytes:
    """The key of a group's entries."""
    return digest(correlation.id, correlation.fingerprint, *group, size=_DIGEST)


def _segment_key(key: bytes, number: int) -> bytes:
    return key + b"s" + (number & 0xFFFFFFFF).to_bytes(4, "big")


def _read_summary(value: bytes) -> int:
    summary = msgspec.msgpack.decode(value, type=_Summary)
    if summary.version != FORMAT:
        raise ConfigError(
            "correlation state",
            "was written in another format",
            got=summary.version,
            expected=str(FORMAT),
            hint="start without a savepoint; open alerts are derived again from the events",
        )
    return summary.line
