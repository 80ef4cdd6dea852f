"""What a forwarder says about itself each minute."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import structlog

from connectors.certificates import expires
from connectors.forwarder.input_settings import HttpInput, SyslogInput
from connectors.forwarder.inputs import Input
from connectors.forwarder.settings import ForwarderSettings
from connectors.mapping.library import find_mapping
from schemas.errors import ConfigError
from schemas.health import Heartbeat
from schemas.times import now_ms, to_rfc3339

log = structlog.get_logger()

EXPIRY_WARNING: Final = timedelta(days=30)
MAX_TROUBLE_CHARS: Final = 300
LOOK_SECONDS: Final = 3600.0


class Pulse:
    """Makes heartbeats.

    Args:
        settings: the configuration.
        inputs: the inputs at work, by name.
    """

    def __init__(self, settings: ForwarderSettings, inputs: Mapping[str, Input]) -> None:
        self._member = settings.member
        self._inputs = inputs
        self._files = certificate_files(settings)
        self.policy = policy_hash(settings, [one.mapping_digest for one in inputs.values()])
        self.last_error = ""
        self._certificates: dict[str, str] = {}
        self._next_look = 0.0
        self._sent_at = 0
        self._offset: int | None = None

    def beat(self, waiting_bytes: int, shipper_error: str) -> Heartbeat:
        """A heartbeat as of now.

        Args:
            waiting_bytes: what the shipper holds that is not acknowledged.
            shipper_error: why nothing can be sent; empty if all is well.
        """
        inputs = [one.count() for one in self._inputs.values()]
        troubles = "; ".join(one.trouble for one in inputs if one.trouble)[:MAX_TROUBLE_CHARS]
        return Heartbeat(
            timestamp=to_rfc3339(now_ms()),
            member=self._member,
            agent=agent_version(),
            inputs=inputs,
            spool_bytes=waiting_bytes + sum(one.spool_bytes for one in inputs),
            policy=self.policy,
            last_error=shipper_error or troubles or self.last_error,
            certificates=self._certificates,
            clock_offset=self._offset,
        )

    def look(self) -> None:
        """Look at the certificates, now and then."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_SECONDS
            self._certificates = expiries(self._files)

    def leaves(self) -> None:
        """A heartbeat leaves now."""
        self._sent_at = now_ms()

    def arrived(self, receipt: Any) -> None:
        """Take the broker's time for the last heartbeat: the clock is ahead by the difference, less the way there."""
        timestamp = getattr(receipt, "timestamp", None)
        if isinstance(timestamp, int) and timestamp > 0:
            self._offset = self._sent_at - timestamp


def agent_version() -> str:
    """The forwarder's version."""
    try:
        return version("jointsoc")
    except PackageNotFoundError:
        return "unknown"


def policy_of(settings: ForwarderSettings) -> str:
    """The hash a forwarder with this configuration sends.

    Raises:
        ConfigError: a mapping that is not there, or damaged.
    """
    return policy_hash(settings, [find_mapping(one.mapping).digest for one in settings.inputs])


def policy_hash(settings: ForwarderSettings, mapping_digests: Iterable[str]) -> str:
    """A hash of all that decides what leaves: mappings, inputs, internal networks, key epochs."""
    rules = settings.model_dump_json(include={"inputs", "internal_networks", "member"})
    epochs = [str(settings.keys.epoch), str(settings.keys.previous and settings.keys.previous.epoch)]
    return sha256("\n".join([rules, *epochs, *mapping_digests]).encode()).hexdigest()[:32]


def certificate_files(settings: ForwarderSettings) -> tuple[Path, ...]:
    """The files of the configuration that hold certificates."""
    named = [settings.kafka.ca_file, settings.kafka.certificate_file]
    for one in settings.inputs:
        if isinstance(one, SyslogInput | HttpInput) and one.tls is not None:
            named += [one.tls.certificate_file, one.tls.client_ca_file]
    return tuple(dict.fromkeys(path for path in named if path is not None))


def expiries(files: Iterable[Path]) -> dict[str, str]:
    """Until when the certificates are valid; one that cannot be read is left out, and told in the log."""
    found: dict[str, str] = {}
    for path in files:
        try:
            until = expires(path)
        except ConfigError as error:
            log.warning("forwarder.certificate_unreadable", why=str(error))
            continue
        found[str(path)] = to_rfc3339(int(until.timestamp() * 1000))
        if until - datetime.now(UTC) < EXPIRY_WARNING:
            log.warning("forwarder.certificate_expires", path=str(path), at=found[str(path)])
    return found
