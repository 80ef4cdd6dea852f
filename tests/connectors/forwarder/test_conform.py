from __future__ import annotations

import orjson

from connectors.forwarder.conform import conformance
from schemas.event import Origin
from schemas.times import from_rfc3339, to_rfc3339

NOW = from_rfc3339("2026-11-23T02:00:00Z")
ORIGIN = Origin("events.kestrel-bank", 0, 0, NOW)
GOOD = {"@timestamp": to_rfc3339(NOW), "event": {"id": "1", "dataset": "nginx.access"}}


def record(*events: object) -> tuple[bytes, Origin]:
    return b"\n".join(orjson.dumps(event) for event in events), ORIGIN


def test_a_sound_sample_conforms_and_names_its_log_sources() -> None:
    found = conformance([record(GOOD, GOOD), record(GOOD)])
    assert (found.conforms, found.lines, found.events) == (True, 3, 3)
    assert found.sources == {"nginx / webserver / nginx": 3}
    assert not found.advice


def test_what_would_be_a_dead_letter_is_told_with_an_example() -> None:
    foreign = GOOD | {"organization.id": "heron-bank"}
    found = conformance([record(foreign, {"@timestamp": "yesterday"}), (b"{", ORIGIN)])
    assert found.rejected == {"foreign-organization": 1, "bad-timestamp": 1, "not-json": 1}
    assert "heron-bank" in found.examples["foreign-organization"][0]
    assert not found.conforms


def test_what_works_less_well_than_it_could_is_told() -> None:
    late = GOOD | {"@timestamp": to_rfc3339(NOW - 7_200_000)}
    ahead = GOOD | {"@timestamp": to_rfc3339(NOW + 60_000)}
    bare = {"@timestamp": to_rfc3339(NOW), "user.name": "alice"}
    found = conformance([record(late, ahead, bare)])
    told = " | ".join(found.advice)
    for word in ("no event.id", "older than an hour", "ahead of", "user.name names a person", "no log source"):
        assert word in told
    assert not found.conforms


def test_an_empty_sample_does_not_conform() -> None:
    assert not conformance([]).conforms
