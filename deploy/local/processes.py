"""Start, find and stop the stack's processes.

A process is ours when its environment says so: `JSOC_STACK=<home>`. The kernel keeps that record for as long as
the process lives and hands it down to children, so it needs no pid file that could be stale, survives a `kill -9`
of whoever started it, and also finds a killed TaskManager's orphaned Python workers.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import psutil

from deploy.local.settings import LOOPBACK, StackSettings
from schemas.errors import ConfigError

STACK_TAG: Final = "JSOC_STACK"
PROCESS_TAG: Final = "JSOC_PROCESS"
MAX_LOG_BYTES: Final = 10 * 1024 * 1024
"""A log file larger than this is set aside (one generation is kept) when its process starts."""

_LOADING_SECONDS: Final = 20.0
_ENDING_SECONDS: Final = 20.0
"""A killed JVM gives back gigabytes before it is gone."""
_RELEASE_SECONDS: Final = 10.0

_children: Final[list[subprocess.Popen[bytes]]] = []
"""What this very Python process started; polled, so that none stays a zombie."""


@dataclass(frozen=True, slots=True)
class Running:
    """One living process of the stack."""

    name: str
    pid: int
    parent: int
    started: float

    @property
    def leads(self) -> bool:
        """Whether `up` started it itself: those are session leaders, their children are not."""
        try:
            return os.getsid(self.pid) == self.pid
        except ProcessLookupError:
            return False


def find_processes(settings: StackSettings, name: str | None = None) -> list[Running]:
    """Every living process of this stack, oldest first; optionally only those of one name."""
    for child in _children:
        child.poll()
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            environ = process.environ()
            if environ.get(STACK_TAG) != str(settings.home):
                continue
            label = environ.get(PROCESS_TAG, "?")
            found.append(Running(label, process.pid, process.ppid(), process.create_time()))
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue  # gone meanwhile, or another user's
    found.sort(key=lambda running: running.started)
    return [running for running in found if name is None or running.name == name]


def find_leader(settings: StackSettings, name: str) -> Running | None:
    """The living main process of that name."""
    return next((running for running in find_processes(settings, name) if running.leads), None)


def was_started(settings: StackSettings, name: str) -> bool:
    """Whether `up` started it and `down` did not stop it since; with no living process: it died."""
    return _record(settings, name).exists()


def start_process(settings: StackSettings, name: str, command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Start a process in its own session, its output appended to `logs/<name>.log`; returns the pid.

    Of this shell's environment it gets only what every program needs, so that nothing secret leaks into it.

    Raises:
        ConfigError: the program cannot be started.
    """
    settings.run.mkdir(parents=True, exist_ok=True)
    record = _record(settings, name)
    with open_log(settings, name) as log:
        record.write_text(json.dumps({"log_from": log.tell()}), encoding="utf-8")
        try:
            process = subprocess.Popen(
                list(command),
                env={**child_environment(settings, name), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=settings.home,
            )
        except OSError as error:
            record.unlink(missing_ok=True)
            raise ConfigError(name, f"cannot start {command[0]}: {error.strerror}") from error
    _children.append(process)
    # A program that is still being loaded shows no environment yet: it would be taken for dead.
    deadline = time.monotonic() + _LOADING_SECONDS
    while find_leader(settings, name) is None and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return process.pid


def child_environment(settings: StackSettings, name: str) -> dict[str, str]:
    """The tags, and the few variables every program needs."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME")
    environment = {key: os.environ[key] for key in kept if key in os.environ}
    return environment | {STACK_TAG: str(settings.home), PROCESS_TAG: name}


def stop_processes(settings: StackSettings, name: str, *, grace: float = 30.0) -> list[int]:
    """End every process of that name, children and orphans included; returns the pids that were ended.

    First SIGTERM to all (Elasticsearch's launcher does not pass it on), then SIGKILL to what still lives after
    `grace` seconds.
    """
    family = find_processes(settings, name)
    if grace > 0:
        _signal(family, psutil.Process.terminate)
        _wait_gone(family, grace)
    rest = find_processes(settings, name)
    _signal(rest, psutil.Process.kill)
    _wait_gone(rest, _ENDING_SECONDS)
    _record(settings, name).unlink(missing_ok=True)
    return [running.pid for running in family]


def reap_orphans(settings: StackSettings, name: str) -> list[int]:
    """Kill what a dead process of that name left behind; leaves a living one and its children alone."""
    family = find_processes(settings, name)
    if any(running.leads for running in family):
        return []
    _signal(family, psutil.Process.kill)
    _wait_gone(family, _ENDING_SECONDS)
    return [running.pid for running in family]


def kill_process(settings: StackSettings, name: str) -> list[int]:
    """SIGKILL the main process of that name as a crash would, and the server behind a launcher; returns the pids.

    Other children (a TaskManager's Python workers) are left behind, as a crash would leave them.
    """
    leader = find_leader(settings, name)
    if leader is None:
        return []
    program = psutil.Process(leader.pid).name()
    victims = [
        running
        for running in find_processes(settings, name)
        if running == leader or (running.parent == leader.pid and psutil.Process(running.pid).name() == program)
    ]
    _signal(victims, psutil.Process.kill)
    _wait_gone(victims, _ENDING_SECONDS)
    return [running.pid for running in victims]


def check_ports(ports: Iterable[int]) -> None:
    """Make sure that nobody else listens there; a port that no living process holds is given time to be let go.

    Raises:
        ConfigError: a port is taken; names the process when the system tells.
    """
    deadline = time.monotonic() + _RELEASE_SECONDS
    for port in ports:
        while _is_taken(port):
            owner = _owner_of(port)
            if owner or time.monotonic() > deadline:
                raise ConfigError(
                    f"{LOOPBACK}:{port}",
                    f"the port is in use{owner}",
                    hint="stop that process, or choose other ports: JSOC_PORT_BASE=29000 jsoc up",
                )
            time.sleep(0.1)


def _is_taken(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
        return False


def port_answers(port: int) -> bool:
    """Whether something listens on that port of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0


def tail(path: Path, lines: int = 15) -> list[str]:
    """The last lines of a log, read from its end; empty when there is none."""
    try:
        with path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - lines * 500))
            return log.read().decode("utf-8", "replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []


def log_says(settings: StackSettings, name: str, words: str) -> bool:
    """Whether the process of that name has written these words since it was started."""
    try:
        begin = json.loads(_record(settings, name).read_text(encoding="utf-8"))["log_from"]
    except (OSError, ValueError, KeyError):
        begin = 0  # `up` was killed before it could note that
    try:
        with log_file(settings, name).open("rb") as log:
            log.seek(begin)
            return words.encode() in log.read(MAX_LOG_BYTES)
    except OSError:
        return False


def log_file(settings: StackSettings, name: str) -> Path:
    """Where a process of that name writes."""
    return settings.logs / f"{name}.log"


def open_log(settings: StackSettings, name: str) -> BinaryIO:
    """Open a process's log for appending; a large one is set aside first."""
    settings.logs.mkdir(parents=True, exist_ok=True)
    path = log_file(settings, name)
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def _record(settings: StackSettings, name: str) -> Path:
    return settings.run / f"{name}.json"


def _signal(processes: Iterable[Running], send: Callable[[psutil.Process], None]) -> None:
    for running in processes:
        try:
            process = psutil.Process(running.pid)
            if process.create_time() == running.started:  # the number may belong to somebody else by now
                send(process)
        except psutil.NoSuchProcess:
            continue


def _wait_gone(processes: Iterable[Running], seconds: float) -> None:
    alive = []
    for running in processes:
        try:
            process = psutil.Process(running.pid)
            if process.create_time() == running.started:
                alive.append(process)
        except psutil.NoSuchProcess:
            continue
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(_lives(process) for process in alive):
        time.sleep(0.05)


def _lives(process: psutil.Process) -> bool:
    """Whether it runs or still holds its ports: a killed JVM is a zombie while its last threads are ending."""
    try:
        return process.is_running() and (process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1)
    except psutil.NoSuchProcess:
        return False


def _owner_of(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            address: tuple[str, int] | tuple[()] = connection.laddr
            if connection.status != psutil.CONN_LISTEN or not address or connection.pid is None:
                continue
            if address[1] == port:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        return ""
    return ""
