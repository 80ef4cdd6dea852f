from __future__ import annotations

import threading

import pytest

from connectors.forwarder.shipper import MAX_BATCH_BYTES, MAX_BATCH_EVENTS, MAX_IN_FLIGHT, Batch, Mark, Shipper
from connectors.patience import Patience, Stopped
from tests.connectors.forwarder.fake_broker import FakeBroker


class Quick(Patience):
    """No waiting, but an end."""

    def __init__(self) -> None:
        super().__init__(threading.Event())
        self.waits = 0

    def wait(self, at_least: float = 0.0) -> None:
        self.waits += 1
        if self.waits > 50:
            raise Stopped


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def shipper(broker: FakeBroker) -> Shipper:
    made = Shipper(broker.connect, "events.kestrel-bank", Quick(), linger_seconds=1000)
    made.connect()
    return made


def mark(end: int, stream: str = "s") -> Mark:
    return Mark("web", stream, end)


def ends(batches: list[Batch]) -> list[int]:
    return [one.end for batch in batches for one in batch.marks.values()]


def test_events_travel_together_one_a_line(broker: FakeBroker, shipper: Shipper) -> None:
    for number in range(3):
        shipper.add(b'{"n":%d}' % number, mark(number))
    assert shipper.turn() == []
    assert ends(shipper.turn(now=True)) == [2]
    assert broker.messages("events.kestrel-bank") == [b'{"n":0}\n{"n":1}\n{"n":2}']


def test_a_batch_leaves_when_it_is_old_enough(broker: FakeBroker) -> None:
    shipper = Shipper(broker.connect, "t", Quick(), linger_seconds=0)
    shipper.connect()
    shipper.add(b"{}", mark(1))
    assert ends(shipper.turn()) == [1]


def test_a_batch_is_bounded_in_events_and_in_bytes(broker: FakeBroker, shipper: Shipper) -> None:
    for number in range(2 * MAX_BATCH_EVENTS + 1):
        shipper.add(b"{}", mark(number))
    for number in range(5):
        shipper.add(b"x" * (MAX_BATCH_BYTES // 2), mark(1000 + number))
    shipper.add(b"y" * (2 * MAX_BATCH_BYTES), mark(2000))  # alone in its record, since it must go somehow
    shipper.turn(now=True)
    messages = broker.messages("events.kestrel-bank")
    assert all(len(one) <= MAX_BATCH_BYTES or one == b"y" * (2 * MAX_BATCH_BYTES) for one in messages)
    assert all(one.count(b"\n") < MAX_BATCH_EVENTS for one in messages)


def test_a_place_is_reached_only_after_all_before_it(broker: FakeBroker, shipper: Shipper) -> None:
    broker.holding = True
    shipper.add(b"{}", mark(1))
    shipper.turn(now=True)
    shipper.pass_by(mark(2))
    assert shipper.turn(now=True) == []
    assert not shipper.idle
    broker.release()
    assert ends(shipper.turn()) == [1, 2]
    assert shipper.idle


def test_lines_that_are_not_sent_are_passed_without_a_record(broker: FakeBroker, shipper: Shipper) -> None:
    shipper.pass_by(mark(9))
    assert ends(shipper.turn(now=True)) == [9]
    assert broker.stored == []


def test_the_sources_must_wait_while_too_much_is_under_way(broker: FakeBroker, shipper: Shipper) -> None:
    broker.holding = True
    for number in range(MAX_IN_FLIGHT):
        assert not shipper.full
        shipper.add(b"{}", mark(number))
        shipper.turn(now=True)
    assert shipper.full
    broker.release()
    shipper.turn()
    assert not shipper.full


def test_what_fails_is_sent_again_in_order_over_a_new_connection(broker: FakeBroker, shipper: Shipper) -> None:
    broker.holding = True
    for number in range(3):
        shipper.add(b'{"n":%d}' % number, mark(number))
        shipper.turn(now=True)
    broker.holding, broker.failures = False, 3
    broker.release()
    assert shipper.turn() == []
    assert ends(shipper.turn()) == [0, 1, 2]
    assert [event["n"] for event in broker.events()] == [0, 1, 2]
    assert broker.connections == 2


def test_a_broker_that_is_away_is_waited_for(broker: FakeBroker) -> None:
    patience = Quick()
    shipper = Shipper(broker.connect, "t", patience)
    broker.away = True
    original = patience.wait

    def wait(at_least: float = 0.0) -> None:
        original(at_least)
        if patience.waits == 20:
            assert shipper.last_error
            broker.away = False

    patience.wait = wait  # type: ignore[method-assign]
    shipper.connect()
    assert patience.waits == 20
    shipper.add(b"{}", mark(1))
    assert ends(shipper.turn(now=True)) == [1]
    assert shipper.last_error == ""


def test_waiting_for_the_broker_ends_when_told_to_stop(broker: FakeBroker) -> None:
    broker.away = True
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        Shipper(broker.connect, "t", Patience(stop)).connect()


def test_a_heartbeat_is_sent_aside_and_holds_nothing_up(broker: FakeBroker, shipper: Shipper) -> None:
    shipper.send_aside("health", b"{}")
    assert broker.messages("health") == [b"{}"]
    assert shipper.idle
