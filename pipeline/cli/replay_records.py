"""Event files as the Kafka records they might have been: one line each, appended in the order of event time."""

from __future__ import annotations

import gzip
import heapq
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import orjson
from pydantic import ValidationError

from pipeline.detect.records import read_file
from pipeline.jobs.local_job import Line
from schemas.errors import ConfigError, EventError, printable
from schemas.event import MAX_LINE_BYTES
from schemas.member import TOPIC_PREFIX, Member, MemberRegistry
from schemas.times import from_rfc3339

OTHER_FORMATS: Final = (".evtx", ".json")
"""Suffixes of files that are not lines of JSON."""


NO_OFFSETS: Final[Mapping[str, int]] = {}
_NAMED: Final = re.compile(r"([a-z0-9-]{2,40})=(.+)", re.DOTALL)


class _Head(msgspec.Struct):
    """What places an event: when and whose; the rest of the line is skipped, which is cheaper than reading it."""

    timestamp: Any = msgspec.field(default=None, name="@timestamp")
    organization: Any = None
    organization_id: Any = msgspec.field(default=None, name="organization.id")


_heads: Final = msgspec.json.Decoder(_Head)
_NO_HEAD: Final = _Head()


class Source(NamedTuple):
    """One file, and whose it is; without a member, each event's `organization.id` says it."""

    path: Path
    member: str | None


def source_of(argument: str) -> Source:
    """An argument `member=FILE`, or a file alone."""
    named = _NAMED.fullmatch(argument)
    return Source(Path(named[2]), named[1]) if named else Source(Path(argument), None)


def read_merged(
    sources: Sequence[Source], on_bytes: Callable[[int], None], offsets: Mapping[str, int] = NO_OFFSETS
) -> Iterator[Line]:
    """The lines of all files in the order of their append times; of equals, in the order of files and lines.

    Args:
        sources: the files.
        on_bytes: told how many bytes of event data were read.
        offsets: member -> ms to add to its event times, as its registry entry says.

    Raises:
        ConfigError: no such file.
        EventError: a damaged gzip file.
    """
    earlier: Counter[str | None] = Counter()
    streams = []
    for index, source in enumerate(sources):
        streams.append(_read(index, source, earlier[source.member], on_bytes, offsets))
        earlier[source.member] += 1
    return heapq.merge(*streams)


def disorder_of(sources: Sequence[Source], offsets: Mapping[str, int]) -> int:
    """How far at most an event is behind the newest one before it in its file, in milliseconds.

    Raises:
        ConfigError: no such file.
        EventError: a damaged gzip file.
    """
    most = 0
    for source in sources:
        newest = 0
        for raw in _lines(source.path):
            _, time = _placed(raw, source, offsets)
            newest = max(newest, time)
            if time:
                most = max(most, newest - time)
    return most


def members_of(source: Source) -> set[str]:
    """The members whose events are in a file.

    Raises:
        ConfigError: no such file, or events that name no organization.
    """
    if source.member is not None:
        return {source.member}
    members = {_organization(_head(raw)) for raw in _lines(source.path)}
    if None in members:
        raise ConfigError(
            str(source.path),
            "an event does not say whose it is",
            expected="`organization.id` in every event",
            hint=f"name the member: jsoc replay ... member={source.path}",
        )
    return {member for member in members if member is not None}


def registry_of(sources: Sequence[Source]) -> MemberRegistry:
    """A registry of the members that the files name, each a group of its own.

    Raises:
        ConfigError: a name that no member can have.
    """
    return registry_with({member for source in sources for member in members_of(source)})


def registry_with(members: Iterable[str]) -> MemberRegistry:
    """A registry of members by their ids, each a group of its own.

    Raises:
        ConfigError: a name that no member can have.
    """
    found = sorted(members)
    try:
        return MemberRegistry(members=tuple(Member(id=member, name=member) for member in found))
    except ValidationError as error:
        bad = printable(str(error.errors()[0]["input"]))
        raise ConfigError("organization.id", "not a member id", got=bad, expected="2 to 40 of a-z 0-9 -") from error


def _read(
    index: int, source: Source, partition: int, on_bytes: Callable[[int], None], offsets: Mapping[str, int]
) -> Iterator[Line]:
    newest = 0
    for number, raw in enumerate(_lines(source.path)):
        member, time = _placed(raw, source, offsets)
        newest = max(newest, time)
        yield Line(newest, index, number, TOPIC_PREFIX + member, partition, raw)
        on_bytes(len(raw))


def _lines(path: Path) -> Iterator[bytes]:
    try:
        if path.suffix.lower() in OTHER_FORMATS:
            for record in read_file(path):
                # What cannot be read stays in the stream: the detect stage says why, and counts it.
                yield record.problem.encode() if record.fields is None else orjson.dumps(record.fields)
            return
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            while line := stream.readline(MAX_LINE_BYTES + 2):
                if line.strip():
                    yield line.rstrip(b"\r\n")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise EventError(str(path), f"damaged gzip: {error}") from error
    except OSError as error:
        raise ConfigError(str(path), f"cannot read: {error.strerror or error}") from error


def _placed(raw: bytes, source: Source, offsets: Mapping[str, int]) -> tuple[str, int]:
    """Whose a line is, and its time in ms; empty and 0 where it does not say."""
    head = _head(raw)
    member = source.member or _organization(head) or ""
    try:
        return member, from_rfc3339(head.timestamp) + offsets.get(member, 0)
    except (TypeError, ValueError, OverflowError):
        return member, 0


def _head(raw: bytes) -> _Head:
    try:
        return _heads.decode(raw)
    except msgspec.DecodeError:
        return _NO_HEAD  # the detect stage says what is wrong with the line, and counts it


def _organization(head: _Head) -> str | None:
    nested = head.organization
    member = head.organization_id or (nested.get("id") if isinstance(nested, dict) else None)
    return member if isinstance(member, str) and member else None
