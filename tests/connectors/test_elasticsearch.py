from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from elasticsearch import ApiError
from elasticsearch import ConnectionError as NoConnection
from pydantic import ValidationError

from connectors.elasticsearch import abilities, explained, is_ready, open_client, translated, wait_until_ready
from connectors.settings import ElasticsearchConnection
from schemas.errors import ConfigError, ConnectionError_
from tests.connectors.elasticsearch_double import api_error


@pytest.fixture
def connection(tmp_path: Path) -> ElasticsearchConnection:
    secret = tmp_path / "operator"
    secret.write_text("pw\n")
    secret.chmod(0o600)
    return ElasticsearchConnection(url="http://127.0.0.1:9", username="operator", password_file=secret)


@pytest.mark.parametrize(
    ("status", "what", "hint"),
    [
        (401, "refused operator", "password file"),
        (403, "refused operator", "roles.yml"),
        (429, "cannot answer now", "busy"),
        (503, "cannot answer now", "jsoc logs"),
    ],
)
def test_an_error_answer_names_the_status_and_what_to_do(
    status: int, what: str, hint: str, connection: ElasticsearchConnection
) -> None:
    text = str(explained(api_error(status, "because \x1b[31m"), connection))
    assert what in text
    assert str(status) in text
    assert hint in text
    assert "\x1b" not in text


def test_no_answer_becomes_our_error_with_the_address_and_never_the_password(
    connection: ElasticsearchConnection,
) -> None:
    with (
        pytest.raises(ConnectionError_, match=r"elasticsearch http://127.0.0.1:9: no answer") as caught,
        translated(connection),
    ):
        raise NoConnection("connection refused")
    assert "pw" not in str(caught.value)


def test_a_server_that_is_away_is_not_ready_and_waiting_for_it_ends(connection: ElasticsearchConnection) -> None:
    client = open_client(connection, request_timeout=0.5)
    assert is_ready(client) is False
    assert wait_until_ready(client, 0.3) is False
    stop = threading.Event()
    stop.set()
    assert wait_until_ready(client, 60, stop) is False


@pytest.mark.parametrize(("status", "there"), [(400, False), (405, False), (403, True), (404, True)])
def test_an_ability_is_told_by_whether_its_address_is_served_whoever_may_use_it(status: int, there: bool) -> None:
    able = abilities(server(api_error(status), ["x-pack-security"]))
    assert able == {"data streams": there, "ILM": there, "API keys": False}


@pytest.mark.parametrize(
    ("nodes", "there"),
    [
        ([["analysis-common", "x-pack-security"]], True),
        ([["analysis-common"], ["x-pack-security"]], False),
        ([[]], False),
        ([], False),
    ],
)
def test_api_keys_need_the_analysis_of_their_index_on_every_node(nodes: list[list[str]], there: bool) -> None:
    assert abilities(server(api_error(404), *nodes))["API keys"] is there


def server(answer: ApiError, *nodes: list[str]) -> Any:
    """Answers so at the addresses of abilities; has nodes with these modules."""

    def refuse(*_: object, **__: object) -> None:
        raise answer

    told = {str(number): {"modules": [{"name": name} for name in names]} for number, names in enumerate(nodes)}
    info = SimpleNamespace(info=lambda **_: SimpleNamespace(body={"nodes": told}))
    return SimpleNamespace(perform_request=refuse, nodes=info)


def test_a_server_that_cannot_answer_now_is_not_said_to_lack_anything() -> None:
    with pytest.raises(ApiError):
        abilities(server(api_error(503)))


def test_a_key_stands_in_place_of_user_and_password_and_nothing_is_between_the_two(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("ZW5jb2RlZA==\n")
    key.chmod(0o600)
    connection = ElasticsearchConnection(url="http://127.0.0.1:9", api_key_file=key)
    with open_client(connection) as client:
        assert client._headers["authorization"] == "ApiKey ZW5jb2RlZA=="
    assert str(key) in str(explained(api_error(403), connection))
    for wrong in (
        {},
        {"username": "x"},
        {"password_file": key},
        {"username": "x", "password_file": key, "api_key_file": key},
    ):
        with pytest.raises(ValidationError, match="api_key_file alone"):
            ElasticsearchConnection(url="http://127.0.0.1:9", **wrong)


def test_a_password_file_others_can_read_is_refused(connection: ElasticsearchConnection) -> None:
    connection.secret_file.chmod(0o644)
    with pytest.raises(ConfigError, match="can be read by other users"):
        open_client(connection)


def test_each_request_is_tried_once_so_that_waits_do_not_multiply(connection: ElasticsearchConnection) -> None:
    asked: list[str] = []

    class Busy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(503)
            self.send_header("X-Elastic-Product", "Elasticsearch")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Busy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    busy = connection.model_copy(update={"url": f"http://127.0.0.1:{server.server_port}"})
    assert is_ready(open_client(busy)) is False
    server.shutdown()
    server.server_close()
    assert len(asked) == 1
