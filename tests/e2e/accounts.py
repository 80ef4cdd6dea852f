"""What the job says became of every line it read."""

from __future__ import annotations

from contextlib import suppress

from kafka import TopicPartition
from pydantic import ValidationError

from connectors.kafka import open_consumer
from deploy.local.kafka_access import ADMIN
from schemas.health import PackReport, PartitionAccount, health_from_json
from tests.conditions import wait_for
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


def settled_accounts(stack: RunningStack) -> Accounts:
    """The accounts once they tell of all that was sent until now: they come some seconds after the dead letters."""
    sent = ends_of_events(stack)
    told: Accounts = {}

    def behind() -> dict[tuple[str, int], int]:
        told.update(accounts(stack))
        return {key: end for key, end in sent.items() if end and (key not in told or told[key].next_offset < end)}

    wait_for(lambda: not behind(), behind)
    return told


def ends_of_events(stack: RunningStack) -> dict[tuple[str, int], int]:
    """The offset after the last record of each partition of the members' topics."""
    consumer = open_consumer(stack.kafka(ADMIN), group_id=None)
    partitions = [
        TopicPartition(topic, number)
        for topic in (f"events.{member}" for member in stack.members)
        for number in sorted(consumer.partitions_for_topic(topic) or ())
    ]
    ends = {(each.topic, each.partition): end for each, end in consumer.end_offsets(partitions).items()}
    consumer.close()
    return ends


def pack_reports(stack: RunningStack) -> list[PackReport]:
    """Every pack that a worker took or refused, oldest first."""
    found = []
    for value in stack.records("health"):
        with suppress(ValidationError):
            message = health_from_json(value)
            if isinstance(message, PackReport):
                found.append(message)
    return found
