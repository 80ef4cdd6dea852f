"""What an attacker who writes into a log can do to a forwarder: nothing but fill the dead-letter file."""

from __future__ import annotations

import gzip
import http.client
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.forwarder.normalise import MAX_EVENT_BYTES, Normaliser, Ready
from connectors.forwarder.process import Forwarder
from connectors.mapping.compiled import Dropped, Refused, Surroundings
from connectors.mapping.library import find_mapping, shipped_names
from connectors.mapping.samples import SAMPLE_KEYS
from connectors.sources.line import Line
from schemas.event import Event, Origin, read_record
from tests.connectors.forwarder.bench import LOGIN, Bench, Running
from tests.connectors.forwarder.fake_broker import FakeBroker

NORMALISERS = {
    name: Normaliser("kestrel-bank", "log", find_mapping(name).compile(Surroundings(SAMPLE_KEYS)), b"k" * 32)
    for name in shipped_names()
}
SAMPLES = {name: [sample.line.encode() for sample in find_mapping(name).document.samples] for name in NORMALISERS}
ORIGIN = Origin("events.kestrel-bank", 0, 0, 1_795_399_200_000)


def outcome_is_sound(name: str, raw: bytes) -> None:
    """An event the centre accepts as one event, or a reason."""
    outcome = NORMALISERS[name].normalise(Line(raw, "s", 0, len(raw)))
    if isinstance(outcome, Ready):
        assert b"\n" not in outcome.payload
        assert len(outcome.payload) <= MAX_EVENT_BYTES
        (event,) = read_record(outcome.payload, ORIGIN, 3_600_000)
        assert isinstance(event, Event), event
        assert event.member == "kestrel-bank"
    else:
        assert isinstance(outcome, Dropped | Refused)
        assert getattr(outcome, "reason", "") != "defect", outcome


@pytest.mark.parametrize("name", sorted(NORMALISERS))
@given(data=st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_line_made_of_pieces_of_real_lines_becomes_an_event_or_a_reason(name: str, data: st.DataObject) -> None:
    line = bytearray(data.draw(st.sampled_from(SAMPLES[name])))
    evil = (
        b"\0",
        b"\xff\xfe",
        b"\x1b[2J",
        b"\n",
        b"\r\n<34>",
        b'"',
        b"\\",
        b"{",
        b"[",
        b"=",
        b"|",
        b"\xed\xa0\x80",
        b"'",
    )
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(line)))
        length = data.draw(st.integers(0, 8))
        line[at : at + length] = data.draw(st.one_of(st.sampled_from(evil), st.binary(max_size=8)))
    outcome_is_sound(name, bytes(line))


@pytest.mark.parametrize("name", sorted(NORMALISERS))
@pytest.mark.parametrize(
    "bomb",
    [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"a":{"b":{"c":{}}}}' * 10_000,
        b"\0" * 200_000,
        b"\\" * 200_000,
        b'"' * 200_000,
        b"a=" * 200_000,
        b"CEF:0|" + b"|" * 200_000,
        b"LEEF:2.0|V|P|1|e|^|" + b"a=1^" * 100_000,
        b"<34>1 2026-11-23T02:00:00Z h p 1 - " + b"[x@1" * 50_000,
        "\u202e\ufdfa".encode() * 50_000,
    ],
    ids=lambda bomb: repr(bomb[:12]),
)
def test_no_bomb_stops_a_mapping(name: str, bomb: bytes) -> None:
    outcome_is_sound(name, bomb)


def test_a_value_that_imitates_another_member_or_an_id_changes_neither() -> None:
    claims = LOGIN.format(1).replace("}", ',"organization.id":"heron-bank","event.id":"x"}').encode().strip()
    assert orjson.loads(claims)["organization.id"] == "heron-bank"
    outcome = NORMALISERS["customer-portal"].normalise(Line(claims, "s", 0, len(claims)))
    assert isinstance(outcome, Ready)
    event = orjson.loads(outcome.payload)
    assert "organization.id" not in event
    assert event["event.id"] != "x"


def test_a_hundred_megabytes_without_a_line_end_do_not_fill_the_memory(tmp_path: Path) -> None:
    bench, broker = Bench(tmp_path), FakeBroker()
    with bench.portal.open("wb") as file:
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b"\n" + LOGIN.format(1).encode())
    running = bench.start(broker)
    running.wait_until(lambda: len(broker.events()) == 1, 60)
    running.stop()
    (letter,) = map(orjson.loads, bench.letters.read_bytes().splitlines())
    assert (letter["reason"], letter["bytes"], letter["cut"]) == ("too-large", 100_000_001, True)
    assert len(letter["raw"]) < 10_000


def test_hostile_posts_leave_the_listener_and_the_other_inputs_at_work(tmp_path: Path) -> None:
    bench, broker = Bench(tmp_path), FakeBroker()
    token = bench.folder / "token"
    token.write_text("secret", encoding="utf-8")
    token.chmod(0o600)
    bench.data["spool"] = {"max_bytes": "16MiB"}
    app = {"name": "app", "type": "http", "listen": "127.0.0.1:0", "token_file": str(token), "mapping": "payments"}
    bench.data["inputs"].append(app)
    forwarder = Forwarder(bench.settings(), broker.connect)
    host, port = forwarder._inputs["app"].source._feeder.address  # type: ignore[attr-defined]
    running = Running(forwarder)
    for body, headers in (
        (b"\xff\0\x1b[31m\n" * 100 + b"[" * 100_000, {}),
        (gzip.compress(b"\0" * 50_000_000), {"Content-Encoding": "gzip"}),
        (b"x" * 2_000_000, {}),
    ):
        connection = http.client.HTTPConnection(host, port, timeout=30)
        connection.request("POST", "/", body, {"Authorization": "Bearer secret", **headers})
        assert connection.getresponse().status in (200, 413)
        connection.close()
    bench.log_logins(1)
    running.wait_until(lambda: len(broker.events()) == 1 and forwarder._inputs["app"].counters.dead == 102)
    running.stop()
