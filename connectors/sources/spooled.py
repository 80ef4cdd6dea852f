"""A source whose lines wait in a spool: what feeds it runs in a thread of its own, and does not wait for Kafka."""

from __future__ import annotations

import threading
from typing import Any, Final, Protocol

import structlog

from connectors.sources.line import Line, Source
from connectors.spool import Spool

log = structlog.get_logger()

PAUSE_SECONDS: Final = 0.05
JOIN_SECONDS: Final = 10.0


class Feeder(Protocol):
    """Puts lines into a spool."""

    @property
    def ended(self) -> bool:
        """Whether no further line can come."""

    @property
    def trouble(self) -> str:
        """Why nothing comes at present; empty if all is well."""

    @property
    def lost(self) -> int:
        """Lines that came, could not be taken, and cannot be asked for again."""

    def run(self, spool: Spool, stop: threading.Event) -> None:
        """Feed until told to stop, or until the source has ended.

        Raises:
            OSError: the disk is gone.
        """

    def close(self) -> None:
        """Give back what is open."""


class SpooledSource:
    """Reads a spool that a feeder fills.

    Args:
        name: the input's, for the log.
        spool: its own.
        feeder: started at once, in a thread.
    """

    def __init__(self, name: str, spool: Spool, feeder: Feeder) -> None:
        self._name = name
        self._spool = spool
        self._feeder = feeder
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._feed, name=f"feed-{name}", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether no further line can come, and none waits."""
        return self._feeder.ended and not self._thread.is_alive() and self._spool.waiting_bytes == 0

    @property
    def trouble(self) -> str:
        """Why nothing can be read at present."""
        return self._spool.trouble or self._feeder.trouble

    @property
    def lost(self) -> int:
        """Lines that came and could not be taken."""
        return self._feeder.lost

    @property
    def spool(self) -> Spool:
        """For those who count."""
        return self._spool

    def read(self) -> list[Line]:
        """The next lines of the spool.

        Raises:
            OSError: the disk of the spool is gone.
        """
        if self._failure is not None:
            raise self._failure
        return self._spool.read()

    def look(self) -> None:
        """Nothing: the feeder is at work all the time."""

    def acknowledge(self, stream: str, end: int) -> None:
        """Everything of the spool up to there has reached its destination."""
        self._spool.acknowledge(stream, end)

    def state(self) -> list[dict[str, Any]]:
        """The spool's position."""
        return [self._spool.position()]

    def close(self) -> None:
        """Take what has arrived, then stop and close."""
        self._stop.set()
        self._thread.join(JOIN_SECONDS)
        self._feeder.close()
        self._spool.close()

    def _feed(self) -> None:
        try:
            self._feeder.run(self._spool, self._stop)
        except Exception as error:  # noqa: BLE001 - told where the forwarder can be stopped: in its own thread
            self._failure = error
            log.error("source.failed", input=self._name, error=f"{type(error).__name__}: {error}"[:300])  # noqa: TRY400


class Pump:
    """Feeds a spool from a pipe, which can wait: while the spool is full, nothing is read.

    Args:
        source: what to read; one that remembers no position.
        poll_seconds: how often it is looked at when it was quiet.
    """

    def __init__(self, source: Source, poll_seconds: float = 0.1) -> None:
        self._source = source
        self._poll = poll_seconds

    @property
    def ended(self) -> bool:
        """Whether no further line can come."""
        return self._source.ended

    @property
    def trouble(self) -> str:
        """Why nothing can be read at present."""
        return self._source.trouble

    @property
    def lost(self) -> int:
        """Nothing."""
        return 0

    def run(self, spool: Spool, stop: threading.Event) -> None:
        """Copy lines until told to stop or the pipe ends; what is read while the spool is full waits in memory.

        Raises:
            OSError: the disk is gone.
        """
        while not stop.is_set():
            lines = [(line.raw, line.too_long) for line in self._source.read()]
            if lines:
                taken = spool.append(lines)
                while taken < len(lines) and not stop.wait(PAUSE_SECONDS):
                    taken += spool.append(lines[taken:])
                spool.sync(when_due=True)
            elif self._source.ended:
                return
            else:
                spool.sync()
                stop.wait(self._poll)

    def close(self) -> None:
        """Close the source."""
        self._source.close()
