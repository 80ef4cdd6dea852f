from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.forwarder.process import Forwarder
from connectors.mapping.library import find_mapping
from schemas.errors import ConfigError
from schemas.event import Event, Origin, read_record
from schemas.health import Heartbeat, health_from_json
from schemas.logsource import derive_logsource
from schemas.times import now_ms
from tests.connectors.forwarder.bench import LOGIN, LOGOUT, Bench, Running, until
from tests.connectors.forwarder.fake_broker import FakeBroker
from tests.connectors.sources.spooling import tls_files


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


def ids(events: list[dict[str, Any]]) -> list[str]:
    return [event["event.id"] for event in events]


def letters(bench: Bench) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in bench.letters.read_bytes().splitlines()]


def heartbeat(broker: FakeBroker) -> Heartbeat:
    beat = health_from_json(broker.messages("health.kestrel-bank")[-1])
    assert isinstance(beat, Heartbeat)
    return beat


def test_a_log_line_arrives_as_an_event_the_centre_understands(bench: Bench, broker: FakeBroker) -> None:
    bench.log_logins(1)
    running = bench.start(broker)
    running.wait_until(lambda: bool(broker.events()))
    running.stop()
    (value,) = broker.messages("events.kestrel-bank")
    (event,) = read_record(value, Origin("events.kestrel-bank", 0, 0, 1_795_399_200_000), lateness=3_600_000)
    assert isinstance(event, Event)
    derive_logsource(event.fields)
    assert event.fields["jointsoc.logsource.product"] == "portal"
    assert (event.admission, event.fields["event.outcome"]) == ("on_time", "failure")
    assert b"u1" not in value


def test_events_keep_the_order_of_the_log(bench: Bench, broker: FakeBroker) -> None:
    bench.log("".join(LOGIN.format(n).replace("02:00:00Z", f"02:{n // 60:02}:{n % 60:02}Z") for n in range(900)))
    running = bench.start(broker)
    running.wait_until(lambda: len(broker.events()) == 900)
    running.stop()
    times = [event["@timestamp"] for event in broker.events()]
    assert times == sorted(times)


def test_every_line_is_sent_dropped_or_kept_as_a_dead_letter(bench: Bench, broker: FakeBroker) -> None:
    bench.log_logins(1, 2)
    bench.log(LOGOUT + "no json at all\n" + "x" * 2_000_000 + "\n" + LOGIN.format(3))
    running = bench.start(broker)
    running.wait_until(lambda: len(broker.events()) == 3)
    running.stop()
    (counters,) = heartbeat(broker).inputs
    assert (counters.read, counters.sent, counters.acknowledged, counters.dropped, counters.dead) == (6, 3, 3, 1, 2)
    no_json, too_large = letters(bench)
    assert (no_json["reason"], no_json["input"]) == ("not-json", "portal")
    assert (too_large["reason"], too_large["cut"], too_large["bytes"]) == ("too-large", True, 2_000_001)
    assert bench.letters.stat().st_mode & 0o077 == 0


def test_two_equal_lines_are_two_events(bench: Bench, broker: FakeBroker) -> None:
    bench.log_logins(1, 1)
    running = bench.start(broker)
    running.wait_until(lambda: len(broker.events()) == 2)
    running.stop()
    first, second = broker.events()
    assert first.pop("event.id") != second.pop("event.id")
    assert first == second


def test_a_restart_sends_nothing_twice_and_nothing_never(bench: Bench, broker: FakeBroker) -> None:
    bench.log_logins(1, 2)
    running = bench.start(broker)
    running.wait_until(lambda: len(broker.events()) == 2)
    running.stop()
    bench.log_logins(3)
    running = bench.start(broker)
    running.wait_until(lambda: len(broker.events()) == 3)
    running.stop()
    assert len(set(ids(broker.events()))) == 3


def test_positions_are_not_saved_before_the_broker_acknowledged(bench: Bench, broker: FakeBroker) -> None:
    broker.holding = True
    bench.log_logins(1)
    running = bench.start(broker)
    running.wait_until(lambda: bool(broker._pending))
    until(bench.positions.exists)
    assert orjson.loads(bench.positions.read_bytes())["inputs"]["portal"][0]["offset"] == 0
    broker.release()
    size = bench.portal.stat().st_size
    until(lambda: orjson.loads(bench.positions.read_bytes())["inputs"]["portal"][0]["offset"] == size)
    running.stop()


def test_reading_everything_again_gives_the_same_ids(bench: Bench, broker: FakeBroker) -> None:
    bench.log_logins(1, 2, 3)
    for _ in range(2):
        seen = len(broker.events())
        running = bench.start(broker)
        running.wait_until(lambda seen=seen: len(broker.events()) == seen + 3)
        running.stop()
        bench.positions.unlink()
    events = ids(broker.events())
    assert events[:3] == events[3:]


def test_ids_differ_between_members_inputs_and_keys(bench: Bench, broker: FakeBroker) -> None:
    bench.log_logins(1)
    changes: list[dict[str, str]] = [{}, {"member": "cobalt-bank"}, {"name": "other"}, {"key": "d" * 64}]
    for number, change in enumerate(changes):
        bench.data["state_dir"] = str(bench.folder / f"state{number}")
        bench.data["member"] = change.get("member", "kestrel-bank")
        bench.data["inputs"][0]["name"] = change.get("name", "portal")
        (bench.folder / "institution.secret").write_text(change.get("key", "a" * 64), encoding="utf-8")
        running = bench.start(broker)
        running.wait_until(
            lambda number=number: len(broker.events() + broker.events("events.cobalt-bank")) == number + 1
        )
        running.stop()
    events = broker.events() + broker.events("events.cobalt-bank")
    assert len(set(ids(events))) == len(changes)


def test_stopping_flushes_what_was_read(bench: Bench, broker: FakeBroker) -> None:
    bench.data["linger_seconds"] = 5
    bench.log_logins(*range(50))
    running = bench.start(broker)
    running.wait_until(lambda: len(broker.messages("health.kestrel-bank")) > 0)
    running.stop()
    assert len(broker.events()) == 50
    assert heartbeat(broker).inputs[0].acknowledged == 50


def test_a_failure_of_the_broker_loses_nothing(bench: Bench, broker: FakeBroker) -> None:
    bench.log_logins(*range(500))
    broker.failures = 2
    running = bench.start(broker)
    running.wait_until(lambda: len(set(ids(broker.events()))) == 500)
    running.stop()
    assert broker.connections > 1


def test_without_a_broker_it_stops_when_told_to_and_remembers_nothing_wrong(bench: Bench, broker: FakeBroker) -> None:
    broker.away = True
    bench.log_logins(1)
    running = bench.start(broker)
    running.stop()
    broker.away = False
    running = bench.start(broker)
    running.wait_until(lambda: len(broker.events()) == 1)
    running.stop()


def test_the_heartbeat_says_what_is_wrong_and_which_policy_holds(bench: Bench, broker: FakeBroker) -> None:
    bench.data["heartbeat_seconds"] = 0.01
    running = bench.start(broker)
    running.wait_until(lambda: len(broker.messages("health.kestrel-bank")) >= 2)
    beat = heartbeat(broker)
    assert (beat.member, "not there" in beat.last_error, len(beat.policy)) == ("kestrel-bank", True, 32)
    running.stop()
    bench.data["inputs"][0]["timezone"] = "Asia/Taipei"
    running = bench.start(broker)
    running.wait_until(lambda: heartbeat(broker).policy != beat.policy)
    running.stop()


def test_two_forwarders_cannot_share_their_state(bench: Bench, broker: FakeBroker) -> None:
    running = bench.start(broker)
    with pytest.raises(ConfigError, match="another forwarder uses this state_dir"):
        Forwarder(bench.settings(), broker.connect)
    running.stop()


def test_damaged_positions_are_told_and_not_guessed(bench: Bench, broker: FakeBroker) -> None:
    for content in (b"{", b'{"version":1,"member":"kestrel-bank","inputs":{"portal":[{"inode":"x"}]}}', b"\xff"):
        bench.positions.parent.mkdir(exist_ok=True)
        bench.positions.write_bytes(content)
        with pytest.raises(ConfigError, match="state"):
            Forwarder(bench.settings(), broker.connect)
    bench.positions.write_bytes(b'{"version":1,"member":"cobalt-bank","inputs":{}}')
    with pytest.raises(ConfigError, match="not this forwarder's"):
        Forwarder(bench.settings(), broker.connect)


_KILLED = """
import sys, threading
from pathlib import Path
from connectors.forwarder.process import Forwarder
from tests.connectors.forwarder.fake_broker import FakeBroker
from tests.connectors.forwarder.bench import Bench

class Telling(FakeBroker):
    def send(self, topic, *, value, key=None, headers=None):
        self.holding = len(self.stored) >= 2          # acknowledges two records, then no more
        if not topic.startswith("health."):
            with Path(sys.argv[1], "sent").open("ab") as file:
                file.write(value + b"\\n")
        return super().send(topic, value=value, key=key, headers=headers)

Forwarder(Bench(Path(sys.argv[1])).settings(), Telling().connect).run(threading.Event())
"""


def test_after_a_kill_the_unacknowledged_part_comes_again_with_the_same_ids(bench: Bench, broker: FakeBroker) -> None:
    bench.log_logins(*range(1000))
    sent = bench.folder / "sent"
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(bench.folder)], cwd=Path(__file__).parents[3], stdout=subprocess.DEVNULL
    )
    try:
        until(lambda: sent.exists() and sent.read_bytes().count(b"\n") == 1000, 60)
        until(lambda: bench.positions.exists() and b'"offset": 0' not in bench.positions.read_bytes())
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    before = [orjson.loads(line)["event.id"] for line in sent.read_bytes().splitlines()]
    running = bench.start(broker)
    running.wait_until(lambda: bool(broker.events()) and ids(broker.events())[-1] == before[-1])
    running.stop()
    again = ids(broker.events())
    assert 0 < len(again) < len(before)
    assert again == before[len(before) - len(again) :]


def with_listeners(bench: Bench) -> None:
    token = bench.folder / "token"
    token.write_text("secret", encoding="utf-8")
    token.chmod(0o600)
    common = {"mapping": "customer-portal", "listen": "127.0.0.1:0"}
    bench.data["spool"] = {"max_bytes": "8MiB"}
    bench.data["inputs"] += [
        {"name": "bus", "type": "syslog", "transport": "tcp", **common},
        {"name": "app", "type": "http", "token_file": str(token), **common},
    ]


def address_of(forwarder: Forwarder, name: str) -> tuple[str, int]:
    host, port = forwarder._inputs[name].source._feeder.address  # type: ignore[attr-defined]
    return host, port


def test_what_came_over_the_network_waits_on_the_disk_for_the_broker_and_is_sent_once(
    bench: Bench, broker: FakeBroker
) -> None:
    with_listeners(bench)
    broker.away = True
    forwarder = Forwarder(bench.settings(), broker.connect)
    bus, app = address_of(forwarder, "bus"), address_of(forwarder, "app")
    running = Running(forwarder)
    with socket.create_connection(bus) as sender:
        sender.sendall("".join(LOGIN.format(number) for number in range(100)).encode())
    connection = http.client.HTTPConnection(*app, timeout=30)
    connection.request("POST", "/", LOGIN.format(1000), {"Authorization": "Bearer secret"})
    assert connection.getresponse().status == 200
    until(lambda: forwarder._inputs["bus"].source.spool.waiting_bytes > 8000)  # type: ignore[attr-defined]
    running.stop()
    assert broker.events() == []

    broker.away = False
    running = bench.start(broker)
    running.wait_until(lambda: len(broker.events()) == 101)
    running.stop()
    assert [one.spool_bytes for one in heartbeat(broker).inputs] == [0, 0, 0]
    running = bench.start(broker)
    bench.log_logins(1)
    running.wait_until(lambda: len(broker.events()) == 102)
    running.stop()
    assert len(set(ids(broker.events()))) == 102


def test_a_sources_order_is_kept_through_the_spool(bench: Bench, broker: FakeBroker) -> None:
    with_listeners(bench)
    forwarder = Forwarder(bench.settings(), broker.connect)
    bus = address_of(forwarder, "bus")
    running = Running(forwarder)
    with socket.create_connection(bus) as sender:
        for number in range(3000):
            sender.sendall(
                LOGIN.format(0)
                .replace("02:00:00Z", f"{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z")
                .encode()
            )
    running.wait_until(lambda: len({event["event.id"] for event in broker.events()}) == 3000)
    running.stop()
    times = [event["@timestamp"] for event in broker.events()]
    assert times == sorted(times)


def test_during_a_change_of_keys_the_centre_sees_one_person_under_both(bench: Bench, broker: FakeBroker) -> None:
    bench.log_logins(1)
    running = bench.start(broker)
    running.wait_until(lambda: len(broker.events()) == 1)
    running.stop()
    new = bench.folder / "new.secret"
    new.write_text("e" * 64, encoding="utf-8")
    new.chmod(0o600)
    old_file = bench.data["keys"]["federation"]
    bench.data["keys"] |= {"federation": str(new), "epoch": 2, "previous": {"federation": old_file, "epoch": 1}}
    bench.log_logins(1)
    running = bench.start(broker)
    running.wait_until(lambda: len(broker.events()) == 2)
    running.stop()
    before, during = broker.events()
    assert during["user.hash"][1] == before["user.hash"] != during["user.hash"][0]
    assert (before["jointsoc.key_epoch"], during["jointsoc.key_epoch"]) == (1, [2, 1])
    assert during["related.user"] == during["user.hash"]
    (value,) = broker.messages("events.kestrel-bank")[1:]
    (event,) = read_record(value, Origin("events.kestrel-bank", 0, 0, 1_795_399_200_000), lateness=3_600_000)
    assert isinstance(event, Event)


def test_a_new_configuration_is_taken_without_losing_what_is_in_flight(bench: Bench, broker: FakeBroker) -> None:
    with_listeners(bench)
    forwarder = Forwarder(bench.settings(), broker.connect)
    bus = address_of(forwarder, "bus")
    running = Running(forwarder)
    bench.log_logins(1)
    with socket.create_connection(bus) as sender:
        sender.sendall(LOGIN.format(2).encode())
        running.wait_until(lambda: len(broker.events()) == 2)
        mapping = bench.folder / "own.yml"
        text = find_mapping("customer-portal").path.read_text(encoding="utf-8")
        mapping.write_text(text.replace("event.module: portal", "event.module: shop"), encoding="utf-8")
        for one in bench.data["inputs"]:
            one["mapping"] = str(mapping)
        second = bench.folder / "second.log"
        second.write_text(LOGIN.format(3), encoding="utf-8")
        bench.data["inputs"].append({"name": "second", "path": str(second), "mapping": str(mapping)})
        del bench.data["inputs"][2]  # app
        fresh = bench.settings()
        forwarder.reload(lambda: fresh)
        running.wait_until(lambda: len(broker.events()) == 3)
        sender.sendall(LOGIN.format(4).encode())  # over the connection that was there before
        running.wait_until(lambda: len(broker.events()) == 4)
    bench.log_logins(5)
    running.wait_until(lambda: len(broker.events()) == 5)
    running.stop()
    assert [event["event.module"] for event in broker.events()] == ["portal", "portal", "shop", "shop", "shop"]
    assert {one.name: one.acknowledged for one in heartbeat(broker).inputs} == {"portal": 2, "bus": 2, "second": 1}


def test_a_configuration_that_cannot_be_taken_leaves_the_old_one_at_work(bench: Bench, broker: FakeBroker) -> None:
    forwarder = Forwarder(bench.settings(), broker.connect)
    running = Running(forwarder)
    taken = socket.create_server(("127.0.0.1", 0))
    listen = f"127.0.0.1:{taken.getsockname()[1]}"
    common = {"mapping": "customer-portal", "type": "syslog", "transport": "tcp"}
    changes: list[dict[str, Any]] = [
        {"member": "heron-bank"},
        {"inputs": [{"name": "x", "path": "/x", "mapping": "no-such"}]},
        {"spool": {"max_bytes": "8MiB"}, "inputs": [{"name": "bus", "listen": listen, **common}]},
    ]
    before = dict(bench.data)
    for number, change in enumerate(changes, start=1):
        bench.data = before | change
        fresh = bench.settings()
        forwarder.reload(lambda fresh=fresh: fresh)  # type: ignore[misc]
        running.wait_until(lambda: forwarder._fresh is None)
        bench.log_logins(number)
        running.wait_until(lambda number=number: len(broker.events()) == number)
    running.stop()
    taken.close()
    assert len(set(ids(broker.events()))) == 3


def test_the_heartbeat_tells_the_clock_and_until_when_certificates_hold(bench: Bench, broker: FakeBroker) -> None:
    ca, _ = tls_files(bench.folder / "tls")
    bench.data["kafka"]["ca_file"] = str(ca)
    bench.data["heartbeat_seconds"] = 0.01
    broker.clock = lambda: now_ms() - 90_000
    running = bench.start(broker)
    running.wait_until(lambda: len(broker.messages("health.kestrel-bank")) > 3)
    running.stop()
    beat = heartbeat(broker)
    assert beat.clock_offset is not None
    assert 80_000 < beat.clock_offset < 100_000
    assert beat.certificates[str(ca)].startswith("20")
