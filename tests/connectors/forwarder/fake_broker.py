"""A broker in memory: takes records, acknowledges when told to, can be away, can fail."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import orjson
from kafka.errors import KafkaTimeoutError

from schemas.errors import ConnectionError_


class Receipt:
    def __init__(self) -> None:
        self.is_done = False
        self.exception: BaseException | None = None
        self.timestamp = 0

    def add_callback(self, call: Callable[[Any], None]) -> Receipt:
        call(SimpleNamespace(timestamp=self.timestamp))
        return self

    def add_errback(self, _: Callable[[Any], None]) -> Receipt:
        return self


class FakeBroker:
    """Acknowledges at once unless `holding`; `away` refuses connections; `failures` fail that many records."""

    def __init__(self) -> None:
        self.holding = False
        self.away = False
        self.failures = 0
        self.connections = 0
        self.closed = False
        self.clock: Callable[[], int] = lambda: 0
        self.stored: list[tuple[str, bytes]] = []
        self.keys: list[bytes] = []
        self._pending: list[tuple[str, bytes, Receipt]] = []

    def connect(self) -> FakeBroker:
        if self.away:
            raise ConnectionError_("kafka fake", "cannot connect")
        self.connections += 1
        return self

    def send(
        self, topic: str, *, value: bytes, key: bytes | None = None, headers: list[tuple[str, bytes]] | None = None
    ) -> Receipt:
        receipt = Receipt()
        if key is not None:
            self.keys.append(key)
        receipt.timestamp = self.clock()
        self._pending.append((topic, value, receipt))
        if not self.holding:
            self.release()
        return receipt

    def close(self, timeout: float | None = None) -> None:
        self.closed = True
        self.fail_pending()

    def release(self) -> None:
        """Decide everything that is pending."""
        pending, self._pending = self._pending, []
        for topic, value, receipt in pending:
            if self.failures:
                self.failures -= 1
                receipt.exception = KafkaTimeoutError("fake")
            else:
                self.stored.append((topic, value))
            receipt.is_done = True

    def fail_pending(self) -> None:
        self.failures += len(self._pending)
        self.release()

    def lose_power(self) -> None:
        """What was sent and not acknowledged is stored or not: here it is stored, and nobody learns it."""
        self.stored += [(topic, value) for topic, value, _ in self._pending]
        self._pending = []

    def events(self, topic: str = "events.kestrel-bank") -> list[dict[str, Any]]:
        """Every stored event, repeats included."""
        return [orjson.loads(line) for name, value in self.stored if name == topic for line in value.split(b"\n")]

    def messages(self, topic: str) -> list[bytes]:
        return [value for name, value in self.stored if name == topic]
