"""Batches of events to Kafka, in order; tells what has been acknowledged, and never gives up."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

import structlog
from kafka.errors import KafkaError

from connectors.forwarder.connecting import abandon
from connectors.patience import Patience
from schemas.errors import JointSocError

log = structlog.get_logger()

SCHEMA_HEADERS: Final = [("schema", b"1")]
MAX_BATCH_EVENTS: Final = 200
MAX_BATCH_BYTES: Final = 256 * 1024
MAX_IN_FLIGHT: Final = 64
MAX_IN_FLIGHT_BYTES: Final = 8 * 1024 * 1024


class Receipt(Protocol):
    """What a producer gives for a record: kafka-python's future."""

    @property
    def is_done(self) -> bool:
        """Whether it is decided."""

    @property
    def exception(self) -> BaseException | None:
        """Why it failed."""


class Producer(Protocol):
    """What is needed of a Kafka producer."""

    def send(
        self, topic: str, *, value: bytes, key: bytes | None = None, headers: list[tuple[str, bytes]] | None = None
    ) -> Any:
        """Take a record; records of one key keep their order. Returns its `Receipt`."""

    def close(self, timeout: float | None = None) -> None:
        """Close the connections."""


class Mark(NamedTuple):
    """A place in a source; reached when everything before it is safe."""

    input: str
    stream: str
    end: int


@dataclass
class Batch:
    """Events of one input that travel as one record, and the marks reached when they arrive."""

    input: str
    lines: list[bytes] = field(default_factory=list)
    """Until it is sealed."""
    value: bytes = b""
    """The record, once it is sealed; empty where no line is sent."""
    size: int = 0
    marks: dict[str, Mark] = field(default_factory=dict)
    """By stream: the last of it."""
    count: int = 0
    """Events."""
    begun: float = field(default_factory=time.monotonic)
    receipt: Receipt | None = None
    has_left: bool = False

    @property
    def lost(self) -> bool:
        """Whether it has to be sent again."""
        return bool(self.value) and (self.receipt is None or self.receipt.exception is not None)

    def reach(self, mark: Mark) -> None:
        """Note a mark; the later one of a stream replaces the earlier."""
        self.marks[mark.stream] = mark

    def seal(self) -> None:
        """Make a record of the lines."""
        self.count = len(self.lines)
        self.value = b"\n".join(self.lines)
        self.lines.clear()


class Shipper:
    """Sends events to one topic; those of one input arrive in the order they were added.

    Each record holds events of one input and has its name as key, so all of them go to the same partition.

    A batch that fails is sent again, with all that were not acknowledged, over a new connection, as often as it takes:
    events carry ids, so what arrives twice counts once. Nothing here waits for a broker that is away: `turn` tries
    again when it is time to, so that logs are watched and a new configuration is heard meanwhile.

    Args:
        connect: begins to open a producer; the result is a JointSocError or KafkaError while the broker is away or the
            credentials cannot be read.
        topic: where to.
        patience: how long to pause between tries.
        linger_seconds: a batch leaves at the latest after this time.
        sent: called with a batch when it leaves for the first time.
    """

    def __init__(
        self,
        connect: Callable[[], Future[Producer]],
        topic: str,
        patience: Patience,
        *,
        linger_seconds: float = 0.2,
        sent: Callable[[Batch], None] = lambda _: None,
    ) -> None:
        self._connect = connect
        self._topic = topic
        self._patience = patience
        self._linger = linger_seconds
        self._sent = sent
        self._attempt: Future[Producer] | None = None
        self._producer: Producer | None = None
        self._giving_up = False
        """Whether the connection is of no use any more, and only its records' fates are waited for."""
        self._next_try = 0.0
        self._open: dict[str, Batch] = {}
        """By input."""
        self._in_flight: deque[Batch] = deque()
        self._bytes = 0
        self.last_error = ""
        """The last failure; empty again once something was acknowledged."""

    @property
    def connected(self) -> bool:
        """Whether there is a connection that is not known to have failed."""
        return self._producer is not None and not self._giving_up

    @property
    def full(self) -> bool:
        """Whether the sources must wait."""
        return len(self._in_flight) >= MAX_IN_FLIGHT or self._bytes >= MAX_IN_FLIGHT_BYTES

    @property
    def idle(self) -> bool:
        """Whether everything added has been acknowledged."""
        return not self._in_flight and not self._open

    @property
    def waiting_bytes(self) -> int:
        """Bytes that are not acknowledged yet."""
        return self._bytes + sum(batch.size for batch in self._open.values())

    def add(self, event: bytes, mark: Mark) -> None:
        """Take one event: a line of JSON without a line end."""
        size = len(event) + 1
        batch = self._batch(mark.input)
        if batch.lines and batch.size + size > MAX_BATCH_BYTES:
            self._seal(batch)
            batch = self._batch(mark.input)
        batch.lines.append(event)
        batch.size += size
        batch.reach(mark)
        if len(batch.lines) >= MAX_BATCH_EVENTS or batch.size >= MAX_BATCH_BYTES:
            self._seal(batch)

    def pass_by(self, mark: Mark) -> None:
        """Note a line that is not sent: its place is safe once all before it is."""
        self._batch(mark.input).reach(mark)

    def turn(self, *, now: bool = False) -> list[Batch]:
        """Send what is due; returns the batches that were acknowledged since, in order.

        Args:
            now: send open batches however young they are.
        """
        self._mend()
        latest = time.monotonic() - self._linger
        for batch in [one for one in self._open.values() if now or one.begun <= latest]:
            self._seal(batch)
        return self._collect()

    def send_aside(self, topic: str, value: bytes, arrived: Callable[[Any], None] = lambda _: None) -> None:
        """Send a record that may get lost: a heartbeat, outdated by the next one.

        Args:
            topic: where to.
            value: the record.
            arrived: called, in any thread, with what the broker said.
        """
        if self._producer is None:
            return
        try:
            self._producer.send(topic, value=value).add_callback(arrived).add_errback(
                lambda error: log.warning("shipper.heartbeat_lost", error=type(error).__name__)
            )
        except KafkaError as error:
            log.warning("shipper.heartbeat_lost", error=type(error).__name__)

    def use(self, connect: Callable[[], Future[Producer]]) -> None:
        """Go on over another connection; what is not acknowledged is sent again over it."""
        self._abandon()
        self._connect = connect
        self._giving_up = True
        self._patience.over()

    def close(self) -> None:
        """Close the connection; what is not acknowledged stays so."""
        self._abandon()
        self._disconnect(timeout=5)

    def _batch(self, name: str) -> Batch:
        """The open batch of an input."""
        batch = self._open.get(name)
        if batch is None:
            batch = self._open[name] = Batch(name)
        return batch

    def _seal(self, batch: Batch) -> None:
        del self._open[batch.input]
        batch.seal()
        self._in_flight.append(batch)
        self._bytes += batch.size
        if batch.value and self.connected:
            self._send(batch)

    def _send(self, batch: Batch) -> None:
        assert self._producer is not None, "only over a connection"
        try:
            batch.receipt = self._producer.send(
                self._topic, key=batch.input.encode(), value=batch.value, headers=SCHEMA_HEADERS
            )
        except KafkaError as error:
            batch.receipt = None
            self._failed(error)
            self._giving_up = True
            return
        if not batch.has_left:
            batch.has_left = True
            self._sent(batch)

    def _collect(self) -> list[Batch]:
        done: list[Batch] = []
        while self._in_flight:
            batch = self._in_flight[0]
            if batch.value:
                receipt = batch.receipt
                if receipt is None or not receipt.is_done:
                    break
                if receipt.exception is not None:
                    if not self._giving_up:
                        self._failed(receipt.exception)
                        self._giving_up = True
                    break
                self._succeeded()
            self._in_flight.popleft()
            self._bytes -= batch.size
            done.append(batch)
        return done

    def _mend(self) -> None:
        """Without a connection, or with one that has failed: a new one when it is time, and all that is lost again."""
        if self._giving_up:
            # The old producer gives each of its records up by itself; closed before, it would go on in the background.
            if any(batch.receipt is not None and not batch.receipt.is_done for batch in self._in_flight):
                return
            self._disconnect(timeout=0)
            for batch in self._in_flight:
                batch.receipt = None if batch.lost else batch.receipt
            self._giving_up = False
            self._next_try = time.monotonic() + self._patience.pause()
        if self._producer is None and self._has_connected():
            for batch in self._in_flight:
                if batch.lost and self.connected:
                    self._send(batch)

    def _has_connected(self) -> bool:
        """Begin to connect when it is time to; take the connection when it is there."""
        if self._attempt is None:
            if time.monotonic() < self._next_try:
                return False
            self._attempt = self._connect()
        if not self._attempt.done():
            return False
        attempt, self._attempt = self._attempt, None
        try:
            self._producer = attempt.result()
        except (JointSocError, KafkaError) as error:  # a password file that is being replaced is waited for too
            self._failed(error)
            self._next_try = time.monotonic() + self._patience.pause()
            return False
        return True

    def _abandon(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            abandon(attempt)

    def _disconnect(self, timeout: float) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                producer.close(timeout=timeout)
            except KafkaError as error:
                log.warning("shipper.close_failed", error=type(error).__name__)

    def _failed(self, error: BaseException) -> None:
        self.last_error = (str(error) if isinstance(error, JointSocError) else f"{type(error).__name__}: {error}")[:300]
        if self._patience.failed():
            log.warning("shipper.waiting_for_kafka", why=self.last_error, tries=self._patience.tries)

    def _succeeded(self) -> None:
        self.last_error = ""
        if self._patience.over():
            log.info("shipper.kafka_is_back")
