from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.settings import _PORT_OFFSETS, _TASKMANAGER_PORTS, StackSettings, load_stack_settings, project_root
from schemas.errors import ConfigError


def test_without_any_variable_the_stack_lives_in_the_project() -> None:
    settings = load_stack_settings({})
    assert settings.home == project_root() / ".jointsoc"
    assert settings.jvm_home == settings.home / "jvm"


def test_the_next_command_finds_the_ports_and_sizes_that_up_used(tmp_path: Path) -> None:
    chosen = StackSettings(tmp_path, tmp_path / "jvm", 21_000, 2, (tmp_path / "more rules",), 60, 3)
    chosen.save()
    assert load_stack_settings({"JSOC_HOME": str(tmp_path)}) == chosen


def test_the_environment_wins_over_what_was_saved(tmp_path: Path) -> None:
    StackSettings(tmp_path, tmp_path / "jvm", 21_000, 2).save()
    settings = load_stack_settings({"JSOC_HOME": str(tmp_path), "JSOC_PORT_BASE": "22000", "JSOC_TASKMANAGERS": "3"})
    assert (settings.port_base, settings.taskmanagers) == (22_000, 3)


def test_an_argument_wins_over_the_environment(tmp_path: Path) -> None:
    environ = {"JSOC_HOME": str(tmp_path), "JSOC_TASKMANAGERS": "3"}
    assert load_stack_settings(environ, taskmanagers=2).taskmanagers == 2


@pytest.mark.parametrize("value", ["80", "70000", "-1", "nineteen", "1e4"])
def test_a_port_base_that_cannot_be_is_refused_by_name(value: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="JSOC_PORT_BASE"):
        load_stack_settings({"JSOC_HOME": str(tmp_path), "JSOC_PORT_BASE": value})


def test_a_damaged_stack_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "stack.yml").write_text("port_base: [", encoding="utf-8")
    with pytest.raises(ConfigError, match="Try: rm"):
        load_stack_settings({"JSOC_HOME": str(tmp_path)})


def test_no_two_listeners_share_a_port(tmp_path: Path) -> None:
    from deploy.local.services import services

    settings = replace(StackSettings(tmp_path, tmp_path), taskmanagers=8)
    ports = [port for service in services(settings) for port in service.ports]
    assert len(ports) == len(set(ports))
    assert len(ports) == len(_PORT_OFFSETS) + 8 * len(_TASKMANAGER_PORTS), "none is forgotten"


@pytest.mark.parametrize("name", ["with space", "a,b", "a:b", "$HOME"])
def test_a_path_that_the_servers_cannot_bear_is_refused_before_they_see_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot bear"):
        load_stack_settings({"JSOC_HOME": str(tmp_path / name)})
