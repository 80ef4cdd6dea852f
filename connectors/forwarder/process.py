"""The forwarder: reads an institution's logs, makes events of them, ships them, and remembers how far it came."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from kafka.errors import KafkaError
from pydantic import ValidationError

from connectors.forwarder.connecting import in_background
from connectors.forwarder.dead_letter_file import DeadLetterFile
from connectors.forwarder.heartbeat import Pulse
from connectors.forwarder.inputs import Input, compile_mapping, load_pseudonyms, open_inputs, same_sources
from connectors.forwarder.metrics import MetricsServer
from connectors.forwarder.normalise import Ready
from connectors.forwarder.positions_file import PositionsFile
from connectors.forwarder.settings import ForwarderSettings
from connectors.forwarder.shipper import Batch, Mark, Producer, Shipper
from connectors.kafka import open_producer
from connectors.mapping.compiled import Dropped
from connectors.patience import Patience
from connectors.sources.line import Line
from schemas.errors import ConfigError
from schemas.health import health_topic
from schemas.member import TOPIC_PREFIX

log = structlog.get_logger()

SAVE_SECONDS: Final = 0.5
FULL_WAIT_SECONDS: Final = 0.02
LOOK_SECONDS: Final = 0.5
"""So often logs are looked at that are not read while the broker is away."""
FLUSH_SECONDS: Final = 10.0
"""So long a forwarder that is told to stop waits for the broker; what is not acknowledged then is sent next time."""
_PRODUCER_OPTIONS: Final = {
    # A broker that is away is noticed, said and tried again within half a minute, and SIGTERM is heard soon.
    "delivery_timeout_ms": 30_000,
    "request_timeout_ms": 10_000,
    "max_block_ms": 5_000,
    "bootstrap_timeout_ms": 10_000,
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
    """One institution's forwarder; what it reads and sends goes through one thread.

    Args:
        settings: the configuration.
        connect: opens a Kafka producer; called in a thread of its own.

    Raises:
        ConfigError: a mapping, key or password file, address or the state folder is not as it must be.
    """

    def __init__(self, settings: ForwarderSettings, connect: Callable[[], Producer] | None = None) -> None:
        _check_password(settings)
        self._settings = settings
        open_ = connect or (lambda: _opened(self._settings))
        self._connect = lambda: in_background(open_)
        self._fresh: Callable[[], ForwarderSettings] | None = None
        """Set to ask for a new configuration; gives it."""
        self._positions = PositionsFile(settings.state_dir, settings.member)
        self._inputs: dict[str, Input] = {}
        self._metrics: MetricsServer | None = None
        try:
            self._letters = DeadLetterFile(settings.state_dir)
        except OSError as error:
            self._positions.close()
            raise _unusable(settings, error) from error
        try:
            self._inputs = open_inputs(settings, self._positions.inputs, {})
            self._pulse = Pulse(settings, self._inputs)
            self._metrics = self._serve_metrics()
        except ValidationError as error:
            self._close()
            raise _unusable(settings, error) from error
        except ConfigError:
            self._close()
            raise

    def reload(self, fresh: Callable[[], ForwarderSettings]) -> None:
        """Take a new configuration at the next opportunity; callable from a signal handler.

        Args:
            fresh: reads it; a ConfigError is logged, and the old one stays.
        """
        self._fresh = fresh

    def run(self, stop: threading.Event) -> None:
        """Forward until told to stop, or until every source has ended; then flush and save.

        Raises:
            ConfigError: the disk of `state_dir` is full or gone.
        """
        shipper = Shipper(
            self._connect,
            TOPIC_PREFIX + self._settings.member,
            Patience(stop),
            linger_seconds=self._settings.linger_seconds,
            sent=self._count_sent,
        )
        policy = self._pulse.policy
        log.info("forwarder.started", member=self._settings.member, inputs=list(self._inputs), policy=policy)
        try:
            self._loop(shipper, stop)
            self._flush(shipper)
            self._send_heartbeat(shipper)
            self._save()
        except OSError as error:  # what was acknowledged since the last time it was saved comes again
            log.error("forwarder.failed", why=f"{type(error).__name__}: {error}")  # noqa: TRY400
            raise _unusable(self._settings, error) from error
        finally:
            shipper.close()
            counts = {name: one.counters.read for name, one in self._inputs.items()}
            self._close()
        log.info("forwarder.stopped", unacknowledged_bytes=shipper.waiting_bytes, **counts)

    def _loop(self, shipper: Shipper, stop: threading.Event) -> None:
        save, beat, look = _Due(SAVE_SECONDS), _Due(self._settings.heartbeat_seconds), _Due(LOOK_SECONDS)
        while not stop.is_set():
            quiet = True
            for one in self._inputs.values():
                if not shipper.full:
                    quiet = not self._forward(one, shipper) and quiet
            # A quiet log is no reason to keep the last events waiting.
            self._acknowledge(shipper.turn(now=quiet))
            if self._fresh is not None:
                self._take_configuration(shipper)
            if save.now():
                self._save()
            self._pulse.look()
            if shipper.connected and beat.now():  # after an outage at once
                self._send_heartbeat(shipper)
            if all(one.source.ended for one in self._inputs.values()):
                return
            if shipper.full:
                if look.now():
                    self._look()
                stop.wait(FULL_WAIT_SECONDS)
            elif quiet:
                stop.wait(self._settings.poll_seconds)

    def _look(self) -> None:
        """Hold on to logs that are rotated while nothing is read."""
        for one in self._inputs.values():
            one.source.look()

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
            self._pulse.last_error = f"{counters.name}: {outcome.reason}"
            if counters.dead & (counters.dead - 1) == 0:  # the 1st, 2nd, 4th, 8th...
                log.warning("forwarder.dead_letter", input=counters.name, reason=outcome.reason, total=counters.dead)
        shipper.pass_by(mark)

    def _count_sent(self, batch: Batch) -> None:
        if batch.input in self._inputs:  # a new configuration may have taken it away
            self._inputs[batch.input].counters.sent += batch.count

    def _acknowledge(self, batches: list[Batch]) -> None:
        for batch in batches:
            one = self._inputs.get(batch.input)
            if one is not None:
                for mark in batch.marks.values():
                    one.source.acknowledge(mark.stream, mark.end)
                one.counters.acknowledged += batch.count

    def _flush(self, shipper: Shipper) -> None:
        """Bring what was read to the broker, for a while, if it is there."""
        deadline = time.monotonic() + FLUSH_SECONDS
        self._acknowledge(shipper.turn(now=True))
        while not shipper.idle and shipper.connected and time.monotonic() < deadline:
            time.sleep(FULL_WAIT_SECONDS)
            self._acknowledge(shipper.turn(now=True))

    def _take_configuration(self, shipper: Shipper) -> None:
        """Go over to a new configuration: sources that did not change stay open, and keep what is in flight."""
        fresh, self._fresh = self._fresh, None
        assert fresh is not None
        try:
            settings = _checked(fresh(), self._settings)
        except ConfigError as error:
            log.warning("forwarder.reload_refused", why=str(error))
            return
        self._flush(shipper)
        self._save()
        before, staying = self._settings, same_sources(self._settings, settings)
        keep = {name: one for name, one in self._inputs.items() if name in staying}
        for name, one in self._inputs.items():
            if name not in keep:
                one.source.close()
        try:
            self._inputs = open_inputs(settings, self._positions.inputs, keep)
        except ConfigError as error:  # an address that is taken, say: the old ones are opened again
            self._inputs = open_inputs(before, self._positions.inputs, keep)
            log.warning("forwarder.reload_refused", why=str(error))
            return
        self._settings = settings
        if settings.kafka != before.kafka:
            shipper.use(self._connect)
        self._metrics, old = None, self._metrics
        if old is not None:
            old.close()
        self._pulse = Pulse(settings, self._inputs)
        self._metrics = self._serve_metrics()
        log.info("forwarder.reloaded", inputs=list(self._inputs), policy=self._pulse.policy)

    def _serve_metrics(self) -> MetricsServer | None:
        metrics = self._settings.metrics
        return None if metrics is None else MetricsServer(metrics.listen, lambda: self._pulse.beat(0, ""))

    def _save(self) -> None:
        self._letters.sync()
        self._positions.save({name: one.source.state() for name, one in self._inputs.items()})

    def _send_heartbeat(self, shipper: Shipper) -> None:
        beat = self._pulse.beat(shipper.waiting_bytes, shipper.last_error)
        self._pulse.leaves()
        shipper.send_aside(health_topic(self._settings.member), beat.to_json(), self._pulse.arrived)

    def _close(self) -> None:
        if self._metrics is not None:
            self._metrics.close()
        for one in self._inputs.values():
            one.source.close()
        try:
            self._letters.close()
        except OSError as error:  # their lines' positions were not saved either: they come again
            log.error("forwarder.letters_unsaved", why=f"{type(error).__name__}: {error}")  # noqa: TRY400
        self._positions.close()


def _opened(settings: ForwarderSettings) -> Producer:
    """A producer that knows the topics already, so that no send waits for news of them.

    Raises:
        ConnectionError_, KafkaError: the broker is away, or refuses the credentials or the member's topic.
    """
    producer: Producer = open_producer(settings.kafka, **_PRODUCER_OPTIONS)
    try:
        _learn_topics(producer, settings.member)
    except KafkaError:
        producer.close(timeout=0)
        raise
    return producer


def _learn_topics(producer: Any, member: str) -> None:
    producer.partitions_for(TOPIC_PREFIX + member)
    try:
        producer.partitions_for(health_topic(member))
    except KafkaError as error:  # events go their way without heartbeats
        log.warning("forwarder.no_heartbeats", why=f"{type(error).__name__}: {error}")


def _unusable(settings: ForwarderSettings, error: Exception) -> ConfigError:
    return ConfigError(str(settings.state_dir), f"the state cannot be used: {error}")


def _checked(settings: ForwarderSettings, before: ForwarderSettings) -> ForwarderSettings:
    """A configuration a running forwarder can go over to.

    Raises:
        ConfigError: it is another forwarder's, or a mapping, a key or a password is not as it must be.
    """
    if (settings.member, settings.state_dir) != (before.member, before.state_dir):
        raise ConfigError("member, state_dir", "cannot change while it runs", hint="restart the forwarder")
    _check_password(settings)
    pseudonyms = load_pseudonyms(settings)
    for one in settings.inputs:
        compile_mapping(settings, one, pseudonyms)
    return settings


def _check_password(settings: ForwarderSettings) -> None:
    if settings.kafka.password_file is not None:
        settings.kafka.password()
