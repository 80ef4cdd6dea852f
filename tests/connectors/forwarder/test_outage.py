"""The broker is away: what happens at the institution meanwhile, and that nothing is lost by it."""

from __future__ import annotations

import gzip
import shutil
import threading
from pathlib import Path

import orjson
import pytest

from connectors.forwarder.process import Forwarder
from connectors.forwarder.shipper import MAX_BATCH_EVENTS, MAX_IN_FLIGHT
from schemas.errors import ConfigError
from tests.connectors.forwarder.bench import Bench, Running, until
from tests.connectors.forwarder.fake_broker import FakeBroker

BEYOND_THE_BUFFERS = MAX_BATCH_EVENTS * MAX_IN_FLIGHT + 2000
"""So many lines that the forwarder stops reading."""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def broker() -> FakeBroker:
    made = FakeBroker()
    made.away = True
    return made


def seen(broker: FakeBroker) -> int:
    return len({event["user.hash"] for event in broker.events()})


def test_logs_that_are_rotated_packed_and_removed_during_an_outage_are_sent_when_it_ends(
    bench: Bench, broker: FakeBroker
) -> None:
    bench.log_logins(*range(BEYOND_THE_BUFFERS))
    forwarder = Forwarder(bench.settings(), broker.connect)
    running = Running(forwarder)
    running.wait_until(lambda: forwarder._inputs["portal"].counters.read >= MAX_BATCH_EVENTS * MAX_IN_FLIGHT)
    for turn in range(3):
        rotated = bench.portal.with_name("portal.log.1")
        bench.portal.rename(rotated)
        bench.log_logins(BEYOND_THE_BUFFERS + turn)
        held = bench.portal.stat().st_ino
        running.wait_until(lambda held=held: forwarder._inputs["portal"].source._files[-1].inode == held)  # type: ignore[attr-defined]
        with rotated.open("rb") as plain, gzip.open(f"{rotated}.{turn}.gz", "wb") as packed:
            shutil.copyfileobj(plain, packed)
        rotated.unlink()
    broker.away = False
    running.wait_until(lambda: seen(broker) == BEYOND_THE_BUFFERS + 3, 60)
    running.stop()
    users = [event["user.hash"] for event in broker.events()]
    assert len(users) == len(set(users))


def test_the_heartbeat_after_an_outage_tells_what_was_read_and_nothing_counts_as_sent_before(
    bench: Bench, broker: FakeBroker
) -> None:
    bench.log_logins(*range(500))
    forwarder = Forwarder(bench.settings(), broker.connect)
    running = Running(forwarder)
    running.wait_until(lambda: forwarder._inputs["portal"].counters.read == 500)
    assert forwarder._inputs["portal"].counters.sent == 0
    broker.away = False
    running.wait_until(lambda: forwarder._inputs["portal"].counters.acknowledged == 500)
    assert forwarder._inputs["portal"].counters.sent == 500
    running.stop()


def test_the_first_heartbeat_leaves_as_soon_as_the_broker_is_there(bench: Bench, broker: FakeBroker) -> None:
    bench.data["heartbeat_seconds"] = 3600
    bench.log_logins(1)
    forwarder = Forwarder(bench.settings(), broker.connect)
    running = Running(forwarder)
    running.wait_until(lambda: forwarder._inputs["portal"].counters.read == 1)
    broker.away = False
    running.wait_until(lambda: bool(broker.messages("health.kestrel-bank")))
    running.stop()


def test_a_wrong_address_of_the_broker_is_mended_without_a_restart(bench: Bench, broker: FakeBroker) -> None:
    bench.log_logins(*range(100))
    forwarder = Forwarder(bench.settings(), broker.connect)
    running = Running(forwarder)
    running.wait_until(lambda: forwarder._inputs["portal"].counters.read == 100)
    bench.data["kafka"]["bootstrap_servers"] = ["127.0.0.1:2"]
    fresh = bench.settings()
    broker.away = False
    forwarder.reload(lambda: fresh)
    running.wait_until(lambda: seen(broker) == 100)
    running.stop()


def test_a_broker_that_takes_its_time_to_answer_holds_up_neither_a_new_configuration_nor_the_end(
    bench: Bench, broker: FakeBroker
) -> None:
    answers = threading.Event()

    def silent() -> FakeBroker:
        answers.wait()
        return broker

    bench.log_logins(1)
    forwarder = Forwarder(bench.settings(), silent)
    running = Running(forwarder)
    running.wait_until(lambda: forwarder._inputs["portal"].counters.read == 1)
    bench.data["inputs"].append({**bench.data["inputs"][0], "name": "second"})
    fresh = bench.settings()
    forwarder.reload(lambda: fresh)
    running.wait_until(lambda: "second" in forwarder._inputs)
    running.stop()
    assert not answers.is_set()
    answers.set()


def test_a_full_disk_ends_the_forwarder_with_a_word_and_the_line_is_kept_for_the_next_start(
    bench: Bench, broker: FakeBroker
) -> None:
    broker.away = False
    bench.letters.parent.mkdir()
    bench.letters.symlink_to("/dev/full")
    bench.log("no json\n")
    bench.log_logins(1)
    running = bench.start(broker)
    until(lambda: running.error is not None)
    assert isinstance(running.error, ConfigError)
    assert "No space left" in str(running.error)
    bench.letters.unlink()
    running = bench.start(broker)
    running.wait_until(lambda: bench.letters.stat().st_size > 0 and seen(broker) == 1)
    running.stop()
    (letter,) = map(orjson.loads, bench.letters.read_bytes().splitlines())
    assert letter["reason"] == "not-json"


def test_a_password_that_cannot_be_read_is_told_at_the_start(bench: Bench, broker: FakeBroker) -> None:
    password = bench.folder / "password.secret"
    password.rename(bench.folder / "elsewhere")
    with pytest.raises(ConfigError, match="password"):
        Forwarder(bench.settings(), broker.connect)
