"""`jsoc forward conform`: what the centre makes of what another shipper writes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import click
from kafka import TopicPartition
from kafka.errors import KafkaError
from pydantic import BaseModel, ConfigDict

from connectors.forwarder.conform import Conformance, conformance
from connectors.kafka import open_consumer
from connectors.located_yaml import LocatedYaml
from connectors.settings import KafkaConnection
from schemas.errors import ConfigError, ConnectionError_
from schemas.event import Origin
from schemas.member import TOPIC_PREFIX
from schemas.tick import TICK_HEADER
from schemas.times import now_ms

POLL_MS: Final = 500
WAIT_SECONDS: Final = 15.0


class _Reader(BaseModel):
    """Any configuration with a `kafka:` part."""

    model_config = ConfigDict(extra="ignore")

    kafka: KafkaConnection


@click.command()
@click.argument("source", metavar="TOPIC|FILE|-")
@click.option("--config", type=click.Path(path_type=Path), help="For a topic: a YAML file whose `kafka` may read it.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=1000, show_default=True, help="Newest records.")
def conform(source: str, config: Path | None, limit: int) -> int:
    """Say what the centre makes of events that Filebeat, Vector, Fluent Bit, Logstash or a program writes.

    A member may not read its own topic: try the shipper's output in a FILE (or `-`, stdin) first, and ask the centre
    to run it on the topic. Exit code 0: every line is an event with a log source; 1: not so.

    \b
    Example:
      jsoc forward conform shipped.ndjson
      jsoc forward conform events.kestrel-bank --config pipeline.yml
    """
    found = conformance(_records(source, config, limit))
    _show(found)
    return 0 if found.conforms else 1


def _records(source: str, config: Path | None, limit: int) -> Iterator[tuple[bytes, Origin]]:
    if source.startswith(TOPIC_PREFIX) and not Path(source).exists():
        if config is None:
            raise ConfigError("--config", "needed to read a topic")
        return _from_topic(LocatedYaml(config).read_as(_Reader).kafka, source, limit)
    return _from_file(source, limit)


def _from_file(source: str, limit: int) -> Iterator[tuple[bytes, Origin]]:
    try:
        with click.open_file(source, "rb") as file:
            yield from _lines(file, limit)
    except OSError as error:
        raise ConfigError(source, f"cannot be read: {error.strerror}") from error


def _lines(file: IO[bytes], limit: int) -> Iterator[tuple[bytes, Origin]]:
    for number, line in enumerate(file):
        if number >= limit:
            return
        yield line.rstrip(b"\r\n"), Origin(TOPIC_PREFIX + "sample", 0, number, now_ms())


def _from_topic(connection: KafkaConnection, topic: str, limit: int) -> Iterator[tuple[bytes, Origin]]:
    consumer = open_consumer(connection, group_id=None)
    try:
        numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            raise ConfigError(topic, "not there, or not for this user to read")
        partitions = [TopicPartition(topic, number) for number in numbers]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        starts = consumer.beginning_offsets(partitions)
        for place in partitions:
            consumer.seek(place, max(starts[place], ends[place] - limit))
        deadline = time.monotonic() + WAIT_SECONDS
        while any(consumer.position(place) < ends[place] for place in partitions) and time.monotonic() < deadline:
            for records in consumer.poll(timeout_ms=POLL_MS).values():
                for record in records:
                    if not any(name == TICK_HEADER for name, _ in record.headers):
                        yield record.value or b"", Origin(topic, record.partition, record.offset, record.timestamp)
    except KafkaError as error:
        raise ConnectionError_(topic, f"cannot be read ({type(error).__name__})") from error
    finally:
        consumer.close()


def _show(found: Conformance) -> None:
    click.echo(f"{found.lines} lines, {found.events} events")
    for source, count in found.sources.most_common():
        click.echo(f"{count:>7}  log source {source}")
    for reason, count in found.rejected.most_common():
        click.secho(f"{count:>7}  dead letters: {reason}", fg="red")
        for example in found.examples[reason]:
            click.echo(f"           {example}")
    for advice, count in found.advice.most_common():
        if count:
            click.secho(f"{count:>7}  {advice}", fg="yellow")
    if not found.lines:
        click.echo("Nothing to look at.", err=True)
