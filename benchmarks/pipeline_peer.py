"""rsigma's daemon over HTTP beside the pipeline: the same rules and events, matches written out, nothing durable."""

from __future__ import annotations

import http.client
import re
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil

from benchmarks.traffic import Figures

_ADDRESS: Final = "127.0.0.1:27990"
_READY_SECONDS: Final = 120
_BATCH: Final = 512
_PROCESSED: Final = re.compile(r"^rsigma_events_processed_total\S* (\S+)$", re.MULTILINE)


def daemon_throughput(rsigma: str, rules: Path, lines: Sequence[bytes]) -> Figures:
    """Post every line, wait until all are processed.

    Args:
        rsigma: the program.
        rules: a folder of Sigma rules.
        lines: one event each.
    """
    command = [rsigma, "engine", "daemon", "-r", str(rules), "--input", "http", "--api-addr", _ADDRESS]
    command += ["--batch-size", str(_BATCH), "--logsource-routing", "--input-format", "json", "--quiet"]
    with (
        tempfile.TemporaryFile() as matches,
        subprocess.Popen(command, stdout=matches, stderr=subprocess.DEVNULL) as daemon,
    ):
        try:
            _await_ready()
            process = psutil.Process(daemon.pid)
            before, begun = sum(process.cpu_times()[:2]), time.monotonic()
            _post(lines)
            while _processed() < len(lines):
                time.sleep(0.05)
            seconds, cpu = time.monotonic() - begun, sum(process.cpu_times()[:2]) - before
        finally:
            daemon.terminate()
    return Figures(len(lines) / seconds, len(lines) / seconds, {"rsigma": cpu / len(lines)})


def _post(lines: Sequence[bytes]) -> None:
    connection = http.client.HTTPConnection(_ADDRESS)
    for first in range(0, len(lines), _BATCH):
        body = b"\n".join(lines[first : first + _BATCH])
        while True:
            connection.request("POST", "/api/v1/events", body=body)
            answer = connection.getresponse()
            answer.read()
            if answer.status == http.client.OK:
                break
            time.sleep(0.01)  # it asks to be spared for a moment
    connection.close()


def _await_ready() -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://{_ADDRESS}/readyz", timeout=5):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _processed() -> float:
    with urllib.request.urlopen(f"http://{_ADDRESS}/metrics", timeout=30) as answer:
        found = _PROCESSED.search(answer.read().decode())
    return float(found.group(1)) if found else 0.0
