"""A forwarder's configuration, keys and logs in a folder, for tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from connectors.forwarder.check import load_forwarder
from connectors.forwarder.process import Forwarder
from connectors.forwarder.settings import ForwarderSettings
from tests.connectors.forwarder.fake_broker import FakeBroker

LOGIN = '{{"time":"2026-11-23T02:00:00Z","event":"login","result":"failure","ip":"203.0.113.9","user":"u{}"}}\n'
LOGOUT = '{"time":"2026-11-23T02:00:00Z","event":"logout"}\n'


class Bench:
    """One institution."""

    def __init__(self, folder: Path, kafka: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.portal = folder / "portal.log"
        self.config = folder / "forwarder.yml"
        self.letters = folder / "state" / "dead-letters.ndjson"
        self.positions = folder / "state" / "positions.json"
        for name, digit in (("institution", "a"), ("federation", "b"), ("password", "c")):
            path = folder / f"{name}.secret"
            path.write_text(digit * 64, encoding="utf-8")
            path.chmod(0o600)
        self.data: dict[str, Any] = {
            "member": "kestrel-bank",
            "kafka": kafka
            or {
                "bootstrap_servers": ["127.0.0.1:1"],
                "username": "kestrel-bank",
                "password_file": str(folder / "password.secret"),
            },
            "state_dir": str(folder / "state"),
            "keys": {
                "institution": str(folder / "institution.secret"),
                "federation": str(folder / "federation.secret"),
            },
            "inputs": [{"name": "portal", "path": str(self.portal), "mapping": "customer-portal"}],
            "poll_seconds": 0.01,
            "linger_seconds": 0.02,
        }

    def settings(self) -> ForwarderSettings:
        self.config.write_text(yaml.safe_dump(self.data, sort_keys=False), encoding="utf-8")
        return load_forwarder(self.config)

    def log_logins(self, *numbers: int) -> None:
        with self.portal.open("a", encoding="utf-8") as file:
            file.writelines(LOGIN.format(number) for number in numbers)

    def log(self, text: str) -> None:
        with self.portal.open("a", encoding="utf-8") as file:
            file.write(text)

    def start(self, broker: FakeBroker) -> Running:
        return Running(Forwarder(self.settings(), broker.connect))


class Running:
    """A forwarder in a thread."""

    def __init__(self, forwarder: Forwarder) -> None:
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(forwarder,), daemon=True)
        self._thread.start()

    def _run(self, forwarder: Forwarder) -> None:
        try:
            forwarder.run(self._stop)
        except BaseException as error:  # noqa: BLE001 - told to the test by `wait_until` and `stop`
            self.error = error

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(15)
        assert not self._thread.is_alive()
        assert self.error is None

    def wait_until(self, what: Callable[[], bool], seconds: float = 20) -> None:
        until(what, seconds)
        assert self.error is None


def until(what: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
