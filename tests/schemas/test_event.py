import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.event import (
    CLOCK_AHEAD_MS,
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_FIELDS,
    MAX_LINE_BYTES,
    MAX_VALUE_CHARS,
    Event,
    Origin,
    Rejected,
    flatten,
    read_line,
    read_record,
)
from schemas.times import from_rfc3339, to_rfc3339

APPENDED = from_rfc3339("2026-11-23T10:00:00.000Z")
ORIGIN = Origin("events.bank-a", 1, 42, APPENDED)
HOUR = 3_600_000


def line(**fields: object) -> bytes:
    return json.dumps({"@timestamp": to_rfc3339(APPENDED), "event.id": "e1"} | fields).encode()


def accepted(raw: bytes, clock_offset: int = 0) -> Event:
    event = read_line(raw, ORIGIN, 0, HOUR, clock_offset)
    assert isinstance(event, Event), event
    return event


def refused(raw: bytes) -> Rejected:
    rejected = read_line(raw, ORIGIN, 0, HOUR)
    assert isinstance(rejected, Rejected), rejected
    assert rejected.raw == raw
    return rejected


def test_identity_comes_from_the_topic() -> None:
    event = accepted(line())
    assert event.member == "bank-a"
    assert event.fields["organization.id"] == "bank-a"


def test_a_claim_to_be_oneself_is_accepted() -> None:
    assert accepted(line(organization={"id": "bank-a"})).member == "bank-a"


@pytest.mark.parametrize("claim", ["bank-b", "", 7, ["bank-a", "bank-b"], ["bank-a"], True])
def test_a_claim_to_be_another_member_is_a_security_event(claim: object) -> None:
    rejected = refused(line(**{"organization.id": claim}))
    assert rejected.reason == "foreign-organization"
    assert rejected.security


def test_a_claim_in_both_spellings_cannot_slip_through() -> None:
    raw = line(**{"organization.id": "bank-a", "organization": {"id": "bank-b"}})
    assert refused(raw).reason == "foreign-organization"


def test_terminal_escapes_in_a_claim_are_made_visible() -> None:
    assert "\x1b" not in refused(line(**{"organization.id": "\x1b[31mbank"})).detail


def test_an_absent_event_id_is_derived_from_topic_and_line() -> None:
    raw = json.dumps({"@timestamp": to_rfc3339(APPENDED)}).encode()
    first, again = accepted(raw), accepted(raw)
    assert first.event_id == again.event_id
    other = read_line(raw, ORIGIN._replace(topic="events.bank-b"), 0, HOUR)
    assert isinstance(other, Event)
    assert other.event_id != first.event_id


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"a": 1', "not-json"),
        (b"", "not-json"),
        (b'{"a": "\xff"}', "not-utf8"),
        (b"[1]", "not-an-object"),
        (b'"text"', "not-an-object"),
        (b"NaN", "not-json"),
        (line(x="y" * MAX_LINE_BYTES), "too-large"),
        (b'{"a":' * (MAX_DEPTH + 3) + b"1" + b"}" * (MAX_DEPTH + 3), "too-deep"),
        (b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "not-json"),
        (line(**{f"f{n}": n for n in range(MAX_FIELDS)}), "too-many-fields"),
        (line(x=[0] * (MAX_ELEMENTS + 1)), "too-many-elements"),
        (line(x=[{"y": 0}] * (MAX_ELEMENTS + 1)), "too-many-elements"),
        (line(x=[[0]] * (MAX_ELEMENTS + 1)), "too-many-elements"),
        (line(x="a" * (MAX_VALUE_CHARS + 1)), "too-long"),
        (line(x=["a", "b" * (MAX_VALUE_CHARS + 1)]), "too-long"),
        (line(x={"y": "日" * (MAX_VALUE_CHARS + 1)}), "too-long"),
        (json.dumps({"event.id": "x"}).encode(), "bad-timestamp"),
        (line(**{"@timestamp": 1_700_000_000}), "bad-timestamp"),
        (line(**{"@timestamp": "yesterday"}), "bad-timestamp"),
        (line(**{"@timestamp": "2026-11-23T10:00:00"}), "bad-timestamp"),
        (line(**{"@timestamp": ["2026-11-23T10:00:00Z"]}), "bad-timestamp"),
        (line(**{"@timestamp": {"a": 1}}), "bad-timestamp"),
    ],
)
def test_what_is_no_event_says_why(raw: bytes, reason: str) -> None:
    assert refused(raw).reason == reason


def test_an_event_from_2100_takes_the_append_time() -> None:
    event = accepted(line(**{"@timestamp": "2100-01-01T00:00:00Z"}))
    assert (event.time, event.admission) == (APPENDED, "clock_ahead")


def test_a_clock_slightly_ahead_is_believed() -> None:
    event = accepted(line(**{"@timestamp": to_rfc3339(APPENDED + CLOCK_AHEAD_MS)}))
    assert (event.time, event.admission) == (APPENDED + CLOCK_AHEAD_MS, "on_time")


@pytest.mark.parametrize("stamp", ["1970-01-01T00:00:00Z", "1969-12-31T23:59:59Z", to_rfc3339(APPENDED - HOUR - 1)])
def test_an_event_older_than_the_lateness_is_late_and_keeps_its_time(stamp: str) -> None:
    event = accepted(line(**{"@timestamp": stamp}))
    assert (event.time, event.admission) == (from_rfc3339(stamp), "late")


def test_an_event_exactly_as_old_as_the_lateness_is_on_time() -> None:
    assert accepted(line(**{"@timestamp": to_rfc3339(APPENDED - HOUR)})).admission == "on_time"


def test_a_known_clock_offset_is_corrected() -> None:
    assert accepted(line(), clock_offset=-1500).time == APPENDED - 1500


def test_one_bad_line_does_not_hide_its_neighbours() -> None:
    record = line(n=1) + b"\n{broken\n\n" + line(n=2) + b"\r\n"
    items = list(read_record(record, ORIGIN, HOUR))
    assert [type(item).__name__ for item in items] == ["Event", "Rejected", "Event"]
    assert [item.line for item in items] == [0, 1, 3]


def test_a_blank_record_holds_nothing() -> None:
    assert list(read_record(b" \n\n", ORIGIN, HOUR)) == []


def test_nested_and_dotted_names_are_one_field() -> None:
    assert flatten({"a": {"b": [1, {"c": 2}]}, "a.b": None, "e": []}) == {"a.b": (1, None), "a.b.c": 2, "e": ()}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=20,
)


@settings(deadline=None)
@given(st.binary() | JSON.map(lambda data: json.dumps(data).encode()))
def test_no_bytes_raise(raw: bytes) -> None:
    for item in read_record(raw, ORIGIN, HOUR):
        assert isinstance(item, Event | Rejected)
