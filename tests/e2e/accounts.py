"""What the job says became of every line it read."""

from __future__ import annotations

from contextlib import suppress

from pydantic import ValidationError

from schemas.health import PackReport, PartitionAccount, health_from_json
from tests.running_stack import RunningStack

Accounts = dict[tuple[str, int], PartitionAccount]


def accounts(stack: RunningStack) -> Accounts:
    """The newest account of each partition."""
    newest: Accounts = {}
    for value in stack.records("health"):
        with suppress(ValidationError):  # other tests write nonsense
            message = health_from_json(value)
            if isinstance(message, PartitionAccount):
                newest[message.topic, message.partition] = message
    return newest


def pack_reports(stack: RunningStack) -> list[PackReport]:
    """Every pack that a worker took or refused, oldest first."""
    found = []
    for value in stack.records("health"):
        with suppress(ValidationError):
            message = health_from_json(value)
            if isinstance(message, PackReport):
                found.append(message)
    return found
