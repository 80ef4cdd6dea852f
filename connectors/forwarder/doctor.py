"""Whether a forwarder can do its work: the way to the broker, the credentials, the rights, the clock, the disk."""

from __future__ import annotations

import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from kafka.errors import KafkaError

from connectors.certificates import expires
from connectors.forwarder.findings import Finding, Verdict
from connectors.forwarder.heartbeat import EXPIRY_WARNING, agent_version, certificate_files
from connectors.forwarder.settings import ForwarderSettings
from connectors.kafka import open_admin, open_producer
from connectors.settings import KafkaConnection
from connectors.sources.listening import host_and_port
from schemas.errors import ConfigError, JointSocError
from schemas.health import Heartbeat, health_topic
from schemas.member import TOPIC_PREFIX
from schemas.times import now_ms, to_rfc3339

CONNECT_SECONDS: Final = 10.0
CLOCK_WARNING_MS: Final = 2_000
CLOCK_FAULT_MS: Final = 60_000


def examine(
    settings: ForwarderSettings,
    admin_of: Callable[[KafkaConnection], Any] = open_admin,
    producer_of: Callable[[KafkaConnection], Any] = open_producer,
) -> Iterator[Finding]:
    """Every finding, good and bad; sends one heartbeat and no event."""
    yield from _certificates(settings)
    yield from _disk(settings)
    reached = False
    for address in settings.kafka.bootstrap_servers:
        finding = _broker(settings.kafka, address)
        reached = reached or finding.verdict != "fault"
        yield finding
    if not reached:
        return
    try:
        admin = admin_of(settings.kafka)
    except (JointSocError, KafkaError) as error:
        yield Finding("fault", "credentials", _told(error))
        return
    yield Finding("ok", "credentials", f"{settings.kafka.username or 'certificate'} is known to the broker")
    try:
        yield from _topics(settings, admin)
    except KafkaError as error:
        yield Finding("fault", "topics", _told(error))
    finally:
        admin.close()
    yield from _clock(settings, producer_of)


def _certificates(settings: ForwarderSettings) -> Iterator[Finding]:
    for path in certificate_files(settings):
        try:
            yield _expiry(f"certificate {path.name}", expires(path))
        except ConfigError as error:
            yield Finding("fault", f"certificate {path.name}", str(error))


def _disk(settings: ForwarderSettings) -> Iterator[Finding]:
    nearest = next(parent for parent in (settings.state_dir, *settings.state_dir.absolute().parents) if parent.exists())
    free = shutil.disk_usage(nearest).free
    wanted = sum(int(settings.spool.max_bytes) for one in settings.inputs if one.spooled)
    used = sum(path.stat().st_size for path in Path(settings.state_dir).glob("spool/*/*.spool"))
    shown = f"{free // 2**20} MiB free; the spools may take {wanted // 2**20} MiB, of which {used // 2**20} are taken"
    yield Finding("ok" if free + used >= wanted else "fault", "disk", shown)


def _broker(kafka: KafkaConnection, address: str) -> Finding:
    """TCP, and TLS with the broker's certificate verified where the connection is encrypted."""
    host, port = host_and_port(address)
    what = f"broker {address}"
    try:
        with socket.create_connection((host, port), timeout=CONNECT_SECONDS) as plain:
            if not kafka.security_protocol.endswith("SSL"):
                return Finding("warning", what, "reached; the connection is not encrypted")
            context = ssl.create_default_context(cafile=None if kafka.ca_file is None else str(kafka.ca_file))
            if kafka.certificate_file is not None:
                context.load_cert_chain(kafka.certificate_file, kafka.key_file)
            with context.wrap_socket(plain, server_hostname=host) as encrypted:
                shown = str((encrypted.getpeercert() or {}).get("notAfter", ""))
                version = encrypted.version()
    except ssl.SSLCertVerificationError as error:
        return Finding(
            "fault", what, f"its certificate does not hold: {error.verify_message}; Try: check kafka.ca_file"
        )
    except (OSError, ssl.SSLError) as error:
        return Finding("fault", what, f"{type(error).__name__}: {error}")
    with suppress(ValueError):
        until = datetime.fromtimestamp(ssl.cert_time_to_seconds(shown), UTC)
        expiry = _expiry(what, until)
        return expiry._replace(detail=f"{version}, certificate {expiry.detail}")
    return Finding("ok", what, f"{version}")


def _topics(settings: ForwarderSettings, admin: Any) -> Iterator[Finding]:
    ours = (TOPIC_PREFIX + settings.member, health_topic(settings.member))
    seen = set(admin.list_topics())
    described = {topic["name"]: topic for topic in admin.describe_topics([name for name in ours if name in seen])}
    for name in ours:
        topic = described.get(name)
        if topic is None:
            yield Finding(
                "fault",
                f"topic {name}",
                f"not there, or not for {settings.kafka.username or 'this certificate'}; Try: ask the centre for "
                f"`jsoc member add {settings.member}`",
            )
            continue
        allowed = topic.get("authorized_operations") or topic.get("topic_authorized_operations") or []
        if allowed and not {"WRITE", "ALL"} & set(allowed):
            yield Finding("fault", f"topic {name}", f"may not be written; allowed: {', '.join(allowed)}")
        else:
            yield Finding("ok", f"topic {name}", f"{len(topic['partitions'])} partitions, may be written")
    foreign = sorted(name for name in seen if name.startswith(TOPIC_PREFIX) and name not in ours)
    if foreign:
        shown = f"this user also sees {', '.join(foreign[:3])}{'...' if len(foreign) > 3 else ''}: tell the centre"
        yield Finding("warning", "rights", shown)


def _clock(settings: ForwarderSettings, producer_of: Callable[[KafkaConnection], Any]) -> Iterator[Finding]:
    """Sends a heartbeat without inputs: proves the right to write, and brings back the broker's time."""
    try:
        producer = producer_of(settings.kafka)
        try:
            sent = now_ms()
            beat = Heartbeat(timestamp=to_rfc3339(sent), member=settings.member, agent=agent_version(), inputs=[])
            receipt = producer.send(health_topic(settings.member), value=beat.to_json()).get(timeout=CONNECT_SECONDS)
            arrived = now_ms()
        finally:
            producer.close(timeout=0)
    except (JointSocError, KafkaError) as error:
        yield Finding("fault", "writing", f"a heartbeat was refused: {_told(error)}")
        return
    yield Finding("ok", "writing", "a heartbeat was acknowledged by all replicas")
    offset = (
        0
        if sent <= receipt.timestamp <= arrived
        else min(sent - receipt.timestamp, arrived - receipt.timestamp, key=abs)
    )
    shown = f"{abs(offset)} ms {'ahead of' if offset > 0 else 'behind'} the broker's"
    verdict: Verdict = (
        "fault" if abs(offset) > CLOCK_FAULT_MS else "warning" if abs(offset) > CLOCK_WARNING_MS else "ok"
    )
    yield Finding(verdict, "clock", shown if offset else "agrees with the broker's")


def _expiry(what: str, until: datetime) -> Finding:
    left = until - datetime.now(UTC)
    shown = f"valid until {until:%Y-%m-%d}"
    if left < timedelta(0):
        return Finding("fault", what, f"expired on {until:%Y-%m-%d}")
    return Finding("warning" if left < EXPIRY_WARNING else "ok", what, f"{shown}, {left.days} days left")


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, JointSocError) else f"{type(error).__name__}: {error}"
