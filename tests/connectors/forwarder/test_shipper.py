from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from connectors.forwarder.shipper import (
    MAX_BATCH_BYTES,
    MAX_BATCH_EVENTS,
    MAX_IN_FLIGHT,
    Batch,
    Mark,
    Producer,
    Shipper,
)
from connectors.patience import Patience
from schemas.errors import ConfigError, JointSocError
from tests.connectors.forwarder.fake_broker import FakeBroker


class Quick(Patience):
    """No waiting."""

    def __init__(self) -> None:
        super().__init__(threading.Event())

    def pause(self) -> float:
        return 0.0


def at_once(connect: Callable[[], Producer]) -> Callable[[], Future[Producer]]:
    """Connections that are open, or refused, without waiting."""

    def begin() -> Future[Producer]:
        attempt: Future[Producer] = Future()
        try:
            attempt.set_result(connect())
        except JointSocError as error:
            attempt.set_exception(error)
        return attempt

    return begin


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def shipper(broker: FakeBroker) -> Shipper:
    made = Shipper(at_once(broker.connect), "events.kestrel-bank", Quick(), linger_seconds=1000)
    made.turn()
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


def test_each_input_has_records_of_its_own_under_its_own_key_so_that_its_order_is_kept(
    broker: FakeBroker, shipper: Shipper
) -> None:
    for number in range(4):
        shipper.add(b'{"n":%d}' % number, Mark("web" if number % 2 else "ssh", "s", number))
    shipper.turn(now=True)
    assert dict(zip(broker.keys, broker.messages("events.kestrel-bank"), strict=True)) == {
        b"ssh": b'{"n":0}\n{"n":2}',
        b"web": b'{"n":1}\n{"n":3}',
    }


def test_a_batch_leaves_when_it_is_old_enough(broker: FakeBroker) -> None:
    shipper = Shipper(at_once(broker.connect), "t", Quick(), linger_seconds=0)
    shipper.turn()
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


def test_a_broker_that_is_away_is_tried_again_and_holds_nobody_up(broker: FakeBroker) -> None:
    shipper = Shipper(at_once(broker.connect), "t", Quick())
    broker.away = True
    for number in range(MAX_IN_FLIGHT):
        shipper.add(b"{}", mark(number))
        assert shipper.turn(now=True) == []
    assert shipper.full
    assert shipper.last_error
    broker.away = False
    assert ends(shipper.turn()) == list(range(MAX_IN_FLIGHT))
    assert shipper.last_error == ""


def test_a_connection_that_takes_its_time_holds_nobody_up(broker: FakeBroker) -> None:
    attempts: list[Future[Producer]] = []
    shipper = Shipper(lambda: attempts.append(Future()) or attempts[-1], "t", Quick())  # type: ignore[func-returns-value]
    for number in range(3):
        shipper.add(b"{}", mark(number))
        assert shipper.turn(now=True) == []
    (attempt,) = attempts
    attempt.set_result(broker.connect())
    assert ends(shipper.turn()) == [0, 1, 2]


def test_a_connection_that_nobody_waits_for_any_more_is_closed_when_it_opens(broker: FakeBroker) -> None:
    slow: Future[Producer] = Future()
    shipper = Shipper(lambda: slow, "t", Quick())
    shipper.add(b"{}", mark(1))
    shipper.turn(now=True)
    shipper.use(at_once(broker.connect))
    assert ends(shipper.turn()) == [1]
    late = FakeBroker()
    slow.set_result(late.connect())
    assert late.closed
    assert not broker.closed


def test_a_password_file_that_is_being_replaced_is_waited_for(broker: FakeBroker) -> None:
    answers: list[Exception] = [ConfigError("kafka.password", "cannot read the secret")]

    def connect() -> FakeBroker:
        if answers:
            raise answers.pop()
        return broker

    shipper = Shipper(at_once(connect), "t", Quick())
    shipper.add(b"{}", mark(1))
    assert shipper.turn(now=True) == []
    assert "kafka.password" in shipper.last_error
    assert ends(shipper.turn()) == [1]


def test_between_two_tries_it_pauses(broker: FakeBroker) -> None:
    patience = Quick()
    shipper = Shipper(at_once(broker.connect), "t", patience)
    broker.away = True
    patience.pause = lambda: 3600.0  # type: ignore[method-assign]
    shipper.turn()
    broker.away = False
    shipper.add(b"{}", mark(1))
    assert shipper.turn(now=True) == []
    assert (broker.connections, patience.tries) == (0, 1)


def test_a_new_connection_is_used_at_once_and_what_is_under_way_goes_over_it(broker: FakeBroker) -> None:
    other = FakeBroker()
    shipper = Shipper(at_once(broker.connect), "t", Quick())
    broker.away = True
    shipper.add(b"{}", mark(1))
    assert shipper.turn(now=True) == []
    shipper.use(at_once(other.connect))
    assert ends(shipper.turn()) == [1]
    assert other.messages("t") == [b"{}"]


def test_an_event_counts_as_sent_when_it_leaves_and_once(broker: FakeBroker) -> None:
    sent: list[int] = []
    shipper = Shipper(at_once(broker.connect), "t", Quick(), sent=lambda batch: sent.append(batch.count))
    broker.away, broker.failures = True, 1
    shipper.add(b"{}", mark(1))
    shipper.turn(now=True)
    assert sent == []
    broker.away = False
    while not shipper.idle:
        shipper.turn()
    assert sent == [1]
    assert broker.connections == 2


def test_a_heartbeat_is_sent_aside_and_holds_nothing_up(broker: FakeBroker, shipper: Shipper) -> None:
    shipper.send_aside("health", b"{}")
    assert broker.messages("health") == [b"{}"]
    assert shipper.idle
