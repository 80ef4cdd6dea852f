"""The proof: whatever is killed in mid-stream, the alerts and the accounts end up as if nothing had happened."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from connectors.kafka import open_producer
from deploy.local.configuration import registry_of
from pipeline.rulepack import build_pack
from schemas.alert import Alert
from schemas.member import MemberRegistry
from schemas.times import from_rfc3339, now_ms
from tests.conditions import wait_for
from tests.e2e.accounts import Accounts, accounts, settled_accounts
from tests.e2e.campaign import Campaign
from tests.local_centre import Arrival, LocalCentre

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1500)]

RULES = {"E2E probes at several institutions", "E2E probe that alerts by itself"}
E2E_RULES = Path(__file__).parent / "rules"
CONVERGES_WITHIN_S = 420


@pytest.fixture(scope="module")
def members(stack: Any) -> tuple[str, ...]:
    return tuple(stack.members)


def test_after_every_crash_the_alerts_are_those_of_an_undisturbed_run(stack: Any, members: tuple[str, ...]) -> None:
    before = settled_accounts(stack)
    calm = Campaign(1, now_ms(), members)
    send(stack, calm)
    stormy = Campaign(2, now_ms(), members)
    with disturbances(
        (4, lambda: stack.kill("taskmanager-1")),
        (6, lambda: stack.start("taskmanager-1")),
        (12, lambda: stack.restart("kafka")),
        (20, lambda: stack.outage("elasticsearch", seconds=30)),
    ):
        send(stack, stormy)
    expected = converged(stack, calm)
    assert len(expected) > 10, "the campaign is too tame to prove anything"
    assert converged(stack, stormy) == expected
    check_accounts(stack, before, (calm, stormy))


def test_workers_killed_at_random_leave_no_alert_behind_and_lose_none(stack: Any, members: tuple[str, ...]) -> None:
    seed = random.randrange(1 << 32)
    draw, before = random.Random(seed), settled_accounts(stack)
    plan = sorted(
        ((draw.uniform(1, 28), draw.choice((crash_taskmanager, crash_python))) for _ in range(4)), key=itemgetter(0)
    )
    campaign = Campaign(4, now_ms(), members)
    with disturbances(*[(second, partial(crash, stack)) for second, crash in plan]):
        send(stack, campaign)
    try:
        converged(stack, campaign)
        check_accounts(stack, before, (campaign,))
    except AssertionError as error:
        error.add_note(f"seed {seed}: {[(round(second, 1), crash.__name__) for second, crash in plan]}")
        raise


def crash_taskmanager(stack: Any) -> None:
    """Its Python workers are orphans until another takes its place."""
    stack.kill("taskmanager-1")
    stack.start("taskmanager-1")


def crash_python(stack: Any) -> None:
    """One of the TaskManager's Python workers, each stage has its own; Flink itself starts the job anew."""
    workers = stack.python_workers()
    if workers:  # none while the job is being restarted
        with suppress(psutil.NoSuchProcess):  # restarted in this very moment
            random.choice(workers).kill()


def test_every_broken_line_is_a_dead_letter_with_a_reason(stack: Any, members: tuple[str, ...]) -> None:
    campaign = Campaign(3, now_ms(), members)
    broken = Counter(item.line for item in campaign.lines() if item.dead)
    before = Counter(letter.raw_bytes() for letter in stack.dead_letters())
    producers = {member: open_producer(stack.kafka(member)) for member in members}
    for item in campaign.lines():
        if item.dead:
            producers[item.member].send(f"events.{item.member}", value=item.line)
    for producer in producers.values():
        producer.close()
    wait_for(lambda: Counter(letter.raw_bytes() for letter in stack.dead_letters()) - before == broken)
    reasons = Counter(letter.reason for letter in stack.dead_letters())
    assert {"not-json", "not-utf8", "not-an-object", "bad-timestamp", "foreign-organization"} <= set(reasons)
    assert all(letter.security == (letter.reason == "foreign-organization") for letter in stack.dead_letters())


def send(stack: Any, campaign: Campaign) -> None:
    """Send each line at its time; a producer that waits for the broker sends later, and loses nothing."""
    producers = {member: open_producer(stack.kafka(member), delivery_timeout_ms=300_000) for member in campaign.members}
    by_member = {member: [item for item in campaign.lines() if item.member == member] for member in campaign.members}

    def run(member: str) -> None:
        futures = []
        for item in by_member[member]:
            time.sleep(max(0.0, (campaign.start + item.at - now_ms()) / 1000))
            futures.append(producers[member].send(f"events.{member}", value=item.line))
        for future in futures:
            future.get(timeout=300)

    with ThreadPoolExecutor(len(campaign.members)) as pool:
        list(pool.map(run, campaign.members))
    for producer in producers.values():
        producer.close()


@contextmanager
def disturbances(*plan: tuple[float, Callable[[], object]]) -> Iterator[None]:
    """Cause each fault at its second; leaving waits until all are over, and raises what failed."""
    begun = time.monotonic()
    stop = threading.Event()

    def run() -> None:
        for second, fault in plan:
            if stop.wait(max(0.0, begun + second - time.monotonic())):
                return
            fault()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run)
        try:
            yield
        except BaseException:
            stop.set()
            raise
        future.result(timeout=400)


def converged(stack: Any, campaign: Campaign) -> list[dict[str, Any]]:
    """The campaign's alerts in Elasticsearch once they are what the pure code makes of its events.

    Raises:
        AssertionError: they do not become so; names what was lost and what was invented.
    """
    expected = derived(campaign, registry_of(stack.settings))
    found: list[dict[str, Any]] = []

    def equal() -> bool:
        alerts = [Alert.model_validate(document) for document in stack.alerts(rule_names=RULES)]
        standing = [each for each in alerts if each.jointsoc.alert.state != "superseded" and _belongs(each, campaign)]
        found[:] = sorted((_comparable(alert, campaign) for alert in standing), key=repr)
        return found == expected

    def difference() -> str:
        lost = [each for each in expected if each not in found]
        invented = [each for each in found if each not in expected]
        return f"lost {lost}, invented {invented}, accounts {accounts(stack)}"

    wait_for(equal, difference, CONVERGES_WITHIN_S)
    return found


def derived(campaign: Campaign, registry: MemberRegistry) -> list[dict[str, Any]]:
    """What the same events give without Kafka and Flink, in another order and with repeats.

    The registry is the stack's own: other tests may have added members before.
    """
    centre = LocalCentre(build_pack([E2E_RULES], registry))
    events = [item for item in campaign.lines() if not item.dead]
    random.Random(3).shuffle(events)
    centre.take(
        Arrival(campaign.start + item.at, item.member, orjson.loads(item.line)) for item in [*events, *events[:100]]
    )
    centre.settle()
    return sorted((_comparable(alert, campaign) for alert in centre.standing()), key=repr)


def _belongs(alert: Alert, campaign: Campaign) -> bool:
    return all(item.event_id.startswith(f"{campaign.number}-") for item in alert.jointsoc.evidence)


def _comparable(alert: Alert, campaign: Campaign) -> dict[str, Any]:
    def since(stamp: str) -> int:
        return from_rfc3339(stamp) - campaign.start

    joint = alert.jointsoc
    return {
        "rule": alert.rule.uuid,
        "at": (since(alert.timestamp), since(alert.event.start), since(alert.event.end)),
        "level": joint.alert.level,
        "counts": (joint.events, joint.groups),
        "members": [(m.id, m.group, since(m.first_seen), since(m.last_seen), m.count) for m in joint.members],
        "evidence": sorted((item.member, item.event_id.partition("-")[2], since(item.time)) for item in joint.evidence),
    }


def check_accounts(stack: Any, before: Accounts, campaigns: tuple[Campaign, ...]) -> None:
    """Every line sent since `before` was evaluated or is dead, exactly once; every offset was read."""
    lines, dead = Counter[str](), Counter[str]()
    for campaign in campaigns:
        for item in campaign.lines():
            lines[item.member] += 1
            dead[item.member] += item.dead

    def totals() -> tuple[Counter[str], Counter[str]]:
        seen, refused = Counter[str](), Counter[str]()
        for key, account in accounts(stack).items():
            assert account.lines == account.evaluated + account.dead
            old = before.get(key)
            member = account.topic.removeprefix("events.")
            seen[member] += account.lines - (old.lines if old else 0)
            refused[member] += account.dead - (old.dead if old else 0)
        return +seen, +refused

    wait_for(lambda: totals() == (+lines, +dead), totals)
