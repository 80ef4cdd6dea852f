"""The keyed stage's state: bytes behind a protocol, each value with the number of the format it is written in.

A job that is restored from state of another release says so at once, instead of misreading it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

import msgspec

from pipeline.correlate.store import Store
from schemas.errors import ConfigError

FORMAT: Final = 1
"""Raise it whenever anything that is stored changes its layout."""


class KeyedState(Store, Protocol):
    """State of the address being handled: groups of a shard, and one summary (of a shard, or an account)."""

    def summary(self) -> bytes | None:
        """The summary, if there is one."""
        ...

    def set_summary(self, value: bytes) -> None:
        """Replace the summary."""
        ...


class ShardSummary(msgspec.Struct, array_like=True):
    """What is kept of a shard besides its groups."""

    clock: bytes
    counters: dict[str, int]
    """What the shard did not use or keep, since the beginning."""


class VersionedState(KeyedState):
    """State whose values begin with a byte that names their format.

    Raises:
        ConfigError: on reading a value of another format.
    """

    def __init__(self, raw: KeyedState) -> None:
        self._raw = raw

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Everything of the address."""
        return ((key, _opened(value)) for key, value in self._raw.items())

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key."""
        self._raw.put(key, _MARK + value)

    def delete(self, key: bytes) -> None:
        """Remove a key."""
        self._raw.delete(key)

    def summary(self) -> bytes | None:
        """The summary, if there is one."""
        value = self._raw.summary()
        return None if value is None else _opened(value)

    def set_summary(self, value: bytes) -> None:
        """Replace the summary."""
        self._raw.set_summary(_MARK + value)


_MARK: Final = bytes([FORMAT])


def _opened(value: bytes) -> bytes:
    if value[:1] != _MARK:
        raise ConfigError(
            "state of the job",
            "the checkpoint or savepoint was written by another release",
            got=f"format {value[0]}" if value else "nothing",
            expected=f"format {FORMAT}",
            hint="the release that wrote it, or `jsoc down --wipe` to begin anew",
        )
    return value[1:]
