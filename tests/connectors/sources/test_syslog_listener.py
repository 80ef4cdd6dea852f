from __future__ import annotations

import contextlib
import socket
import ssl
from pathlib import Path

import pytest

from connectors.forwarder.input_settings import ServerKeys, SyslogInput
from connectors.sources import syslog_listener
from connectors.sources.syslog_listener import SyslogListener
from schemas.errors import ConfigError
from tests.connectors.forwarder.bench import until
from tests.connectors.sources.spooling import Spooling, tls_files


def listener(transport: str, tls: ServerKeys | None = None, most: int = 256) -> SyslogListener:
    return SyslogListener(
        SyslogInput.model_validate(
            {
                "type": "syslog",
                "name": "net",
                "mapping": "sshd-auth",
                "listen": "127.0.0.1:0",
                "transport": transport,
                "tls": tls,
                "max_connections": most,
            }
        )
    )


def test_a_datagram_is_a_message_whatever_lines_it_holds(tmp_path: Path) -> None:
    feeder = listener("udp")
    with Spooling(tmp_path, feeder) as spooling, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for message in (b"<34>one\n", b"<34>two\n<34>a line that was made up\0", b"\n", b"<34>three"):
            sender.sendto(message, feeder.address)
        assert spooling.wait_for(3) == [b"<34>one", b"<34>two\n<34>a line that was made up", b"<34>three"]
        assert spooling.source.lost == 0


def test_datagrams_that_find_the_spool_full_are_counted_one_by_one(tmp_path: Path) -> None:
    feeder = listener("udp")
    with Spooling(tmp_path, feeder) as spooling, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        filler = [(b"x" * 60_000, "")] * 200
        assert spooling.spool.append(filler) < 200
        for _ in range(7):
            sender.sendto(b"y" * 60_000, feeder.address)
        until(lambda: spooling.source.lost == 7)


def test_a_stream_gives_its_messages_and_its_end(tmp_path: Path) -> None:
    feeder = listener("tcp")
    with Spooling(tmp_path, feeder) as spooling:
        with socket.create_connection(feeder.address) as sender:
            sender.sendall(b"<34>one\n7 <34>two<34>the connection breaks he")
        assert spooling.wait_for(3) == [b"<34>one", b"<34>two", b"<34>the connection breaks he"]


def test_a_full_spool_makes_the_sender_wait_and_loses_nothing(tmp_path: Path) -> None:
    feeder = listener("tcp")
    text = b"z" * 1000
    with Spooling(tmp_path, feeder) as spooling, socket.create_connection(feeder.address) as sender:
        sender.setblocking(False)
        sent = 0
        block = b"<34>" + text + b"\n"

        def is_full() -> bool:
            nonlocal sent
            with contextlib.suppress(BlockingIOError):
                sent += sender.send(block * 50)
            return spooling.spool.waiting_bytes > 7_500_000

        until(is_full)
        whole = sent // len(block)
        sender.setblocking(True)
        while len(spooling.lines) < whole:
            if spooling.take():
                spooling.acknowledge()
        assert {line.raw for line in spooling.lines[:whole]} == {b"<34>" + text}
        assert spooling.source.lost == 0


def test_more_connections_than_allowed_are_turned_away(tmp_path: Path) -> None:
    feeder = listener("tcp", most=1)
    with Spooling(tmp_path, feeder) as spooling, socket.create_connection(feeder.address) as first:
        first.sendall(b"<34>one\n")
        spooling.wait_for(1)
        with socket.create_connection(feeder.address) as second:
            second.settimeout(20)
            assert second.recv(1) == b""
        first.sendall(b"<34>two\n")
        assert spooling.wait_for(2)[1] == b"<34>two"


def test_over_tls_senders_need_a_certificate_where_one_is_asked_for(tmp_path: Path) -> None:
    ca, pem = tls_files(tmp_path)
    feeder = listener("tls", ServerKeys(certificate_file=pem, key_file=pem, client_ca_file=ca))
    context = ssl.create_default_context(cafile=str(ca))
    context.check_hostname = False
    with Spooling(tmp_path / "spool", feeder) as spooling:
        with socket.create_connection(feeder.address) as plain, contextlib.suppress(ssl.SSLError, ConnectionError):
            anonymous = context.wrap_socket(plain)  # TLS 1.3 tells the client late that it was turned away
            anonymous.sendall(b"<34>anonymous\n")
            anonymous.settimeout(20)
            assert anonymous.recv(1) == b""
        context.load_cert_chain(pem)
        with socket.create_connection(feeder.address) as plain, context.wrap_socket(plain) as known:
            known.sendall(b"<34>known\n")
        assert spooling.wait_for(1) == [b"<34>known"]


def test_an_address_that_is_taken_is_told() -> None:
    first = listener("tcp")
    with pytest.raises(ConfigError, match="cannot listen there"):
        syslog_listener._bound_socket(f"127.0.0.1:{first.address[1]}", datagrams=False)
    first.close()
