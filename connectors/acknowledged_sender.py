"""Records handed to the broker, each acknowledged, over a new connection after every failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from kafka import KafkaProducer
from kafka.errors import KafkaError

from schemas.errors import ConnectionError_

ACKNOWLEDGED_SECONDS: Final = 30.0


class AcknowledgedSender:
    """Sends records and waits for the broker to have them all.

    A kafka-python producer (3.0.12) whose broker is restarted sometimes learns of no topic any more, for as long as it
    lives: every send then waits for `max_block_ms` and fails.

    Args:
        connect: makes the producer, before the first record and after a failure.
    """

    def __init__(self, connect: Callable[[], KafkaProducer]) -> None:
        self._connect = connect
        self._producer: KafkaProducer | None = None

    def send(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Send them; some may have arrived even if it fails.

        Args:
            records: arguments of `KafkaProducer.send`.

        Raises:
            ConnectionError_: the broker is away, or did not acknowledge all in time.
        """
        self._producer = producer = self._producer or self._connect()
        try:
            futures = [producer.send(**record) for record in records]
            producer.flush(timeout=ACKNOWLEDGED_SECONDS)
            for future in futures:
                future.get(timeout=ACKNOWLEDGED_SECONDS)
        except KafkaError as error:
            self.close(seconds=0)
            what = f"did not acknowledge {len(records)} record(s) ({type(error).__name__})"
            raise ConnectionError_("kafka", what, hint="check that the broker runs (jsoc status)") from error

    def close(self, seconds: float = 5) -> None:
        """Give the connection back."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError):  # it is of no use any more either way
                producer.close(timeout=seconds)
