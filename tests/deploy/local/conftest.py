"""Fixtures: a stack that is not running, in a temporary folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.processes import find_processes, stop_processes
from deploy.local.settings import StackSettings
from tests.running_stack import lease_ports


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[StackSettings]:
    """A stack of its own; whatever a test starts in its name is ended afterwards."""
    home = tmp_path / "home"
    home.mkdir()
    with lease_ports() as lease:
        settings = StackSettings(home, tmp_path / "jvm", lease.getsockname()[1])
        yield settings
        for name in {running.name for running in find_processes(settings)}:
            stop_processes(settings, name, grace=0)
