"""Where a shard keeps its state, and in what form: groups by the page, and a journal of what came since.

    b"shard"                 summary: format, settle line, fingerprints of the rules, timetable, shares of groups
    b"j" + 4 bytes           one entry of the journal: the hits of one batch, or a move of the settle line
    b"t" + 8 + 4 bytes       keys of groups that are due from a time on (`timetable`)
    16 bytes                 page of a group: all that is known of it

A batch writes one entry, whatever it touches. From time to time the groups that changed are written as pages, and the
journal begins anew; whoever starts from a store reads the journal through the same code that wrote it. A group's page
is read when something happens to it, and not before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol, TypeVar

import msgspec

from pipeline.correlate.clock import NEVER
from pipeline.correlate.content import Content
from pipeline.correlate.correlation import Correlation
from pipeline.correlate.episode import Episode
from pipeline.correlate.identity import digest
from schemas.errors import ConfigError
from schemas.hit import GroupHit, Hit

FORMAT: Final = 2
"""Of every stored value that has one; a newer release reads it, or says that it does not."""
KEY_BYTES: Final = 16

_SUMMARY: Final = b"shard"

Stored = TypeVar("Stored", "Summary", "Page")


class Store(Protocol):
    """Bytes by key: a dict, or the keyed state of a stream processor."""

    def get(self, key: bytes) -> bytes | None:
        """What a key was set to."""
        ...

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key."""
        ...

    def delete(self, key: bytes) -> None:
        """Remove a key; one that is not there is fine."""
        ...


class Summary(msgspec.Struct, array_like=True):
    """What is known of a shard as a whole, as of the beginning of its journal."""

    version: int = FORMAT
    line: int = NEVER
    """The settle line, ms."""
    journal: int = 0
    """Number of the journal's first entry."""
    fingerprints: dict[str, str] = {}
    """Of the rules that the journal's hits are about."""
    chunks: dict[int, int] = {}
    """Time -> number of the timetable's entries for it."""
    held: dict[str, dict[str, int]] = {}
    """Correlation -> member -> groups that it opened."""
    lateness: int | None = None
    """Milliseconds that the settle line stays behind the clock; None in a state written before rules had their own."""


class Page(msgspec.Struct, array_like=True):
    """One group."""

    version: int
    correlation: str
    fingerprint: str
    group: tuple[str, ...]
    opener: str
    """The member whose hit opened the group."""
    episodes: list[Episode]
    cells: dict[int, Content]
    hits: list[Hit]
    thin_above: int
    """Hits that the group may hold before it is thinned next."""


class _Entry(msgspec.Struct, array_like=True):
    hits: Sequence[GroupHit] = ()
    line: int | None = None


class DictStore:
    """A store in memory, for `jsoc replay` and for tests."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """What a key was set to."""
        return self.entries.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key."""
        self.entries[key] = value

    def delete(self, key: bytes) -> None:
        """Remove a key."""
        self.entries.pop(key, None)


class ShardStore:
    """Summary, journal and pages of one shard in a `Store`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._encoder = msgspec.msgpack.Encoder()
        self._entries = msgspec.msgpack.Decoder(_Entry)
        self._pages = msgspec.msgpack.Decoder(Page)
        self._summaries = msgspec.msgpack.Decoder(Summary)
        self._next = 0
        self.journalled = 0
        """Hits in the journal, with one more for each entry."""

    def summary(self) -> Summary | None:
        """The summary, if the shard was ever used.

        Raises:
            ConfigError: the state was written in another format.
        """
        value = self._store.get(_SUMMARY)
        if value is None:
            return None
        summary = _decoded(self._summaries, value)
        self._next = summary.journal
        return summary

    def begin(self, summary: Summary) -> None:
        """Replace the summary and begin a new journal."""
        for number in range(summary.journal, self._next):
            self._store.delete(_entry_key(number))
        summary.journal = self._next
        self.journalled = 0
        self._store.put(_SUMMARY, self._encoder.encode(summary))

    def note(self, hits: Sequence[GroupHit], line: int | None) -> None:
        """Add an entry to the journal."""
        self._store.put(_entry_key(self._next), self._encoder.encode(_Entry(hits, line)))
        self._next += 1
        self.journalled += len(hits) + 1

    def journal(self) -> Iterator[tuple[Sequence[GroupHit], int | None]]:
        """The entries, oldest first: hits, or a settle line. They stay."""
        while (value := self._store.get(_entry_key(self._next))) is not None:
            entry = self._entries.decode(value)
            self._next += 1
            self.journalled += len(entry.hits) + 1
            yield entry.hits, entry.line

    def page(self, key: bytes) -> Page | None:
        """A group's page.

        Raises:
            ConfigError: the page was written in another format.
        """
        value = self._store.get(key)
        return None if value is None else _decoded(self._pages, value)

    def put_page(self, key: bytes, page: Page) -> None:
        """Keep a group."""
        self._store.put(key, self._encoder.encode(page))

    def delete_page(self, key: bytes) -> None:
        """Forget a group."""
        self._store.delete(key)


def group_key(correlation: Correlation, group: tuple[str, ...]) -> bytes:
    """The key of a group's page."""
    return digest(correlation.id, correlation.fingerprint, *group, size=KEY_BYTES)


def _entry_key(number: int) -> bytes:
    return b"j" + (number & 0xFFFFFFFF).to_bytes(4, "big")


def _decoded(decoder: msgspec.msgpack.Decoder[Stored], value: bytes) -> Stored:
    """Read a stored value; the version comes first in each, whatever else has changed."""
    try:
        stored = decoder.decode(value)
        version: object = stored.version
    except msgspec.DecodeError:
        stored, version = None, _version_of(value)
    if stored is None or version != FORMAT:
        raise ConfigError(
            "correlation state",
            "was written in another format",
            got=version,
            expected=str(FORMAT),
            hint="start without a savepoint; open alerts are derived again from the events",
        )
    return stored


def _version_of(value: bytes) -> object:
    try:
        return msgspec.msgpack.decode(value, type=list[Any])[0]
    except (msgspec.DecodeError, LookupError):
        return "no version"
