"""The keyed stage's state: bytes behind a protocol, the summary with the number of the format it is written in.

A job that is restored from a state of another release says so, instead of misreading it. (What a shard stores beside
its summary names its own format: `pipeline.correlate.store`.)
"""

from __future__ import annotations

from typing import Final, Protocol, TypeVar

import msgspec

from pipeline.correlate.store import Store
from schemas.errors import ConfigError

FORMAT: Final = 1
"""Of the summaries; raise it whenever the layout of one changes, and read the older ones, or say that you do not."""

Summary = TypeVar("Summary", bound=msgspec.Struct)


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
    counters: dict[str, int] = {}
    """What the shard did not use or keep, since the beginning."""
    refused_hits: dict[str, int] = {}
    """Correlation -> hits that would have opened a group beyond its budget, since the beginning."""


def read_summary(state: KeyedState, kind: type[Summary]) -> Summary | None:
    """The summary of the address, if there is one.

    Raises:
        ConfigError: it was written in another format.
    """
    stored = state.summary()
    if stored is None:
        return None
    problem, version = "", stored[0] if stored else None
    if version == FORMAT:
        try:
            return msgspec.msgpack.decode(memoryview(stored)[1:], type=kind)
        except msgspec.DecodeError as error:
            problem = f": {error}"
    raise ConfigError(
        "state of the job",
        f"the checkpoint or savepoint was written in another format{problem}",
        got=f"{version}",
        expected=f"{FORMAT}",
        hint="the release that wrote it, or `jsoc down --wipe` to begin anew",
    )


def write_summary(state: KeyedState, summary: msgspec.Struct) -> None:
    """Replace the summary of the address."""
    state.set_summary(_MARK + msgspec.msgpack.encode(summary))


_MARK: Final = bytes([FORMAT])
