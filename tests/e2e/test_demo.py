"""`jsoc demo --check`, as a newcomer runs it: real servers, six forwarder processes, a stack of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.demo.institutions import load_institutions
from deploy.local import processes
from deploy.local.settings import load_stack_settings, project_root
from tests.running_stack import free_port_base

SECONDS = 900
Place = dict[str, str]


def jsoc(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    return subprocess.run(command, env=place, capture_output=True, text=True, timeout=SECONDS, check=False)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    root = project_root() / ".jointsoc"
    own = {
        "JSOC_HOME": str(root / "test-demo"),
        "JSOC_JVM_HOME": os.environ.get("JSOC_JVM_HOME") or str(root / "jvm"),
        "JSOC_PORT_BASE": str(free_port_base()),
    }
    place = {**os.environ, **own}
    jsoc(place, "down", "--wipe", "--yes")
    yield place
    jsoc(place, "down", "--wipe", "--yes")


@pytest.mark.stack
def test_the_demo_raises_exactly_the_alerts_it_promises_twice_and_leaves_the_servers_up(place: Place) -> None:
    for run in ("first", "second"):
        played = jsoc(place, "demo", "--check", "--speed", "2")
        assert played.returncode == 0, f"{run} run:\n{played.stdout[-6000:]}\n{played.stderr[-3000:]}"
        assert "exactly those that the stories promise" in played.stdout
    listed = jsoc(place, "alerts", "list", "--format", "json", "--limit", "100")
    alerts = [json.loads(line) for line in listed.stdout.splitlines()]
    assert len([alert for alert in alerts if alert["jointsoc"]["alert"]["state"] != "superseded"]) == 9
    shown = jsoc(place, "alerts", "show", alerts[0]["event"]["id"], "--evidence", "--format", "json")
    originals = json.loads(shown.stdout)["originals"]
    for evidence, original in zip(alerts[0]["jointsoc"]["evidence"], originals, strict=True):
        assert evidence["event_id"] in original["pretty"]
    for institution in load_institutions():
        letters = Path(place["JSOC_HOME"]) / "demo" / institution.id / "forwarder" / "dead-letters.ndjson"
        assert not letters.exists() or not letters.read_bytes()
    status = json.loads(jsoc(place, "status", "--format", "json").stdout)
    running = {row["process"] for row in status if row["state"] == "running"}
    assert {"kafka", "elasticsearch", "job", "dashboard"} <= running
    assert not processes.find_processes(load_stack_settings(place), "forwarder-kestrel-bank")
