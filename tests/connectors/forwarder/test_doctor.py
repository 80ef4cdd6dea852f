from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from connectors.forwarder import doctor
from connectors.forwarder.doctor import examine
from connectors.forwarder.findings import Finding
from schemas.errors import ConnectionError_
from schemas.times import now_ms
from tests.connectors.forwarder.bench import Bench
from tests.connectors.sources.spooling import tls_files


class Broker:
    """What the doctor asks of Kafka's clients."""

    def __init__(self) -> None:
        self.topics = {"events.kestrel-bank": ["WRITE", "DESCRIBE"], "health.kestrel-bank": ["WRITE"]}
        self.ahead = 0
        self.refuses: Exception | None = None
        self.sent: list[str] = []

    def client(self, _: Any) -> Broker:
        if self.refuses is not None:
            raise self.refuses
        return self

    def list_topics(self) -> list[str]:
        return list(self.topics)

    def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        return [{"name": name, "partitions": [0], "authorized_operations": self.topics[name]} for name in names]

    def send(self, topic: str, *, value: bytes) -> Any:
        self.sent.append(topic)
        return SimpleNamespace(get=lambda timeout: SimpleNamespace(timestamp=now_ms() - self.ahead))

    def close(self, timeout: float | None = None) -> None:
        pass


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A port that speaks TLS, and the CA of its certificate."""
    ca, pem = tls_files(tmp_path / "tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
                with context.wrap_socket(connection, server_side=True) as encrypted:
                    encrypted.recv(1)
            except ssl.SSLError:
                continue
            except OSError:
                if server.fileno() < 0:
                    return

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1], ca
    server.close()


@pytest.fixture
def bench(tmp_path: Path, tls_server: tuple[int, Path]) -> Bench:
    made = Bench(tmp_path)
    port, ca = tls_server
    made.data["kafka"] |= {"bootstrap_servers": [f"127.0.0.1:{port}"], "ca_file": str(ca)}
    return made


def findings(bench: Bench, broker: Broker) -> dict[str, Finding]:
    return {one.what: one for one in examine(bench.settings(), broker.client, broker.client)}


def verdicts(found: dict[str, Finding]) -> set[str]:
    return {one.verdict for one in found.values()}


def test_where_all_is_well_it_says_so_and_sends_one_heartbeat(bench: Bench) -> None:
    broker = Broker()
    found = findings(bench, broker)
    assert verdicts(found) == {"ok"}
    assert broker.sent == ["health.kestrel-bank"]
    assert "certificate valid until" in next(one.detail for name, one in found.items() if name.startswith("broker"))
    assert found["clock"].detail == "agrees with the broker's"


def test_a_certificate_of_another_authority_is_a_fault_and_nothing_is_sent(bench: Bench) -> None:
    bench.data["kafka"]["ca_file"] = str(tls_files(bench.folder / "other")[0])
    broker = Broker()
    found = findings(bench, broker)
    (fault,) = [one for one in found.values() if one.verdict == "fault"]
    assert "certificate does not hold" in fault.detail
    assert broker.sent == []


def test_a_broker_that_is_not_there_is_a_fault(bench: Bench) -> None:
    bench.data["kafka"]["bootstrap_servers"] = ["127.0.0.1:1"]
    assert findings(bench, Broker())["broker 127.0.0.1:1"].verdict == "fault"


def test_wrong_credentials_are_a_fault(bench: Bench) -> None:
    broker = Broker()
    broker.refuses = ConnectionError_("kafka", "cannot connect as kestrel-bank")
    assert "kestrel-bank" in findings(bench, broker)["credentials"].detail


def test_missing_topics_missing_rights_and_too_many_rights_are_told(bench: Bench) -> None:
    broker = Broker()
    broker.topics = {"events.kestrel-bank": ["DESCRIBE"], "events.heron-bank": ["READ"]}
    found = findings(bench, broker)
    assert "may not be written" in found["topic events.kestrel-bank"].detail
    assert "jsoc member add kestrel-bank" in found["topic health.kestrel-bank"].detail
    assert (found["rights"].verdict, "events.heron-bank" in found["rights"].detail) == ("warning", True)


@pytest.mark.parametrize(("ahead", "verdict"), [(10_000, "warning"), (-10_000, "warning"), (120_000, "fault")])
def test_a_wrong_clock_is_told(bench: Bench, ahead: int, verdict: str) -> None:
    broker = Broker()
    broker.ahead = ahead
    clock = findings(bench, broker)["clock"]
    assert (clock.verdict, ("ahead" in clock.detail) == (ahead > 0)) == (verdict, True)


def test_a_certificate_that_ends_soon_is_a_warning(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "EXPIRY_WARNING", doctor.timedelta(days=100_000))
    assert "days left" in findings(bench, Broker())["certificate ca.crt"].detail
    assert "warning" in verdicts(findings(bench, Broker()))


def test_a_disk_smaller_than_the_spools_is_a_fault(bench: Bench) -> None:
    bench.data["spool"] = {"max_bytes": "100PiB"}
    bench.data["inputs"].append({"name": "bus", "type": "syslog", "listen": "127.0.0.1:0", "mapping": "sshd-auth"})
    assert findings(bench, Broker())["disk"].verdict == "fault"
