"""Members that are silent, slow, or of the wrong time: they hold nobody up, and move nobody on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import orjson
import pytest

from connectors.kafka import open_producer
from schemas.health import PartitionAccount
from schemas.times import now_ms, to_rfc3339
from tests.conditions import wait_for
from tests.e2e.accounts import Accounts, accounts, settled_accounts
from tests.running_stack import LATENESS, RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

RULE = "E2E a few knocks and no more"
DAY = 86_400_000
AHEAD, BEHIND, SLOW, ON_TIME = "merlin-payments", "osprey-securities", "heron-life", "kestrel-bank"
"""`heron-bank` says nothing at all."""


def knocks(address: str, name: str, times: Sequence[int]) -> Iterator[bytes]:
    """Knocks from an address at these times (ms)."""
    for number, time in enumerate(times):
        event = {
            "@timestamp": to_rfc3339(time),
            "event.id": f"{name}-{number}",
            "event.action": "knock",
            "source.ip": address,
            "jointsoc.logsource.product": "jointsoc",
            "jointsoc.logsource.service": "e2e",
        }
        yield orjson.dumps(event)


def send(stack: RunningStack, member: str, lines: Iterator[bytes]) -> None:
    producer = open_producer(stack.kafka(member), linger_ms=0)
    for future in [producer.send(f"events.{member}", value=line) for line in lines]:
        future.get(timeout=60)
    producer.close()


def test_a_silent_a_slow_and_two_wrong_clocks_neither_hold_up_nor_move_on_the_others(stack: RunningStack) -> None:
    before = settled_accounts(stack)
    for round_ in ("first", "second"):  # the second is put to whatever the wrong clocks of the first have moved
        now = now_ms()
        send(stack, AHEAD, knocks("198.51.100.1", f"ahead-{round_}", [now + DAY] * 2))
        send(stack, BEHIND, knocks("198.51.100.2", f"behind-{round_}", [now - DAY] * 3))
        send(stack, SLOW, knocks("198.51.100.3", f"slow-{round_}", [now - LATENESS * 1000 + 60_000] * 3))
        address = f"198.51.100.{10 if round_ == 'first' else 11}"
        send(stack, ON_TIME, knocks(address, f"on-time-{round_}", [now_ms()] * 3))
        # An upper bound is told only when the settle line has come past it: five seconds behind the slowest partition.
        wait_for(lambda address=address: counts(stack).get(address) == 3, lambda: counts(stack), 90)  # type: ignore[misc]
    assert counts(stack).keys() == {"198.51.100.10", "198.51.100.11"}
    wait_for(lambda: since(before, accounts(stack), ON_TIME, "evaluated") == 6)
    after = accounts(stack)
    told = {
        member: [since(before, after, member, counter) for counter in ("evaluated", "clock_ahead", "late")]
        for member in (AHEAD, BEHIND, SLOW, ON_TIME)
    }
    assert told == {AHEAD: [4, 4, 0], BEHIND: [6, 0, 6], SLOW: [6, 0, 0], ON_TIME: [6, 0, 0]}
    assert late_for_rule(after, SLOW) - late_for_rule(before, SLOW) == 6
    assert late_for_rule(after, ON_TIME) == late_for_rule(before, ON_TIME)


def counts(stack: RunningStack) -> dict[str, int]:
    """Address -> hits of its alert."""
    return {
        one["jointsoc"]["group_by"]["source.ip"]: one["jointsoc"]["events"] for one in stack.alerts(rule_names={RULE})
    }


def of(found: Accounts, member: str) -> list[PartitionAccount]:
    return [account for (topic, _), account in found.items() if topic == f"events.{member}"]


def since(before: Accounts, after: Accounts, member: str, counter: str) -> int:
    return sum(getattr(one, counter) for one in of(after, member)) - sum(
        getattr(one, counter) for one in of(before, member)
    )


def late_for_rule(found: Accounts, member: str) -> int:
    return sum(
        left.count for account in of(found, member) for left in account.not_counted if left.reason == "late_for_rule"
    )
