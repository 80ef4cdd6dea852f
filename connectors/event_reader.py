"""One original event, read back from Kafka by the place an alert's evidence names."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from connectors.kafka import open_consumer
from connectors.settings import KafkaConnection
from schemas.errors import ConnectionError_
from schemas.event import MAX_LINE_BYTES

LIMIT_SECONDS: Final = 5.0


class EventReader:
    """Reads single lines of records; one consumer, opened at the first question, serves everybody in turn.

    Args:
        connection: a user that may read `events.*`.
        connect: makes the consumer.
    """

    def __init__(self, connection: KafkaConnection, connect: Callable[[], Any] | None = None) -> None:
        self._where = f"kafka {','.join(connection.bootstrap_servers)}"
        self._connect = connect or (lambda: open_consumer(connection, max_poll_records=1))
        self._consumer: KafkaConsumer | None = None
        self._lock = threading.Lock()

    def line(self, topic: str, partition: int, offset: int, line: int) -> bytes | None:
        """The line as its member sent it; None if Kafka does not hold it any more.

        Raises:
            ConnectionError_: the broker is away, refuses, or is too slow.
        """
        with self._lock:
            try:
                value = self._record(TopicPartition(topic, partition), offset)
            except (KafkaError, AssertionError, ValueError) as error:
                self._drop()
                raise ConnectionError_(
                    self._where,
                    f"cannot read {topic}/{partition}/{offset} ({type(error).__name__})",
                    hint="jsoc status",
                ) from error
        lines = value.split(b"\n") if value is not None else []
        return lines[line][:MAX_LINE_BYTES] if 0 <= line < len(lines) else None

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            self._drop()

    def _record(self, place: TopicPartition, offset: int) -> bytes | None:
        if self._consumer is None:
            self._consumer = self._connect()
        consumer = self._consumer
        consumer.assign([place])
        first, end = consumer.beginning_offsets([place])[place], consumer.end_offsets([place])[place]
        if not first <= offset < end:
            return None  # retention took it
        consumer.seek(place, offset)
        deadline = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < deadline:
            for record in consumer.poll(timeout_ms=500).get(place, []):
                return record.value if record.offset == offset else None
        raise ConnectionError_(self._where, f"no answer within {LIMIT_SECONDS:.0f} s", hint="jsoc status")

    def _drop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()
