from __future__ import annotations

import gzip
import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.forwarder.input_settings import HttpInput, ServerKeys
from connectors.sources import http_listener
from connectors.sources.http_listener import HttpListener
from tests.connectors.sources.spooling import Spooling, tls_files

TOKEN = "a-long-secret"
ALLOWED = {"Authorization": f"Bearer {TOKEN}"}


def listener(folder: Path, tls: ServerKeys | None = None) -> HttpListener:
    token = folder / "token"
    token.write_text(TOKEN + "\n", encoding="utf-8")
    token.chmod(0o600)
    return HttpListener(
        HttpInput(type="http", name="web", mapping="payments", listen="127.0.0.1:0", token_file=token, tls=tls)
    )


@pytest.fixture
def spooling(tmp_path: Path) -> Iterator[Spooling]:
    feeder = listener(tmp_path)
    with Spooling(tmp_path / "spool", feeder) as made:
        made.port = feeder.address[1]  # type: ignore[attr-defined]
        yield made


def post(spooling: Spooling, body: bytes, **headers: str) -> tuple[int, dict[str, object], dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", spooling.port, timeout=30)  # type: ignore[attr-defined]
    connection.request("POST", "/", body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    result = answer.status, json.loads(answer.read()), dict(answer.headers)
    connection.close()
    return result


def test_posted_lines_are_taken_and_on_the_disk_when_it_says_so(spooling: Spooling, tmp_path: Path) -> None:
    status, answer, _ = post(spooling, b'{"a":1}\n\n{"a":2}\n{"a":3}', **ALLOWED)
    assert (status, answer) == (200, {"taken": 3})
    assert b'{"a":3}' in b"".join(path.read_bytes() for path in (tmp_path / "spool").iterdir())
    assert spooling.wait_for(3) == [b'{"a":1}', b'{"a":2}', b'{"a":3}']


def test_a_packed_body_is_unpacked_but_no_bomb(spooling: Spooling) -> None:
    assert post(spooling, gzip.compress(b"one\ntwo\n"), Content_Encoding="gzip", **ALLOWED)[0] == 200
    assert post(spooling, gzip.compress(b"0" * 100_000_000), Content_Encoding="gzip", **ALLOWED)[0] == 413
    assert post(spooling, b"no gzip", Content_Encoding="gzip", **ALLOWED)[0] == 413
    assert spooling.wait_for(2) == [b"one", b"two"]
    assert spooling.take() == 2


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", "Basic a-long-secret", f"Bearer {TOKEN}x", "Bearer é"])
def test_without_the_token_nothing_is_taken(spooling: Spooling, given: str) -> None:
    status, _, headers = post(spooling, b"x\n", Authorization=given.encode().decode("latin-1"))
    assert (status, headers["WWW-Authenticate"], spooling.take()) == (401, "Bearer", 0)


def test_a_full_spool_takes_all_of_a_body_or_nothing_and_says_when_to_come_again(spooling: Spooling) -> None:
    body = b"\n".join([b"y" * 10_000] * 300)
    answers = [post(spooling, body, **ALLOWED) for _ in range(4)]
    assert [status for status, _, _ in answers] == [200, 200, 429, 429]
    assert answers[-1][2]["Retry-After"]
    spooling.wait_for(600)
    assert spooling.take() == 600
    spooling.acknowledge()
    assert post(spooling, body, **ALLOWED)[0] == 200


def test_too_large_and_endless_bodies_are_refused_before_they_are_read(spooling: Spooling) -> None:
    port = spooling.port  # type: ignore[attr-defined]
    for header, status in (
        (f"Content-Length: {http_listener.MAX_BODY_BYTES + 1}", b"413"),
        ("Transfer-Encoding: chunked", b"411"),
        ("Content-Length: -1", b"411"),
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as sender:
            sender.sendall(f"POST / HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n{header}\r\n\r\n".encode())
            assert sender.recv(100).startswith(b"HTTP/1.1 " + status)


def test_a_body_that_breaks_off_is_not_taken(spooling: Spooling) -> None:
    with socket.create_connection(("127.0.0.1", spooling.port)) as sender:  # type: ignore[attr-defined]
        sender.sendall(f"POST / HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\nhalf".encode())
    assert post(spooling, b"whole\n", **ALLOWED)[0] == 200
    assert spooling.wait_for(1) == [b"whole"]
    assert spooling.take() == 1


def test_only_post_is_served(spooling: Spooling) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", spooling.port, timeout=30)  # type: ignore[attr-defined]
    connection.request("GET", "/", headers=ALLOWED)
    assert connection.getresponse().status == 501


def test_over_tls_a_silent_client_holds_nobody_up(tmp_path: Path) -> None:
    ca, pem = tls_files(tmp_path / "tls")
    feeder = listener(tmp_path, ServerKeys(certificate_file=pem, key_file=pem))
    port = feeder.address[1]
    with Spooling(tmp_path / "spool", feeder) as spooling, socket.create_connection(("127.0.0.1", port)):
        context = ssl.create_default_context(cafile=str(ca))
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=context)
        connection.request("POST", "/", b"over TLS\n", ALLOWED)
        assert connection.getresponse().status == 200
        assert spooling.wait_for(1) == [b"over TLS"]
