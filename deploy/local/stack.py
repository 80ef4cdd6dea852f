"""Bring the one-machine stack up and down.

`up` starts what is missing and nothing else, side by side where nothing has to wait. There is no supervisor: what
dies stays dead and visible in `status` until the next `up`, which also continues the Flink job from its newest
checkpoint. (Under Kubernetes the operators do that; a second, home-made one here would only hide crashes.)
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deploy.local.certificates import CertificateAuthority
from deploy.local.configuration import registry_of, write_configuration
from deploy.local.flink_job import find_job, job_is_ready, stop_job, submit_job
from deploy.local.java import find_java_home
from deploy.local.jvm_parts import require_parts
from deploy.local.kafka_access import ensure_access
from deploy.local.kafka_broker import open_broker_admin
from deploy.local.processes import (
    check_ports,
    find_leader,
    find_processes,
    log_file,
    reap_orphans,
    start_process,
    stop_processes,
    tail,
)
from deploy.local.rule_pack import build_rule_pack, pin_pack, pinned_pack, put_in_force
from deploy.local.services import JOB_STEP, TOPICS_STEP, Place, Service, services
from deploy.local.settings import StackSettings
from deploy.local.steps import Observer, Progress, Step, run_steps, wait_until
from schemas.errors import ConfigError, printable

_DATA: Final = ("etc", "secrets", "logs", "kafka", "elasticsearch", "flink", "demo", "cache")
_JOB_SECONDS: Final = 300.0
_RETURN_SECONDS: Final = 20.0
_SERVERS: Final = frozenset({"jobmanager", "elasticsearch", "kafka"})


def up(settings: StackSettings, observe: Observer, *, only: frozenset[str] | None = None) -> None:
    """Start what is missing, wait until everything works.

    Args:
        settings: the stack.
        observe: told of every step.
        only: names of the steps to see to; the others are taken to be as they should. Default: all.

    Raises:
        ConfigError: not set up, a port is taken, a process died while starting.
        RuleError: the rules cannot be compiled.
    """
    require_parts(settings.jvm_home)
    with _alone(settings):
        _up(settings, observe, only)


def down(settings: StackSettings, observe: Observer, *, wipe: bool = False) -> list[int]:
    """Stop what `up` started, in reverse order, orphans included; returns the pids of what had to be ended.

    Args:
        settings: the stack.
        observe: told of every process.
        wipe: also remove data, secrets, configuration and logs; the fetched programs stay.
    """
    if not settings.home.exists():
        return []
    with _alone(settings):
        living = {running.name for running in find_processes(settings) if running.pid != os.getpid()}
        taskmanagers = {name for name in living if name.startswith("taskmanager")}
        # The demo's forwarders too: they can still deliver, and whatever a killed `up` left.
        ended = _stop_together(settings, living - taskmanagers - _SERVERS, observe)
        if find_leader(settings, "jobmanager") is not None:
            observe(JOB_STEP, "stops", "with a savepoint")
            saved = stop_job(settings, lambda words: observe(JOB_STEP, "stops", words))
            observe(JOB_STEP, "stopped", "savepoint written" if saved else "")
        ended += _stop_together(settings, taskmanagers, observe)
        ended += _stop_together(settings, living & {"jobmanager"}, observe)
        ended += _stop_together(settings, living & (_SERVERS - {"jobmanager"}), observe)
        shutil.rmtree(settings.run, ignore_errors=True)
        if wipe:
            for name in _DATA:  # by name: somebody may have chosen a home that holds other things as well
                shutil.rmtree(settings.home / name, ignore_errors=True)
    return ended


def start(settings: StackSettings, name: str, observe: Observer) -> None:
    """Start one process (or the job) whose needs are running, and wait until it is ready."""
    up(settings, observe, only=frozenset({name}))


def stop(settings: StackSettings, name: str) -> None:
    """Stop one process."""
    with _alone(settings):
        stop_processes(settings, name)


def renew_rules(settings: StackSettings, observe: Observer) -> str:
    """Compile rules and registry anew and put them in force; a running job takes them without a restart.

    A pinned pack's rules are taken as they are.

    Returns:
        The version of the pack.

    Raises:
        RuleError: the rules cannot be compiled; the job runs on as it was.
        ConfigError: a worker of the job does not take the pack.
    """
    with _alone(settings):
        return _renew_rules(settings, observe, pinned_pack(settings))


def activate_rules(settings: StackSettings, path: Path | None, observe: Observer) -> str:
    """Put the rules of a pack in force, and use them from now on; None: those of the stack's rule folders.

    Returns:
        The version of the pack, which is another than that of the file: its members are the stack's.

    Raises:
        RuleError, ConfigError: as `renew_rules`; then everything stays as it was.
    """
    with _alone(settings):
        version = _renew_rules(settings, observe, path)
        pin_pack(settings, path)
        return version


def _renew_rules(settings: StackSettings, observe: Observer, pinned: Path | None) -> str:
    settings.save()
    observe("rules", "starts", "")
    pack = build_rule_pack(settings, lambda words: observe("rules", "starts", words), pinned)
    observe("rules", "starts", f"pack {pack.version[:12]}, {len(pack.detections)} detections")
    observe("rules", "ready", put_in_force(settings, pack))
    return pack.version


def _up(settings: StackSettings, observe: Observer, only: frozenset[str] | None) -> None:
    settings.save()
    place = Place(settings, find_java_home(), CertificateAuthority(settings.secrets))
    write_configuration(settings)
    for service in services(settings):
        if (only is None or service.name in only) and find_leader(settings, service.name) is None:
            reap_orphans(settings, service.name)
            check_ports(service.ports)  # all of them before anything is started
    run_steps([step for step in _steps(place, observe) if only is None or step.name in only], observe)


def _steps(place: Place, observe: Observer) -> Iterator[Step]:
    table = services(place.settings)
    for service in table:
        yield Step(service.name, service.needs, _starter(place, service, observe))
    yield Step(TOPICS_STEP, ("kafka",), lambda _: _ensure_topics(place.settings, observe))
    flink = tuple(s.name for s in table if s.name == "jobmanager" or s.name.startswith("taskmanager"))
    yield Step(JOB_STEP, (TOPICS_STEP, *flink), lambda abort: _ensure_job(place, observe, abort))


def _starter(place: Place, service: Service, observe: Observer) -> Callable[[threading.Event], Progress]:
    settings = place.settings

    def run(abort: threading.Event) -> Progress:
        if find_leader(settings, service.name) is not None and _stays_lost(settings, service, abort):
            observe(service.name, "starts", "it lives, but does not work any more: ended first")
            stop_processes(settings, service.name, grace=0)  # one that is suspended would not hear anything else
        fresh = find_leader(settings, service.name) is None
        if fresh:
            observe(service.name, "starts", service.address)
            service.prepare(place)
            start_process(settings, service.name, service.command(place), service.environment(place))
        wait_until(
            lambda: service.ready(settings),
            service.name,
            service.limit,
            abort,
            check=lambda: _check_alive(settings, service.name),
        )
        return "ready" if fresh else "was running"

    return run


def _stays_lost(settings: StackSettings, service: Service, abort: threading.Event) -> bool:
    """Whether a process that lives does not come back by itself, as a TaskManager does when its JobManager returns."""
    deadline = time.monotonic() + _RETURN_SECONDS
    while not abort.is_set():
        if not service.lost(settings):
            return False
        if time.monotonic() > deadline:
            return True
        time.sleep(0.5)
    return False


def _ensure_topics(settings: StackSettings, observe: Observer) -> Progress:
    observe(TOPICS_STEP, "starts", "topics, users, grants")
    admin = open_broker_admin(settings)
    try:
        made = ensure_access(settings, admin, registry_of(settings))
    finally:
        admin.close()
    return "ready" if made else "was running"


def _ensure_job(place: Place, observe: Observer, abort: threading.Event) -> Progress:
    settings = place.settings
    job = find_job(settings)
    fresh = job is None or not job.lives
    if fresh:
        _renew_rules(settings, observe, pinned_pack(settings))
        observe(JOB_STEP, "starts", "submitting to Flink")
        submit_job(settings, place.java_home)
        observe(JOB_STEP, "starts", "waiting for its first checkpoint")
    since = time.time()
    wait_until(
        lambda: job_is_ready(settings, since),
        JOB_STEP,
        _JOB_SECONDS,
        abort,
        check=lambda: _start_ended_taskmanagers(place, observe, abort),
    )
    if not fresh and _registry_is_newer(settings):
        _renew_rules(settings, observe, pinned_pack(settings))
    return "ready" if fresh else "was running"


def _start_ended_taskmanagers(place: Place, observe: Observer, abort: threading.Event) -> None:
    """One that was found alive may end a while later, as when it lost its JobManager."""
    for service in services(place.settings):
        if service.name.startswith("taskmanager") and find_leader(place.settings, service.name) is None:
            _starter(place, service, observe)(abort)


def _registry_is_newer(settings: StackSettings) -> bool:
    """Whether members changed since the pack was built: the job learns of them with the pack."""
    pack, registry = settings.pack_file, settings.members_file
    return registry.exists() and (not pack.exists() or registry.stat().st_mtime > pack.stat().st_mtime)


def _check_alive(settings: StackSettings, name: str) -> None:
    if find_leader(settings, name) is None:
        words = [printable(line.expandtabs(2))[:300] for line in tail(log_file(settings, name), 12) if line.strip()]
        raise ConfigError(
            name,
            "\n  ".join(["it died while starting; its last words:", *words]),
            hint=f"jsoc logs {name}",
        )


def _stop_together(settings: StackSettings, names: Collection[str], observe: Observer) -> list[int]:
    def stop_one(name: str) -> list[int]:
        observe(name, "stops", "")
        ended = stop_processes(settings, name)
        observe(name, "stopped", "")
        return ended

    with ThreadPoolExecutor(max(1, len(names))) as pool:
        return [pid for pids in pool.map(stop_one, sorted(names)) for pid in pids]


@contextmanager
def _alone(settings: StackSettings) -> Iterator[None]:
    """One `up`, `down` or `member` at a time; a killed one's lock is gone with it."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / ".lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise ConfigError(
                str(settings.home),
                f"another jsoc command is at work on this stack (pid {lock.read().strip() or 'unknown'})",
                hint="wait until it is done",
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
