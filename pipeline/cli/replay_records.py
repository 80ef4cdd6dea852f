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


_NAMED: Final = re.compile(r"([a-z0-9-]{2,40})=(.+)", re.DOTALL)


class Source(NamedTuple):
    """One file, and whose it is; without a member, each event's `organization.id` says it."""

    path: Path
    member: str | None


def source_of(argument: str) -> Source:
    """An argument `member=FILE`, or a file alone."""
    named = _NAMED.fullmatch(argument)
    return Source(Path(named[2]), named[1]) if named else Source(Path(argument), None)


def read_merged(sources: Sequence[Source], on_bytes: Callable[[int], None]) -> Iterator[Line]:
    """The lines of all files in the order of their append times; of equals, in the order of files and lines.

    Args:
        sources: the files.
        on_bytes: told how many bytes of event data were read.

    Raises:
        ConfigError: no such file.
        EventError: a damaged gzip file.
    """
    earlier: Counter[str | None] = Counter()
    streams = []
    for index, source in enumerate(sources):
        streams.append(_read(index, source, earlier[source.member], on_bytes))
        earlier[source.member] += 1
    return heapq.merge(*streams)


def members_of(source: Source) -> set[str]:
    """The members whose events are in a file.

    Raises:
        ConfigError: no such file, or events that name no organization.
    """
    if source.member is not None:
        return {source.member}
    members = {_organization(_object(raw)) for raw in _lines(source.path)}
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


def _read(index: int, source: Source, partition: int, on_bytes: Callable[[int], None]) -> Iterator[Line]:
    newest = 0
    for number, raw in enumerate(_lines(source.path)):
        data = _object(raw)
        newest = max(newest, _time(data))
        member = source.member or _organization(data) or ""
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


def _object(raw: bytes) -> Mapping[str, Any]:
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return data if isinstance(data, dict) else {}


def _time(data: Mapping[str, Any]) -> int:
    try:
        return from_rfc3339(data.get("@timestamp", ""))
    except (TypeError, ValueError, OverflowError):
        return 0


def _organization(data: Mapping[str, Any]) -> str | None:
    nested = data.get("organization")
    member = data.get("organization.id", nested.get("id") if isinstance(nested, dict) else None)
    return member if isinstance(member, str) and member else None
