"""When which stored group is due, without reading the group: times are coarse, and only ever too early."""

from __future__ import annotations

from typing import Final

from pipeline.correlate.store import KEY_BYTES, Store

PARTS: Final = 64
"""Into how many parts a timespan is divided; groups that are due within one part are listed together."""


class Timetable:
    """Keys of stored groups by the time from which on they may be due.

    Args:
        store: the shard's.
        chunks: time -> number of entries in the store; read at once.
    """

    def __init__(self, store: Store, chunks: dict[int, int]) -> None:
        self._store = store
        self.chunks = dict(chunks)
        self._times: dict[bytes, int] = {}
        self._fresh: dict[int, list[bytes]] = {}
        self._spent: list[bytes] = []
        for time, count in chunks.items():
            for number in range(count):
                keys = store.get(_chunk_key(time, number)) or b""
                for start in range(0, len(keys), KEY_BYTES):
                    key = keys[start : start + KEY_BYTES]
                    self._times[key] = min(time, self._times.get(key, time))

    def __contains__(self, key: bytes) -> bool:
        """Whether the group may be in the store; one that is not listed is not."""
        return key in self._times

    def __len__(self) -> int:
        """Number of listed groups."""
        return len(self._times)

    def note(self, key: bytes, due: int, timespan: int) -> None:
        """List a group.

        Args:
            key: the group's.
            due: ms of the settle line.
            timespan: ms; of its correlation.
        """
        width = max(1_000, timespan // PARTS)
        time = due // width * width
        known = self._times.get(key)
        if known is None or time < known:
            self._times[key] = time
            self._fresh.setdefault(time, []).append(key)

    def forget(self, key: bytes) -> None:
        """A group is gone."""
        self._times.pop(key, None)

    def take(self, line: int) -> list[bytes]:
        """Take out the groups that may be due at this settle line (ms); the store keeps them until `save`."""
        due = sorted(time for time in self.chunks.keys() | self._fresh.keys() if time <= line)
        found = []
        for time in due:
            keys = self._fresh.pop(time, [])
            for number in range(self.chunks.pop(time, 0)):
                chunk = _chunk_key(time, number)
                stored = self._store.get(chunk) or b""
                keys += [stored[start : start + KEY_BYTES] for start in range(0, len(stored), KEY_BYTES)]
                self._spent.append(chunk)
            found += [key for key in keys if self._times.pop(key, None) is not None]
        return found

    def save(self) -> dict[int, int]:
        """Bring the store up to date; what `chunks` must be to read it."""
        for chunk in self._spent:
            self._store.delete(chunk)
        self._spent = []
        for time, keys in self._fresh.items():
            number = self.chunks.get(time, 0)
            self._store.put(_chunk_key(time, number), b"".join(keys))
            self.chunks[time] = number + 1
        self._fresh = {}
        return self.chunks


def _chunk_key(time: int, number: int) -> bytes:
    return b"t" + time.to_bytes(8, "big", signed=True) + number.to_bytes(4, "big")
