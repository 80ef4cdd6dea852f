"""How long alert indices are kept, as servers with and without ILM answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from connectors.index_lifecycle import POLICY_NAME, install_lifecycle
from tests.connectors.elasticsearch_double import api_error


class Server:
    """A server with ILM, or one that knows no such address."""

    def __init__(self, *, ilm: bool) -> None:
        self.policies: dict[str, Any] = {}
        self.ilm = SimpleNamespace(put_lifecycle=lambda name, policy: self.policies.update({name: policy}))
        self.nodes = SimpleNamespace(info=lambda **_: SimpleNamespace(body={}))
        self._status = 404 if ilm else 405

    def perform_request(self, *_: object, **__: object) -> None:
        raise api_error(self._status)


def test_where_the_server_has_ilm_it_removes_what_is_older_than_wanted() -> None:
    server = Server(ilm=True)
    assert install_lifecycle(server, 365) == {"index.lifecycle.name": POLICY_NAME}  # type: ignore[arg-type]
    assert server.policies[POLICY_NAME]["phases"] == {"delete": {"min_age": "396d", "actions": {"delete": {}}}}


def test_nothing_is_removed_unless_that_is_asked_for() -> None:
    server = Server(ilm=True)
    assert install_lifecycle(server, None) == {}  # type: ignore[arg-type]
    assert server.policies == {}


def test_a_server_without_ilm_is_told_and_keeps_everything(capsys: pytest.CaptureFixture[str]) -> None:
    server = Server(ilm=False)
    assert install_lifecycle(server, 365) == {}  # type: ignore[arg-type]
    assert server.policies == {}
    assert "keep_days has no effect" in capsys.readouterr().out
