"""Reads a topic of the institution's own Kafka; its positions are kept with those of the other inputs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from connectors.forwarder.input_settings import KafkaInput
from connectors.kafka import open_consumer
from connectors.sources.line import Line
from connectors.sources.line_reader import LineReader
from schemas.errors import JointSocError

log = structlog.get_logger()

RETRY_SECONDS: Final = 5.0
POLL_RECORDS: Final = 500
LINE_BITS: Final = 20
"""A place is the record's offset and, in its lower bits, the line within the record."""
_OPTIONS: Final = {"group_id": None, "bootstrap_timeout_ms": 5_000, "request_timeout_ms": 10_000}


class _Offset(BaseModel):
    model_config = ConfigDict(extra="forbid")

    partition: int = Field(ge=0)
    offset: int = Field(ge=0)


_SAVED: Final = TypeAdapter(list[_Offset])


class KafkaTopic:
    """The records of one topic, one or more lines each.

    Args:
        settings: broker, topic, where to begin.
        saved: what `state` gave before the restart.
        connect: opens a consumer; raises ConnectionError_ or KafkaError while the broker is away.

    Raises:
        pydantic.ValidationError: `saved` is damaged.
    """

    def __init__(
        self, settings: KafkaInput, saved: Sequence[dict[str, Any]] = (), connect: Callable[[], Any] | None = None
    ) -> None:
        self._settings = settings
        self._connect = connect or (lambda: open_consumer(settings.kafka, **_OPTIONS))
        self._offsets = {one.partition: one.offset for one in _SAVED.validate_python(list(saved))}
        self._consumer: KafkaConsumer | None = None
        self._opening: threading.Thread | None = None
        self._next_try = 0.0
        self._trouble = ""

    @property
    def ended(self) -> bool:
        """Never."""
        return False

    @property
    def trouble(self) -> str:
        """Why nothing can be read at present."""
        return self._trouble

    def read(self) -> list[Line]:
        """Lines that are there; a broker that is away is tried again in the background."""
        if self._consumer is None:
            self._open_later()
            return []
        try:
            batches = self._consumer.poll(timeout_ms=0, max_records=POLL_RECORDS)
        except KafkaError as error:
            self._lose_connection(error)
            return []
        return [line for records in batches.values() for record in records for line in self._lines(record)]

    def look(self) -> None:
        """Nothing: the topic keeps its records."""

    def acknowledge(self, stream: str, end: int) -> None:
        """Remember how far a partition is safe."""
        partition = int(stream.rpartition(".")[2])
        self._offsets[partition] = max(self._offsets.get(partition, 0), end >> LINE_BITS)

    def state(self) -> list[dict[str, Any]]:
        """The next offset of each partition."""
        return [{"partition": partition, "offset": offset} for partition, offset in sorted(self._offsets.items())]

    def close(self) -> None:
        """Close the connections."""
        if self._consumer is not None:
            self._consumer.close(autocommit=False, timeout_ms=0)
            self._consumer = None

    def _open_later(self) -> None:
        if time.monotonic() < self._next_try or (self._opening is not None and self._opening.is_alive()):
            return
        self._next_try = time.monotonic() + RETRY_SECONDS
        self._opening = threading.Thread(target=self._open, daemon=True)
        self._opening.start()

    def _open(self) -> None:
        try:
            consumer = self._connect()
            numbers = consumer.partitions_for_topic(self._settings.topic) or set()
            if not numbers:
                consumer.close()
                self._trouble = f"topic {self._settings.topic}: not there, or not allowed"
                return
            partitions = [TopicPartition(self._settings.topic, number) for number in sorted(numbers)]
            consumer.assign(partitions)
            for partition in partitions:
                if partition.partition in self._offsets:
                    consumer.seek(partition, self._offsets[partition.partition])
                elif self._settings.start_at == "end":
                    consumer.seek_to_end(partition)
                    self._offsets[partition.partition] = consumer.position(partition)
                else:
                    consumer.seek_to_beginning(partition)
        except (KafkaError, JointSocError, OSError) as error:
            self._trouble = (
                f"topic {self._settings.topic}: {error if isinstance(error, JointSocError) else type(error).__name__}"
            )
            return
        self._trouble = ""
        self._consumer = consumer
        log.info("source.reading", topic=self._settings.topic, partitions=len(partitions))

    def _lose_connection(self, error: KafkaError) -> None:
        """Begin anew from what is safe: what was read and not acknowledged comes again, with the same ids."""
        self._trouble = f"topic {self._settings.topic}: {type(error).__name__}"
        log.warning("source.cannot_read", trouble=self._trouble)
        self.close()

    def _lines(self, record: Any) -> list[Line]:
        stream = f"{record.topic}.{record.partition}"
        place = record.offset << LINE_BITS
        reader = LineReader(stream)
        value = record.value or b""
        lines = [*reader.feed(value), *reader.rest()]
        placed = [line._replace(start=place + number, end=place + number) for number, line in enumerate(lines)]
        if placed:
            placed[-1] = placed[-1]._replace(end=(record.offset + 1) << LINE_BITS)
        return placed
