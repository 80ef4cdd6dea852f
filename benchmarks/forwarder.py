"""The forwarder on this machine: lines of a file to acknowledged events in Kafka, whole process, beside a bare loop.

Starts a Kafka of its own. The bare loop is kafka-python alone: it reads the same file and ships each raw line as a
record, or as many a record as the forwarder does. Filebeat is measured too where it is on the path.
`python -m benchmarks.forwarder [--lines N]`; figures of a shared machine are floors.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import orjson
import yaml
from rich.console import Console
from rich.table import Table

from connectors.forwarder.shipper import MAX_BATCH_EVENTS
from connectors.kafka import open_producer
from connectors.settings import KafkaConnection
from deploy.local.kafka_access import kafka_connection
from deploy.local.members import add_members
from deploy.local.settings import StackSettings, load_stack_settings, project_root
from deploy.local.stack import TOPICS_STEP, down, up
from schemas.member import Member

MEMBER = "bench-bank"
STATE = "state"
GOALS = {"nginx-access": 20_000, "windows-winlogbeat": 15_000}


_FINGERPRINT = {"fingerprint": {"fields": ["log.file.path", "log.offset", "message"], "target_field": "event.id"}}
_DROP = {"drop_fields": {"fields": ["message", "agent", "input", "log", "host"], "ignore_missing": True}}
FILEBEAT_PROCESSORS = {
    "nginx-access": [
        {
            "dissect": {
                "tokenizer": '%{client} - %{user} [%{time}] "%{method} %{target} HTTP/%{http}" %{status} %{bytes} '
                '"%{referrer}" "%{agent}"',
                "target_prefix": "web",
            }
        },
        _FINGERPRINT,
        _DROP,
    ],
    "windows-winlogbeat": [
        {"decode_json_fields": {"fields": ["message"], "target": "windows", "max_depth": 5}},
        {"fingerprint": {"fields": ["windows.host.name"], "target_field": "host.id"}},
        {"fingerprint": {"fields": ["windows.winlog.event_data.TargetUserName"], "target_field": "user.hash"}},
        _FINGERPRINT,
        _DROP,
    ],
}


class Run(NamedTuple):
    """One measurement."""

    wall: float
    cpu: float
    """Seconds of the forwarding process."""
    memory: int = 0
    """Resident bytes, at most."""


@contextmanager
def broker() -> Iterator[tuple[StackSettings, KafkaConnection]]:
    """A Kafka of its own, with one member; removed afterwards."""
    settings = replace(load_stack_settings(), home=project_root() / ".jointsoc" / "bench-forwarder", port_base=28400)
    try:
        add_members(settings, [Member(id=MEMBER, name=MEMBER)], quiet)
        up(settings, quiet, only=frozenset({"kafka", TOPICS_STEP}))
        yield settings, kafka_connection(settings, MEMBER)
    finally:
        down(settings, quiet, wipe=True)
        shutil.rmtree(settings.home, ignore_errors=True)


def nginx_line(draw: random.Random, number: int) -> str:
    """An access log as a scanner and customers leave it: addresses and paths repeat, queries do not."""
    address = ".".join(str(draw.randrange(1, 223)) for _ in range(4))
    clock = f"{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}"
    return (
        f'{address} - - [23/Nov/2026:{clock} +0800] "GET /shop/{draw.randrange(3000)}?q={number} HTTP/1.1" '
        f'{draw.choice((200, 200, 200, 302, 404))} {draw.randrange(90_000)} "-" '
        f'"Mozilla/5.0 (X11; Linux x86_64; rv:{draw.randrange(140)}.0) Gecko/20100101"\n'
    )


def windows_line(draw: random.Random, number: int) -> str:
    """A failed logon as Winlogbeat writes it."""
    host = f"KST-WS{draw.randrange(400):03}"
    data = {
        "TargetUserName": f"user{draw.randrange(5000)}",
        "LogonType": "3",
        "IpAddress": f"203.0.{draw.randrange(256)}.{draw.randrange(256)}",
        "Status": "0xc000006d",
        "SubStatus": "0xc000006a",
        "WorkstationName": host,
        "SubjectUserSid": "S-1-0-0",
    }
    event = {
        "@timestamp": f"2026-11-23T02:{number // 60 % 60:02}:{number % 60:02}.{draw.randrange(1000):03}Z",
        "event": {"code": "4625", "provider": "Microsoft-Windows-Security-Auditing", "kind": "event"},
        "host": {"name": host},
        "winlog": {
            "channel": "Security",
            "computer_name": f"{host}.corp.example",
            "event_id": "4625",
            "record_id": number,
            "event_data": data,
        },
        "message": "An account failed to log on. Subject: Security ID: S-1-0-0. Failure Reason: Unknown user name.",
    }
    return json.dumps(event) + "\n"


def forwarded(folder: Path, log: Path, mapping: str, connection: KafkaConnection) -> Run:
    """`jsoc forward run` from the file's first line to the last acknowledgement; start-up counts."""
    config = configured(folder, log, mapping, connection)
    size = log.stat().st_size
    return _until(run_command(config), lambda: acknowledged(folder) >= size)


def _until(command: list[str], is_done: Callable[[], bool]) -> Run:
    """Run a shipper until all is acknowledged; then end it."""
    begun = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not is_done():
            time.sleep(0.05)
        wall = time.monotonic() - begun
        memory = resident(process.pid)
        process.send_signal(signal.SIGTERM)
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    return Run(wall, usage.ru_utime + usage.ru_stime, memory)


def configured(folder: Path, log: Path, mapping: str, connection: KafkaConnection) -> Path:
    """A forwarder's configuration and keys; its state, from before, is gone."""
    shutil.rmtree(folder / STATE, ignore_errors=True)
    for name in ("institution", "federation"):
        key = folder / f"{name}.key"
        key.touch(mode=0o600)
        key.write_text(secrets.token_hex(32), encoding="ascii")
    config = folder / "forwarder.yml"
    settings = {
        "member": MEMBER,
        "kafka": connection.model_dump(mode="json"),
        "state_dir": str(folder / STATE),
        "keys": {"institution": str(folder / "institution.key"), "federation": str(folder / "federation.key")},
        "inputs": [{"name": "log", "path": str(log), "mapping": mapping}],
    }
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return config


def run_command(config: Path) -> list[str]:
    """The forwarder's command line."""
    return [sys.executable, "-m", "pipeline.cli", "forward", "run", "--config", str(config)]


def shipped_bare(log: Path, connection: KafkaConnection, per_record: int) -> Run:
    """The same lines through kafka-python alone, raw, so many in a record."""
    begun, cpu = time.monotonic(), time.process_time()
    producer = open_producer(connection)
    with log.open("rb") as file:
        batch: list[bytes] = []
        for line in file:
            batch.append(line.rstrip(b"\n"))
            if len(batch) == per_record:
                producer.send(f"events.{MEMBER}", value=b"\n".join(batch))
                batch = []
        if batch:
            producer.send(f"events.{MEMBER}", value=b"\n".join(batch))
    producer.flush()
    producer.close()
    return Run(time.monotonic() - begun, time.process_time() - cpu)


def shipped_by_filebeat(folder: Path, log: Path, mapping: str, connection: KafkaConnection) -> Run | None:
    """The same log through Filebeat on one core, its processors doing what they can of the mapping; None without it.

    It has no keyed hash: identifiers are fingerprinted with SHA-256 instead.
    """
    program = shutil.which("filebeat")
    if program is None:
        return None
    home = folder / "filebeat"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    config = home / "filebeat.yml"
    output = {
        "hosts": connection.bootstrap_servers,
        "topic": f"events.{MEMBER}",
        "version": "2.1.0",
        "username": connection.username,
        "password": connection.password(),
        "sasl.mechanism": "SCRAM-SHA-512",
        "ssl.certificate_authorities": [str(connection.ca_file)],
        "required_acks": -1,
        "compression": "lz4",
        "bulk_max_size": 2048,
    }
    settings = {
        "max_procs": 1,
        "filebeat.inputs": [{"type": "log", "paths": [str(log)], "processors": FILEBEAT_PROCESSORS[mapping]}],
        "output.kafka": output,
        "path.home": str(home),
    }
    config.touch(mode=0o600)
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    registry = home / "data/registry/filebeat/log.json"
    mark = f'"offset":{log.stat().st_size}'
    return _until(
        [program, "run", "-c", str(config)],
        lambda: registry.exists() and mark in registry.read_text(encoding="utf-8"),
    )


def acknowledged(folder: Path) -> int:
    """Bytes of the log that were brought to safety, as the forwarder's positions say."""
    try:
        inputs = orjson.loads((folder / STATE / "positions.json").read_bytes())["inputs"]
        return sum(one["offset"] for one in inputs["log"])
    except (OSError, ValueError, KeyError):
        return 0


def resident(pid: int) -> int:
    """Bytes of memory a process had at most."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(text.split("VmHWM:")[1].split()[0]) * 1024


def quiet(*_: object) -> None:
    """The stack's progress is not wanted here."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The forwarder, whole process.")
    parser.add_argument("--lines", type=int, default=400_000)
    lines = parser.parse_args().lines
    table = Table(title=f"{lines:,} lines from a file to acknowledged events (floors: other work shares the machine)")
    # Ratios are of CPU seconds: wall time depends on who else is at work.
    columns = ("log", "events/s", "per CPU second", "goal", "bare, per CPU s", "ratio", "bare, batched", "memory")
    for column in (*columns, "Filebeat", "per CPU s", "memory"):
        table.add_column(column)
    makers: dict[str, Callable[[random.Random, int], str]] = {
        "nginx-access": nginx_line,
        "windows-winlogbeat": windows_line,
    }
    with broker() as (settings, connection):
        for mapping, make in makers.items():
            log = settings.home / f"{mapping}.log"
            draw = random.Random(7)
            with log.open("w", encoding="utf-8") as file:
                file.writelines(make(draw, number) for number in range(lines))
            run = forwarded(settings.home, log, mapping, connection)
            bare, batched = (shipped_bare(log, connection, count) for count in (1, MAX_BATCH_EVENTS))
            beat = shipped_by_filebeat(settings.home, log, mapping, connection)
            beside = (
                ("-", "-", "-")
                if beat is None
                else (f"{lines / beat.wall:,.0f}", f"{lines / beat.cpu:,.0f}", f"{beat.memory / 2**20:.0f} MiB")
            )
            table.add_row(
                mapping,
                f"{lines / run.wall:,.0f}",
                f"{lines / run.cpu:,.0f}",
                f"{GOALS[mapping]:,}",
                f"{lines / bare.cpu:,.0f}",
                f"{bare.cpu / run.cpu:.2f}",
                f"{lines / batched.cpu:,.0f}",
                f"{run.memory / 2**20:.0f} MiB",
                *beside,
            )
            log.unlink()
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
