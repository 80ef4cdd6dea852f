"""What needs no server; the rest is in test_running_stack.py."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from deploy.local import stack
from deploy.local.processes import find_processes, start_process
from deploy.local.settings import LOOPBACK, StackSettings
from schemas.errors import ConfigError


def quiet(name: str, progress: str, detail: str) -> None:
    pass


def test_up_without_the_programs_points_to_setup(settings: StackSettings) -> None:
    with pytest.raises(ConfigError, match="Try: jsoc setup"):
        stack.up(settings, quiet)


def test_a_foreign_process_on_one_port_is_named_before_anything_is_started(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "require_parts", lambda _: None)
    monkeypatch.setattr(stack, "find_java_home", lambda: Path("/nowhere"))
    with (
        socket.create_server((LOOPBACK, settings.port("dashboard"))),
        pytest.raises(ConfigError, match=rf"{settings.port('dashboard')}: the port is in use by"),
    ):
        stack.up(settings, quiet)
    assert find_processes(settings) == []


def test_two_commands_at_once_on_one_stack_are_refused(settings: StackSettings) -> None:
    with stack._alone(settings), pytest.raises(ConfigError, match="another jsoc command"):
        stack.down(settings, quiet)


def test_down_ends_also_what_the_table_does_not_know_any_more(settings: StackSettings) -> None:
    pid = start_process(settings, "taskmanager-7", ["sleep", "60"], {})
    assert pid in stack.down(settings, quiet)
    assert find_processes(settings) == []


def test_down_where_nothing_runs_is_fine(settings: StackSettings, tmp_path: Path) -> None:
    assert stack.down(settings, quiet) == []
    assert stack.down(StackSettings(tmp_path / "never", tmp_path), quiet) == []


def test_wiping_removes_data_and_secrets_but_not_the_programs(settings: StackSettings) -> None:
    inside = StackSettings(settings.home, settings.home / "jvm", settings.port_base)
    for name in ("kafka", "elasticsearch", "flink", "secrets", "etc", "logs", "jvm"):
        (inside.home / name).mkdir()
        (inside.home / name / "file").touch()
    stack.down(inside, quiet, wipe=True)
    assert {path.name for path in inside.home.iterdir()} == {"jvm", ".lock"}
