"""One forwarder process for each invented institution, started and stopped like the stack's own processes."""

from __future__ import annotations

import secrets
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import yaml

from connectors.forwarder.input_settings import FileInput
from connectors.forwarder.settings import ForwarderSettings, KeyFiles
from deploy.demo.institutions import LOGS, Institution
from deploy.demo.player import log_path
from deploy.local.kafka_access import kafka_connection
from deploy.local.processes import find_processes, log_file, log_says, start_process, stop_processes, tail
from deploy.local.secret_files import write_secret
from deploy.local.settings import StackSettings
from schemas.errors import ConfigError, printable

START_SECONDS: Final = 60.0

MAPPINGS: Final = {
    "access": "nginx-access",
    "auth": "sshd-auth",
    "windows": "windows-winlogbeat",
    "firewall": "firewall-cef",
    "portal": "customer-portal",
    "payments": "payments",
}
"""Log -> the shipped mapping that reads it."""


def forwarder_name(member: str) -> str:
    """The process's name; `jsoc logs <name>` shows what it says."""
    return f"forwarder-{member}"


def start_forwarders(settings: StackSettings, folder: Path, institutions: Iterable[Institution]) -> None:
    """Start a forwarder for each, from the beginning of its logs; one that still runs from before is ended first."""
    for institution in institutions:
        name = forwarder_name(institution.id)
        stop_processes(settings, name)
        config = write_configuration(settings, folder, institution)
        command = [sys.executable, "-m", "pipeline.cli", "forward", "run", "--config", str(config)]
        start_process(settings, name, command, {})


def write_configuration(settings: StackSettings, folder: Path, institution: Institution) -> Path:
    """Write one forwarder's configuration and, where they are missing, its keys; forgets where it stood before."""
    state = folder / institution.id / "forwarder"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    keys = folder / "keys"
    forwarder = ForwarderSettings(
        member=institution.id,
        kafka=kafka_connection(settings, institution.id),
        state_dir=state,
        keys=KeyFiles(institution=_key(keys / f"{institution.id}.key"), federation=_key(keys / "federation.key")),
        inputs=tuple(
            FileInput(name=log, path=log_path(folder, institution.id, log), mapping=MAPPINGS[log]) for log in LOGS
        ),
    )
    path = folder / "etc" / f"{institution.id}.yml"
    write_secret(path, yaml.safe_dump(forwarder.model_dump(mode="json"), sort_keys=False).encode())
    return path


def wait_for_forwarders(settings: StackSettings, institutions: Sequence[Institution]) -> None:
    """Wait until all of them read their logs.

    Raises:
        ConfigError: one died or takes longer than a minute.
    """
    deadline = time.monotonic() + START_SECONDS
    while not all(log_says(settings, forwarder_name(one.id), "forwarder.started") for one in institutions):
        check_forwarders(settings, institutions)
        if time.monotonic() > deadline:
            raise ConfigError("forwarders", f"not ready after {START_SECONDS:.0f} s", hint="jsoc status")
        time.sleep(0.1)


def check_forwarders(settings: StackSettings, institutions: Iterable[Institution]) -> None:
    """Make sure that all of them live.

    Raises:
        ConfigError: one died; tells its last words.
    """
    alive = {running.name for running in find_processes(settings) if running.leads}
    for institution in institutions:
        name = forwarder_name(institution.id)
        if name not in alive:
            words = "\n  ".join(printable(line)[:300] for line in tail(log_file(settings, name), 8))
            raise ConfigError(name, f"the forwarder died; its last words:\n  {words}", hint=f"jsoc logs {name}")


def stop_forwarders(settings: StackSettings, institutions: Iterable[Institution]) -> None:
    """End them; each sends what it has read before it goes."""
    for institution in institutions:
        stop_processes(settings, forwarder_name(institution.id))


def _key(path: Path) -> Path:
    if not path.exists():
        write_secret(path, secrets.token_hex(32).encode())
    return path
