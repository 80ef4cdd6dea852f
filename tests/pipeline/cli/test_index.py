"""`jsoc index key`, as servers with and without API keys answer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from deploy.local.elasticsearch_users import ROLES
from pipeline.cli.index import index
from schemas.errors import ConfigError, ConnectionError_
from tests.connectors.elasticsearch_double import api_error


class Server:
    """A client of a server; what it is asked to make is kept."""

    def __init__(self, modules: list[str], failure: Exception | None = None) -> None:
        self.made: list[dict[str, Any]] = []
        self.failure = failure
        told = {"n": {"modules": [{"name": name} for name in modules]}}
        self.nodes = SimpleNamespace(info=lambda **_: SimpleNamespace(body={"nodes": told}))
        self.security = SimpleNamespace(create_api_key=self._create)

    def _create(self, **asked: Any) -> dict[str, str]:
        if self.failure:
            raise self.failure
        self.made.append(asked)
        return {"encoded": "ZW5jb2RlZA=="}

    def perform_request(self, *_: object, **__: object) -> None:
        raise api_error(404)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to give back."""


def make_key(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("pipeline.cli.index.open_client", lambda connection: server)
    config = folder / "admin.yml"
    config.write_text("url: https://es:9200\nusername: admin\npassword_file: password\n")
    words = ["key", "indexer", "--config", str(config), "--out", str(folder / "indexer.key"), "--days", "90"]
    return CliRunner().invoke(index, words, standalone_mode=False)


def test_a_process_gets_a_key_with_its_own_rights_in_a_file_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(["analysis-common"])
    done = make_key(server, tmp_path, monkeypatch)
    assert done.exception is None
    key = tmp_path / "indexer.key"
    assert (key.read_text(), key.stat().st_mode & 0o777) == ("ZW5jb2RlZA==", 0o600)
    assert "ZW5jb2RlZA" not in done.output
    assert server.made == [
        {"name": "jointsoc-indexer", "role_descriptors": {"indexer": ROLES["indexer"]}, "expiration": "90d"}
    ]
    again = make_key(server, tmp_path, monkeypatch)
    assert isinstance(again.exception, ConfigError), "no key is overwritten"
    assert key.read_text() == "ZW5jb2RlZA=="


@pytest.mark.parametrize(
    ("server", "error", "why"),
    [
        (Server(["x-pack-security"]), ConfigError, "has no API keys"),
        (Server(["analysis-common"], api_error(403)), ConnectionError_, "refused admin"),
    ],
    ids=["a server without keys", "a user that may not make them"],
)
def test_no_key_leaves_no_file(
    server: Server, error: type[Exception], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = make_key(server, tmp_path, monkeypatch)
    assert isinstance(done.exception, error)
    assert why in str(done.exception)
    assert not (tmp_path / "indexer.key").exists()
