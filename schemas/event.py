"""From a Kafka record to events: split the lines, read the JSON, derive identity, admit the time (DESIGN 3.1, 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, Literal, NamedTuple

import msgspec
import orjson

from schemas.errors import printable
from schemas.json_text import read_json
from schemas.member import member_of_topic
from schemas.times import from_rfc3339

Scalar = str | int | float | bool | None
Value = Scalar | tuple[Scalar, ...]
Fields = dict[str, Value]
"""A flat event: dotted ECS names; an array is a tuple, and matches if any element does."""

MAX_LINE_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
MAX_FIELDS: Final = 4096
MAX_ELEMENTS: Final = 4096
"""Of one field's array. Every rule that names the field looks at each of them: more would stall the stream."""
MAX_VALUE_CHARS: Final = 128 * 1024
"""Of one text, four times the longest command line of Windows. Every rule that names the field searches all of it:
made for the purpose, such a text takes a tenth of a second with SigmaHQ's rules, one of a megabyte half a second."""
CLOCK_AHEAD_MS: Final = 5_000
"""An event this far ahead of its append time has a wrong clock and takes the append time (correlation.md section 9)."""

Admission = Literal["on_time", "clock_ahead", "late"]
Reason = Literal[
    "not-utf8",
    "not-json",
    "not-an-object",
    "too-large",
    "too-deep",
    "too-many-fields",
    "too-many-elements",
    "too-long",
    "bad-timestamp",
    "foreign-organization",
    "unregistered-member",
    "engine-error",
    "index-refused",
]
"""Why something became a dead letter."""


class Origin(NamedTuple):
    """Where a record stands in Kafka, and when the broker appended it (ms): the one trusted clock."""

    topic: str
    partition: int
    offset: int
    append_time: int


class Event(msgspec.Struct, frozen=True):
    """One event as the centre sees it."""

    fields: Fields
    origin: Origin
    line: int
    member: str
    event_id: str
    time: int
    """Milliseconds; never later than the append time by more than `CLOCK_AHEAD_MS`."""
    admission: Admission


@dataclass(frozen=True, slots=True)
class Rejected:
    """One line that is not an event."""

    raw: bytes
    origin: Origin
    line: int
    reason: Reason
    detail: str

    @property
    def security(self) -> bool:
        """Whether a person should ask why this came: a member claimed to be another."""
        return self.reason == "foreign-organization"


def read_record(value: bytes, origin: Origin, lateness: int, clock_offset: int = 0) -> list[Event | Rejected]:
    """The events of one record, one per line, in order; blank lines are skipped.

    Args:
        value: UTF-8 NDJSON, one ECS event per line.
        origin: the record's place and append time.
        lateness: ms; an event older than this before its append time is `late`: matched, but not correlated.
        clock_offset: ms added to the member's event times (a known time-zone fault).
    """
    if b"\n" not in value:
        return [read_line(value, origin, 0, lateness, clock_offset)] if value.strip() else []
    return [
        read_line(line, origin, number, lateness, clock_offset)
        for number, line in enumerate(value.split(b"\n"))
        if line.strip()
    ]


def read_line(raw: bytes, origin: Origin, line: int, lateness: int, clock_offset: int = 0) -> Event | Rejected:
    """One line as an event, or the reason why it is none. Never raises."""
    if len(raw) > MAX_LINE_BYTES:
        return Rejected(raw, origin, line, "too-large", f"{len(raw)} bytes; at most {MAX_LINE_BYTES}")
    try:
        data = read_json(raw)
    except orjson.JSONDecodeError as error:
        reason: Reason = "not-json" if _is_utf8(raw) else "not-utf8"
        return Rejected(raw, origin, line, reason, str(error)[:200])
    if not isinstance(data, dict):
        return Rejected(raw, origin, line, "not-an-object", f"a JSON {type(data).__name__}")
    try:
        fields = data if is_flat(raw) and len(data) <= MAX_FIELDS else flatten(data)
        if len(raw) > MAX_VALUE_CHARS:  # no value is longer than its line
            _check_lengths(fields)
    except Refused as refused:
        return Rejected(raw, origin, line, refused.reason, refused.detail)
    return _admit(fields, raw, origin, line, lateness, clock_offset)


def _admit(fields: Fields, raw: bytes, origin: Origin, line: int, lateness: int, clock_offset: int) -> Event | Rejected:
    member = member_of_topic(origin.topic)
    claimed = fields.get("organization.id")
    if claimed is not None and claimed != member:
        detail = f"{origin.topic} claims organization.id {printable(str(claimed))[:80]}"
        return Rejected(raw, origin, line, "foreign-organization", detail)
    stamp = fields.get("@timestamp")
    if not isinstance(stamp, str):
        return Rejected(raw, origin, line, "bad-timestamp", f"@timestamp is {type(stamp).__name__}, not RFC 3339 text")
    try:
        time = from_rfc3339(stamp) + clock_offset
    except (ValueError, OverflowError) as error:
        return Rejected(raw, origin, line, "bad-timestamp", printable(f"{stamp[:60]}: {error}")[:200])
    admission: Admission = "on_time"
    if time > origin.append_time + CLOCK_AHEAD_MS:
        time, admission = origin.append_time, "clock_ahead"
    elif time < origin.append_time - lateness:
        admission = "late"
    fields["organization.id"] = member
    event_id = fields.get("event.id")
    if not isinstance(event_id, str) or not event_id:
        event_id = blake2b(origin.topic.encode() + b"\0" + raw, digest_size=12).hexdigest()
        fields["event.id"] = event_id
    return Event(fields, origin, line, member, event_id, time, admission)


_United = dict[str, list[Scalar]]
"""Fields that came in several pieces; lists, because joining tuples piece by piece takes quadratic time."""


def flatten(data: dict[str, Any]) -> Fields:
    """Nested objects to dotted names; arrays to tuples; both spellings of one field are united.

    >>> flatten({"a": {"b": 1}, "a.b": [2, 3], "c": [{"d": "x"}, {"d": "y"}]})
    {'a.b': (1, 2, 3), 'c.d': ('x', 'y')}

    Raises:
        Refused: too deep, or too many fields.
    """
    kinds = set(map(type, data.values()))
    if len(data) <= MAX_FIELDS and dict not in kinds:  # flat already, as forwarders send it
        if list not in kinds:
            return data
        arrays = {name: value for name, value in data.items() if type(value) is list}
        if all(len(each) <= MAX_ELEMENTS and _NESTING.isdisjoint(map(type, each)) for each in arrays.values()):
            return data | {name: tuple(value) for name, value in arrays.items()}
    fields: Fields = {}
    united: _United = {}
    _collect("", data, fields, united, 0)
    for name, elements in united.items():
        fields[name] = tuple(elements)
    return fields


_NESTING: Final = frozenset((dict, list))


def is_flat(raw: bytes) -> bool:
    """Whether the JSON text of an object holds no object or array for certain: then it is its own `flatten`.

    >>> is_flat(b'{"a.b": 1}'), is_flat(b'{"a": {"b": 1}}'), is_flat(b'{"a": "[1]"}')
    (True, False, False)
    """
    return b"[" not in raw and raw.find(b"{", 1) < 0


class Refused(Exception):
    """Why `flatten` refuses an object."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason: Reason = reason
        self.detail = detail
        super().__init__(reason)


def _collect(prefix: str, data: dict[str, Any], fields: Fields, united: _United, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Refused("too-deep", f"objects nested deeper than {MAX_DEPTH}")
    for key, value in data.items():
        name = prefix + key
        if isinstance(value, dict) and value:
            _collect(name + ".", value, fields, united, depth + 1)
        elif isinstance(value, dict | list):  # an empty object is there, and holds nothing: as an empty array
            _collect_array(name, list(value), fields, united, depth + 1)
        else:
            _add(name, value, fields, united)


def _collect_array(name: str, items: list[Any], fields: Fields, united: _United, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Refused("too-deep", f"arrays nested deeper than {MAX_DEPTH}")
    scalars: list[Scalar] = []
    for item in items:
        if isinstance(item, dict):
            _collect(name + ".", item, fields, united, depth)
        elif isinstance(item, list):
            _collect_array(name, item, fields, united, depth + 1)
        else:
            scalars.append(item)
    if len(scalars) > MAX_ELEMENTS:
        raise _too_many(name)
    if scalars or not items:
        _add(name, tuple(scalars), fields, united)


def _add(name: str, value: Value, fields: Fields, united: _United) -> None:
    if name not in fields:
        if len(fields) >= MAX_FIELDS:
            raise Refused("too-many-fields", f"more than {MAX_FIELDS} fields")
        fields[name] = value
        return
    elements = united.get(name)
    if elements is None:
        elements = united[name] = list(_as_tuple(fields[name]))
    elements.extend(_as_tuple(value))
    if len(elements) > MAX_ELEMENTS:
        raise _too_many(name)


def _check_lengths(fields: Fields) -> None:
    for name, value in fields.items():
        for element in _as_tuple(value):
            if isinstance(element, str) and len(element) > MAX_VALUE_CHARS:
                told = f"{len(element)} characters in {printable(name)[:80]}; at most {MAX_VALUE_CHARS}"
                raise Refused("too-long", told)


def _too_many(name: str) -> Refused:
    return Refused("too-many-elements", f"more than {MAX_ELEMENTS} elements in {printable(name)[:80]}")


def _as_tuple(value: Value) -> tuple[Scalar, ...]:
    return value if isinstance(value, tuple) else (value,)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
