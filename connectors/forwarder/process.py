"""The forwarder: reads an institution's logs, makes events of them, ships them, and remembers how far it came."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import structlog
from pydantic import ValidationError

from connectors.forwarder.dead_letter_file import DeadLetterFile
from connectors.forwarder.inputs import Input, load_pseudonyms, open_input
from connectors.forwarder.normalise import Ready
from connectors.forwarder.positions_file import PositionsFile
from connectors.forwarder.settings import ForwarderSettings
from connectors.forwarder.shipper import Batch, Mark, Producer, Shipper
from connectors.kafka import open_producer
from connectors.mapping.compiled import Dropped
from connectors.patience import Patience, Stopped
from connectors.sources.line import Line
from schemas.errors import ConfigError
from schemas.health import Heartbeat, health_topic
from schemas.member import TOPIC_PREFIX
from schemas.times import now_ms, to_rfc3339

log = structlog.get_logger()

SAVE_SECONDS: Final = 0.5
FULL_WAIT_SECONDS: Final = 0.02
FLUSH_SECONDS: Final = 10.0
"""So long a forwarder that is told to stop waits for the broker; what is not acknowledged then is sent next time."""
_PRODUCER_OPTIONS: Final = {
    # A broker that is away is noticed, said and tried again within half a minute, and SIGTERM is heard soon.
    "delivery_timeout_ms": 30_000,
    "request_timeout_ms": 10_000,
    "max_block_ms": 5_000,
    "bootstrap_timeout_ms": 5_000,
}


class _Due:
    """Something that is done every so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = time.monotonic()

    def now(self) -> bool:
        """Whether it is time; the next time is counted from now."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + self._seconds
        return True


class Forwarder:
    """One institution's forwarder, in one thread.

    Args:
        settings: the configuration.
        connect: opens a Kafka producer.

    Raises:
        ConfigError: a mapping, key file or the state folder is not as it must be.
    """

    def __init__(self, settings: ForwarderSettings, connect: Callable[[], Producer] | None = None) -> None:
        self._settings = settings
        self._connect = connect or (lambda: open_producer(settings.kafka, **_PRODUCER_OPTIONS))
        pseudonyms = load_pseudonyms(settings)
        self._positions = PositionsFile(settings.state_dir, settings.member)
        try:
            self._inputs = {
                one.name: open_input(settings, one, pseudonyms, self._positions.inputs.get(one.name, ()))
                for one in settings.inputs
            }
            self._letters = DeadLetterFile(settings.state_dir)
        except (OSError, ValidationError) as error:
            self._positions.close()
            raise ConfigError(str(settings.state_dir), f"the state cannot be used: {error}") from error
        except ConfigError:
            self._positions.close()
            raise
        self._policy = _policy_of(settings, self._inputs)
        self._last_error = ""

    def run(self, stop: threading.Event) -> None:
        """Forward until told to stop, or until every source has ended; then flush and save.

        Raises:
            OSError: the disk of `state_dir` is full or gone.
        """
        shipper = Shipper(
            self._connect,
            TOPIC_PREFIX + self._settings.member,
            Patience(stop),
            linger_seconds=self._settings.linger_seconds,
            sent=self._count_sent,
        )
        log.info("forwarder.started", member=self._settings.member, inputs=list(self._inputs), policy=self._policy)
        try:
            shipper.connect()
            self._loop(shipper, stop)
            self._flush(shipper)
        except Stopped:
            log.info("forwarder.stopped_while_waiting", unacknowledged_bytes=shipper.waiting_bytes)
        finally:
            self._save()
            shipper.close()
            self._close()
        log.info("forwarder.stopped", **{one.counters.name: one.counters.read for one in self._inputs.values()})

    def _loop(self, shipper: Shipper, stop: threading.Event) -> None:
        save, beat = _Due(SAVE_SECONDS), _Due(self._settings.heartbeat_seconds)
        while not stop.is_set():
            quiet = True
            for one in self._inputs.values():
                if not shipper.full:
                    quiet = not self._forward(one, shipper) and quiet
            # A quiet log is no reason to keep the last events waiting.
            self._acknowledge(shipper.turn(now=quiet))
            if save.now():
                self._save()
            if beat.now():
                self._send_heartbeat(shipper)
            if all(one.source.ended for one in self._inputs.values()):
                return
            if shipper.full:
                stop.wait(FULL_WAIT_SECONDS)
            elif quiet:
                stop.wait(self._settings.poll_seconds)

    def _forward(self, one: Input, shipper: Shipper) -> bool:
        """Read some lines of an input and pass on what they become; whether there were any."""
        lines = one.source.read()
        for line in lines:
            self._pass_on(one, line, shipper)
        return bool(lines)

    def _pass_on(self, one: Input, line: Line, shipper: Shipper) -> None:
        counters = one.counters
        counters.read += 1
        mark = Mark(counters.name, line.stream, line.end)
        outcome = one.normaliser.normalise(line)
        if isinstance(outcome, Ready):
            shipper.add(outcome.payload, mark)
            return
        if isinstance(outcome, Dropped):
            counters.dropped += 1
        else:
            counters.dead += 1
            self._letters.write(counters.name, line, outcome.reason, outcome.detail)
            self._last_error = f"{counters.name}: {outcome.reason}"
            if counters.dead & (counters.dead - 1) == 0:  # the 1st, 2nd, 4th, 8th...
                log.warning("forwarder.dead_letter", input=counters.name, reason=outcome.reason, total=counters.dead)
        shipper.pass_by(mark)

    def _count_sent(self, batch: Batch) -> None:
        for name, count in batch.counts.items():
            self._inputs[name].counters.sent += count

    def _acknowledge(self, batches: list[Batch]) -> None:
        for batch in batches:
            for mark in batch.marks.values():
                self._inputs[mark.input].source.acknowledge(mark.stream, mark.end)
            for name, count in batch.counts.items():
                self._inputs[name].counters.acknowledged += count

    def _flush(self, shipper: Shipper) -> None:
        """Bring what was read to the broker, for a while."""
        deadline = time.monotonic() + FLUSH_SECONDS
        self._acknowledge(shipper.turn(now=True))
        while not shipper.idle and time.monotonic() < deadline:
            time.sleep(FULL_WAIT_SECONDS)
            self._acknowledge(shipper.turn(now=True))
        self._send_heartbeat(shipper)

    def _save(self) -> None:
        self._letters.sync()
        self._positions.save({name: one.source.state() for name, one in self._inputs.items()})

    def _send_heartbeat(self, shipper: Shipper) -> None:
        inputs = [one.count() for one in self._inputs.values()]
        troubles = [one.trouble for one in inputs if one.trouble]
        beat = Heartbeat(
            timestamp=to_rfc3339(now_ms()),
            member=self._settings.member,
            agent=agent_version(),
            inputs=inputs,
            spool_bytes=shipper.waiting_bytes + sum(one.spool_bytes for one in inputs),
            policy=self._policy,
            last_error=shipper.last_error or "; ".join(troubles)[:300] or self._last_error,
        )
        shipper.send_aside(health_topic(self._settings.member), beat.to_json())

    def _close(self) -> None:
        for one in self._inputs.values():
            one.source.close()
        self._letters.close()
        self._positions.close()


def run_forwarder(settings: ForwarderSettings, stop: threading.Event) -> None:
    """Forward until told to stop.

    Raises:
        ConfigError: see `Forwarder`.
    """
    Forwarder(settings).run(stop)


def agent_version() -> str:
    """The forwarder's version."""
    try:
        return version("jointsoc")
    except PackageNotFoundError:
        return "unknown"


def _policy_of(settings: ForwarderSettings, inputs: dict[str, Input]) -> str:
    """A hash of all that decides what leaves: mappings, inputs, internal networks, key epoch."""
    rules = settings.model_dump_json(include={"inputs", "internal_networks", "member"})
    digests = [one.mapping_digest for one in inputs.values()]
    return sha256("\n".join([rules, str(settings.keys.epoch), *digests]).encode()).hexdigest()[:32]
