from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.processes import (
    check_ports,
    find_leader,
    find_processes,
    kill_process,
    log_file,
    log_says,
    open_log,
    reap_orphans,
    start_process,
    stop_processes,
    tail,
    was_started,
)
from deploy.local.settings import LOOPBACK, StackSettings
from schemas.errors import ConfigError

SLEEP = [sys.executable, "-c", "import time; print('awake', flush=True); time.sleep(60)"]
PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
print('awake', flush=True)
time.sleep(60)
"""
WITH_CHILD = [sys.executable, "-c", PARENT]
LEADER_ENDS_FIRST = """
import ctypes, os, signal, socket, sys, threading, time
signal.signal(signal.SIGTERM, lambda *_: ctypes.CDLL(None).pthread_exit(None))
server = socket.create_server(('127.0.0.1', int(sys.argv[1])))
def outlive():
    while 'State:\tZ' not in open(f'/proc/{os.getpid()}/status').read():
        time.sleep(0.01)
    time.sleep(1)
    os._exit(0)
threading.Thread(target=outlive).start()
print('awake', flush=True)
time.sleep(60)
"""
"""Its main thread ends at SIGTERM, so that it shows as a zombie; the other one holds the port a second longer."""


def start(settings: StackSettings, name: str = "sleeper", command: list[str] = SLEEP) -> int:
    pid = start_process(settings, name, command, {})
    until(lambda: log_says(settings, name, "awake"))
    return pid


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lives(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


def test_a_started_process_is_found_by_its_environment_alone(settings: StackSettings) -> None:
    pid = start(settings)
    (settings.run / "sleeper.json").unlink()  # as if `up` had been killed before it could note anything
    leader = find_leader(settings, "sleeper")
    assert leader is not None
    assert leader.pid == pid


def test_another_stacks_process_of_the_same_name_is_not_ours(settings: StackSettings, tmp_path: Path) -> None:
    other = replace(settings, home=tmp_path / "other")
    other.home.mkdir()
    pid = start(other)
    assert find_processes(settings) == []
    assert stop_processes(settings, "sleeper") == []
    assert lives(pid)
    stop_processes(other, "sleeper", grace=0)


def test_a_stopped_process_is_gone_and_no_longer_counts_as_started(settings: StackSettings) -> None:
    pid = start(settings)
    assert was_started(settings, "sleeper")
    assert stop_processes(settings, "sleeper") == [pid]
    assert not lives(pid)
    assert not was_started(settings, "sleeper")


def test_a_process_that_died_still_counts_as_started(settings: StackSettings) -> None:
    start(settings)
    kill_process(settings, "sleeper")
    assert find_leader(settings, "sleeper") is None
    assert was_started(settings, "sleeper")


def test_orphans_of_a_killed_process_are_found_and_ended(settings: StackSettings) -> None:
    pid = start(settings, command=WITH_CHILD)
    until(lambda: len(find_processes(settings, "sleeper")) == 2)
    child = next(running.pid for running in find_processes(settings, "sleeper") if running.pid != pid)
    os.kill(pid, signal.SIGKILL)
    until(lambda: find_leader(settings, "sleeper") is None)
    assert lives(child)
    assert reap_orphans(settings, "sleeper") == [child]
    assert not lives(child)


def test_children_of_a_living_process_are_not_reaped(settings: StackSettings) -> None:
    start(settings, command=WITH_CHILD)
    until(lambda: len(find_processes(settings, "sleeper")) == 2)
    assert reap_orphans(settings, "sleeper") == []
    assert len(find_processes(settings, "sleeper")) == 2


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace_period(settings: StackSettings) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('awake', flush=True)"
    pid = start(settings, command=[sys.executable, "-c", f"{stubborn}; time.sleep(60)"])
    stop_processes(settings, "sleeper", grace=0.3)
    assert not lives(pid)


def test_a_process_is_not_gone_before_its_last_thread_has_let_its_port_go(settings: StackSettings) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
    start(settings, command=[sys.executable, "-c", LEADER_ENDS_FIRST, str(port)])
    stop_processes(settings, "sleeper")
    check_ports([port])


def test_nothing_of_this_shells_environment_reaches_a_process(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_CLOUD_TOKEN", "s3cret")
    pid = start(settings)
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"JSOC_STACK=" in environment
    assert b"s3cret" not in environment


def test_a_program_that_does_not_exist_is_one_clear_error(settings: StackSettings) -> None:
    with pytest.raises(ConfigError, match="ghost: cannot start /no/such/program"):
        start_process(settings, "ghost", ["/no/such/program"], {})
    assert not was_started(settings, "ghost")


def test_a_port_in_use_is_named_with_the_process_that_holds_it(settings: StackSettings) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConfigError) as error:
            check_ports([port])
    assert str(port) in str(error.value)
    assert f"pid {os.getpid()}" in str(error.value)
    assert "JSOC_PORT_BASE" in str(error.value)


def test_a_port_held_on_all_addresses_is_in_use_too() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server, pytest.raises(ConfigError):
        check_ports([server.getsockname()[1]])


def test_a_free_port_is_fine() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
    check_ports([port])


def test_only_what_the_running_process_wrote_counts_as_said(settings: StackSettings) -> None:
    start(settings)
    stop_processes(settings, "sleeper", grace=0)
    start_process(settings, "sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], {})
    assert "awake" in log_file(settings, "sleeper").read_text(encoding="utf-8")
    assert not log_says(settings, "sleeper", "awake")


def test_a_large_log_is_set_aside_when_its_process_starts(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.processes.MAX_LOG_BYTES", 100)
    settings.logs.mkdir()
    log_file(settings, "sleeper").write_text("x" * 101, encoding="utf-8")
    with open_log(settings, "sleeper") as log:
        assert log.tell() == 0
    assert (settings.logs / "sleeper.log.1").stat().st_size == 101


def test_the_tail_of_a_log_is_its_last_lines_even_if_it_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"first\n" + b"\xff\n" * 2000 + b"last\n")
    assert tail(path, 2) == ["\N{REPLACEMENT CHARACTER}", "last"]
    assert tail(tmp_path / "none.log") == []


def test_our_own_child_that_died_is_no_zombie_in_the_table(settings: StackSettings) -> None:
    pid = start_process(settings, "brief", [sys.executable, "-c", "pass"], {})
    until(lambda: find_leader(settings, "brief") is None and not Path(f"/proc/{pid}").exists())
