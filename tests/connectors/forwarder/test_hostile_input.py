"""What an attacker who writes into a log can do to a forwarder: nothing but fill the dead-letter file."""

from __future__ import annotations

import gzip
import http.client
import socket
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.forwarder.normalise import MAX_EVENT_BYTES, Normaliser, Ready
from connectors.forwarder.process import Forwarder
from connectors.mapping.compiled import Dropped, Refused, Surroundings
from connectors.mapping.library import find_mapping, shipped_names
from connectors.mapping.patterns import Pattern
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


def mapped(name: str, raw: bytes) -> dict[str, object]:
    outcome = NORMALISERS[name].normalise(Line(raw, "s", 0, len(raw)))
    assert isinstance(outcome, Ready), outcome
    assert b"\n" not in outcome.payload
    assert b"\x1b" not in outcome.payload
    event: dict[str, object] = orjson.loads(outcome.payload)
    return event


def test_a_line_end_within_a_value_makes_no_second_event() -> None:
    fake = LOGIN.format(2).replace('"', '\\"').strip()
    line = LOGIN.format(1).replace('"u1"', f'"u1\\n{fake}\\r\\n\\u2028\\u001b[2J"').encode().strip()
    assert mapped("customer-portal", line)["source.ip"] == "203.0.113.9"


@pytest.mark.parametrize("header", ["Nov 23 02:00:00 web sshd[8]: ", "<38>1 2026-11-23T02:00:00Z web sshd 8 - - "])
def test_a_fake_syslog_header_within_a_user_name_changes_neither_who_nor_when_nor_the_outcome(header: str) -> None:
    fake = "<38>1 2030-01-01T00:00:00Z other sshd 1 - - Accepted password for root from 198.51.100.66 port 22 ssh2"
    told = mapped(
        "sshd-auth", f"{header}Failed password for invalid user {fake} from 203.0.113.9 port 47 ssh2".encode()
    )
    plain = mapped("sshd-auth", f"{header}Failed password for invalid user x from 203.0.113.9 port 47 ssh2".encode())
    for field in ("@timestamp", "event.outcome", "source.ip", "host.id"):
        assert told[field] == plain[field]


def test_one_datagram_with_a_fake_line_in_it_is_one_line_and_no_login(tmp_path: Path) -> None:
    bench, broker = Bench(tmp_path), FakeBroker()
    bench.data["spool"] = {"max_bytes": "8MiB"}
    bench.data["inputs"].append({"name": "bus", "type": "syslog", "listen": "127.0.0.1:0", "mapping": "sshd-auth"})
    forwarder = Forwarder(bench.settings(), broker.connect)
    address = forwarder._inputs["bus"].source._feeder.address  # type: ignore[attr-defined]
    running = Running(forwarder)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        header = b"<38>Nov 23 02:00:00 web sshd[8]: "
        fake = header + b"Accepted password for root from 198.51.100.66 port 22 ssh2"
        sender.sendto(header + b"Failed password for x\n" + fake, address)
        sender.sendto(header + b"Failed password for y from 203.0.113.9 port 47 ssh2", address)
    running.wait_until(lambda: len(broker.events()) == 1)
    running.stop()
    (letter,) = map(orjson.loads, bench.letters.read_bytes().splitlines())
    assert letter["reason"] == "no-rule"
    assert broker.events()[0]["event.outcome"] == "failure"


def test_a_clock_in_the_future_is_kept_for_the_centre_to_mend_and_an_impossible_one_is_a_dead_letter() -> None:
    ahead = LOGIN.format(1).replace("2026", "2199").encode().strip()
    outcome = NORMALISERS["customer-portal"].normalise(Line(ahead, "s", 0, len(ahead)))
    assert isinstance(outcome, Ready)
    (event,) = read_record(outcome.payload, ORIGIN, 3_600_000)
    assert isinstance(event, Event)
    assert event.admission == "clock_ahead"
    beyond = LOGIN.format(1).replace("2026-11-23T02:00:00Z", "9999-12-31T23:59:59-12:00").encode().strip()
    refused = NORMALISERS["customer-portal"].normalise(Line(beyond, "s", 0, len(beyond)))
    assert isinstance(refused, Refused)
    assert refused.reason == "bad-time"


EVIL_PATTERNS = (
    r"^(a+)+$",
    r"^(a|a)*$",
    r"^(.*a){20}$",
    r"(?:a?){50}a{50}$",
    r"^(\w+\s?)*$",
)
"""Each takes a backtracking matcher longer than anybody waits."""


@pytest.mark.parametrize("pattern", EVIL_PATTERNS)
def test_a_mapping_with_a_catastrophic_pattern_costs_no_more_than_its_lines_are_long(
    tmp_path: Path, pattern: str
) -> None:
    bench, broker = Bench(tmp_path), FakeBroker()
    (tmp_path / "evil.yml").write_text(
        "name: evil\nversion: 1\ndescription: x\n"
        f"parse: {{kind: regex, pattern: '(?P<time>\\S+) (?P<rest>.*)'}}\n"
        "time: {from: time, as: rfc3339}\n"
        f"rules: [{{name: evil, match: {{rest: {{regex: '{pattern}'}}}}, set: {{event.kind: event}}}}]\n"
        "samples: [{line: '2026-11-23T02:00:00Z !', dead: no-rule}]\n",
        encoding="utf-8",
    )
    log = tmp_path / "evil.log"
    log.write_text("2026-11-23T02:00:00Z " + "a" * 20_000 + "!\n", encoding="utf-8")
    bench.data["inputs"].append({"name": "evil", "path": str(log), "mapping": str(tmp_path / "evil.yml")})
    bench.log_logins(1)
    forwarder = Forwarder(bench.settings(), broker.connect)
    running = Running(forwarder)
    running.wait_until(lambda: len(broker.events()) == 1 and forwarder._inputs["evil"].counters.dead == 1)
    running.stop()
    (letter,) = map(orjson.loads, bench.letters.read_bytes().splitlines())
    assert (letter["input"], letter["reason"]) == ("evil", "no-rule")


def test_a_pattern_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="not a regular expression"):
        Pattern(r"((a{100}){100}){100}")
