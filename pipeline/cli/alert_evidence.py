"""The original events behind an alert's evidence, read back from Kafka for `jsoc alerts show --evidence`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import orjson

from connectors.event_reader import EventReader
from connectors.settings import KafkaConnection
from schemas.alert import Evidence
from schemas.errors import printable


class BaseEvent(NamedTuple):
    """One piece of evidence, and the line that its member sent; None if Kafka holds it no more."""

    evidence: Evidence
    line: bytes | None


def read_events(connection: KafkaConnection, evidence: Iterable[Evidence]) -> list[BaseEvent]:
    """The events at the places that the evidence names, in its order.

    Raises:
        ConnectionError_: the broker is away, refuses, or is too slow.
    """
    reader = EventReader(connection)
    try:
        return [BaseEvent(one, reader.line(one.topic, one.partition, one.offset, one.line)) for one in evidence]
    finally:
        reader.close()


def json_lines(events: Iterable[BaseEvent]) -> Iterator[bytes]:
    """One object for each piece of evidence: its place, and the event, null where it is gone."""
    for evidence, line in events:
        yield orjson.dumps({"evidence": evidence.model_dump(), "event": None if line is None else _read(line)})


def _read(line: bytes) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:  # a topic that was made anew holds something else at this place
        return line.decode(errors="replace")


def text_lines(events: Iterable[BaseEvent]) -> Iterator[str]:
    """Each event below its time, member and detection, harmless for a terminal."""
    for evidence, line in events:
        place = f"{evidence.topic}/{evidence.partition}/{evidence.offset}/{evidence.line}"
        yield printable(f"{evidence.time}  {evidence.member}  {', '.join(evidence.rule)}  {place}")
        yield "  " + ("(not in Kafka any more)" if line is None else printable(line.decode(errors="replace")))
