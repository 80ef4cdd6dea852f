"""Rules change while events flow: no restart, no event lost or evaluated twice, and a broken pack changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from connectors.kafka import open_producer
from deploy.local.configuration import registry_of
from deploy.local.settings import project_root
from pipeline.rulepack import build_pack, read_pack
from schemas.times import now_ms, to_rfc3339
from tests.conditions import wait_for
from tests.e2e.accounts import Accounts, accounts, pack_reports, settled_accounts
from tests.running_stack import RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

MEMBER = "kestrel-bank"
PROBER = "198.51.100.99"
RULE = """
title: Added while events flow
id: 5b1f4e0a-6a7e-4d55-9a5e-0000000000ab
status: test
logsource: {product: jointsoc, service: e2e}
detection: {selection: {event.action: added-later}, condition: selection}
level: low
federation: {alert: true}
"""


class Stream:
    """Sends one event after the other, numbered, until stopped."""

    def __init__(self, stack: RunningStack, name: str) -> None:
        self._name = name
        self._producer = open_producer(stack.kafka(MEMBER), linger_ms=0)
        self._stop = threading.Event()
        self.sent = 0

    def run(self) -> None:
        while not self._stop.wait(0.02):
            event = {
                "@timestamp": to_rfc3339(now_ms()),
                "event.id": f"{self._name}-{self.sent}",
                "event.action": "added-later",
                "jointsoc.logsource.product": "jointsoc",
                "jointsoc.logsource.service": "e2e",
            }
            self._producer.send(f"events.{MEMBER}", value=orjson.dumps(event), partition=0).get(60)
            self.sent += 1

    def stop(self) -> None:
        self._stop.set()


@contextmanager
def flowing(stack: RunningStack, name: str) -> Iterator[Stream]:
    stream = Stream(stack, name)
    thread = threading.Thread(target=stream.run)
    thread.start()
    try:
        yield stream
    finally:
        stream.stop()
        thread.join()


def jsoc(stack: RunningStack, *arguments: str) -> subprocess.CompletedProcess[str]:
    place = {"JSOC_HOME": str(stack.settings.home), "JSOC_JVM_HOME": str(stack.settings.jvm_home)}
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    return subprocess.run(command, env=os.environ | place, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def larger(stack: RunningStack, tmp_path: Path) -> Path:
    """The stack's rules and one more."""
    (tmp_path / "added.yml").write_text(RULE)
    rules = [project_root() / "rules" / "sigma", *stack.settings.rules, tmp_path / "added.yml"]
    build_pack(rules, registry_of(stack.settings), on_too_few=lambda _: None).write(tmp_path / "larger.pack")
    return tmp_path / "larger.pack"


def test_rules_change_while_events_flow(stack: RunningStack, larger: Path) -> None:
    before, job, before_failures = settled_accounts(stack), stack.job(), failures(stack)
    begun = now_ms()
    probe(stack, begun, "kestrel-bank", "heron-bank", "kestrel-bank")
    others = 3
    with flowing(stack, "swap") as stream:
        wait_for(lambda: stream.sent > 50)
        not_yet = stream.sent
        # A job that lags behind would put these to the new pack.
        wait_for(lambda: evaluated_since(stack, before) >= not_yet + others)
        activated = jsoc(stack, "rules", "activate", str(larger))
        assert activated.returncode == 0, activated.stderr
        in_force = stream.sent + 1
        wait_for(lambda: stream.sent > in_force + 50)
    probe(stack, begun + 10, "osprey-securities", "heron-bank", "kestrel-bank")
    others += 3
    version = activated.stdout.strip()
    assert version == read_pack(stack.settings.pack_file).version
    wait_for(lambda: evaluated_since(stack, before) == stream.sent + others)
    # A window that was half full when the rules changed: its rule is the same in both packs.
    wait_for(lambda: probed(stack) == [6], lambda: probed(stack))
    wait_for(lambda: set(range(in_force, stream.sent)) <= numbers(stack, "swap"))
    found = numbers(stack, "swap")
    assert found == set(range(min(found), stream.sent)), "what is alerted is everything from some event on"
    assert not_yet <= min(found) <= in_force
    assert failures(stack) == before_failures, "taken without a restart"
    refuse_a_damaged_pack(stack, version)
    restored = jsoc(stack, "rules", "activate", "--own")
    assert restored.returncode == 0, restored.stderr
    assert stack.job() == job
    assert failures(stack) == before_failures


def refuse_a_damaged_pack(stack: RunningStack, version: str) -> None:
    good = stack.settings.pack_file.read_bytes()
    draft = stack.settings.pack_file.with_name("damaged")
    draft.write_bytes(good[:-100])
    draft.replace(stack.settings.pack_file)
    with flowing(stack, "damaged") as stream:
        wait_for(lambda: any(report.refused and report.version == version for report in pack_reports(stack)))
        noticed = stream.sent
        wait_for(lambda: stream.sent > noticed + 20)

    def told() -> bool:
        job = stack.status()["job"]
        return (job.state, job.packs) == ("running", (version,)) and "the newest pack is refused" in job.problem

    wait_for(told, lambda: stack.status()["job"])
    wait_for(lambda: set(range(noticed, stream.sent)) <= numbers(stack, "damaged"))


def probe(stack: RunningStack, begun: int, *members: str) -> None:
    """One probe by each of these, from one address."""
    for number, member in enumerate(members):
        event = {
            "@timestamp": to_rfc3339(begun + number),
            "event.id": f"half-{begun + number}",
            "event.action": "probe",
            "source.ip": PROBER,
            "jointsoc.logsource.product": "jointsoc",
            "jointsoc.logsource.service": "e2e",
        }
        producer = open_producer(stack.kafka(member), linger_ms=0)
        producer.send(f"events.{member}", value=orjson.dumps(event)).get(60)
        producer.close()


def probed(stack: RunningStack) -> list[int]:
    """Hits of the prober's alerts."""
    alerts = [each["jointsoc"] for each in stack.alerts(rule_names={"E2E probes at several institutions"})]
    return [each["events"] for each in alerts if each["group_by"]["source.ip"] == PROBER]


def failures(stack: RunningStack) -> int:
    """How often the job has failed and been restarted since it was submitted."""
    job = stack.job()
    assert job is not None
    with urllib.request.urlopen(f"{stack.settings.flink_url}/jobs/{job.id}/exceptions") as answer:
        return len(json.load(answer)["exceptionHistory"]["entries"])


def evaluated_since(stack: RunningStack, before: Accounts) -> int:
    total = 0
    for key, account in accounts(stack).items():
        old = before.get(key)
        total += account.evaluated - (old.evaluated if old else 0)
    return total


def numbers(stack: RunningStack, name: str) -> set[int]:
    """Which of a stream's events have an alert in Elasticsearch."""
    alerts = stack.alerts(rule_names={"Added while events flow"})
    ids = [item["event_id"].partition("-") for each in alerts for item in each["jointsoc"]["evidence"]]
    return {int(number) for stream, _, number in ids if stream == name}
