"""Making the alert indices anew from Kafka. What people wrote stands in indices of its own and is never touched.

An index is removed first, so that it gets today's mapping, unless it holds an alert that Kafka may not hold any more:
then it stays, and what Kafka holds is written over it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from elasticsearch import Elasticsearch
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from connectors.alert_index import read_alert
from connectors.alert_store import AlertStore
from connectors.elasticsearch import open_client, translated
from connectors.indexer import ALERTS_TOPIC, MAX_POLL_RECORDS, POLL_MS, IndexerSettings, Record, read_records
from connectors.kafka import open_consumer
from connectors.patience import Patience
from schemas.errors import ConnectionError_, EventError
from schemas.index_template import AUDIENCES_PATTERN, CENTRE_PREFIX, month_of
from schemas.times import now_ms, to_rfc3339

log = structlog.get_logger()

NOTHING_EXPIRED: Final = ""
"""The horizon while Kafka still holds every alert there ever was: no time is earlier."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was done.

    Attributes:
        records: alert revisions read from Kafka.
        refused: those that no index takes; each became a dead letter when the indexer first met it.
        removed: indices that were removed and made anew.
        kept: indices that hold alerts that Kafka may not hold any more, and were written over.
    """

    records: int
    refused: int
    removed: tuple[str, ...]
    kept: tuple[str, ...]


def rebuild(settings: IndexerSettings, observe: Callable[[int, int], None], stop: threading.Event) -> Rebuilt:
    """Make the indices anew; the indexer may run meanwhile, since the newest revision wins whoever writes it.

    Cut off, it has to be run again: until then alerts may be missing.

    Args:
        settings: as the indexer's, with a user that may also read and remove indices.
        observe: told of the records read and of how many there are.
        stop: ends it at the next record.

    Raises:
        ConnectionError_: a server is away or refuses.
        Stopped: told to stop.
    """
    client = open_client(settings.elasticsearch, request_timeout=60)
    try:
        consumer = open_consumer(settings.kafka, max_poll_records=MAX_POLL_RECORDS)
        try:
            with translated(settings.elasticsearch):
                removed, kept = _make_room(client, _horizon(consumer))
            store = AlertStore(client, settings.elasticsearch, Patience(stop), settings.keep_days)
            records, refused = _write_all(consumer, store, settings, observe)
        except KafkaError as error:
            where = f"kafka {','.join(settings.kafka.bootstrap_servers)}"
            hint = "run it again when the broker is back"
            raise ConnectionError_(where, f"stopped answering ({type(error).__name__})", hint=hint) from error
        finally:
            consumer.close()
    finally:
        client.close()
    return Rebuilt(records, refused, removed, kept)


def to_remove(indices: Sequence[str], older: Mapping[str, int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which indices can be made anew, and which must stay: a month stays or goes for all audiences.

    Args:
        indices: names.
        older: centre's index -> number of alerts in it that Kafka may not hold any more.

    >>> to_remove(["alerts-centre-2026.10", "alerts-centre-2026.11", "alerts-member.a-bank.2026.10"],
    ...           {"alerts-centre-2026.10": 1, "alerts-centre-2026.11": 0})
    (('alerts-centre-2026.11',), ('alerts-centre-2026.10', 'alerts-member.a-bank.2026.10'))
    """
    months = {month_of(name) for name, count in older.items() if count}
    kept = tuple(name for name in sorted(indices) if month_of(name) in months)
    return tuple(name for name in sorted(indices) if name not in kept), kept


def _make_room(client: Elasticsearch, horizon: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    names = list(client.indices.get(index=AUDIENCES_PATTERN, ignore_unavailable=True).body)
    before = {"range": {"event.created": {"lt": horizon}}}
    older = {
        name: int(client.count(index=name, query=before)["count"]) if horizon else 0
        for name in names
        if name.startswith(CENTRE_PREFIX)
    }
    removed, kept = to_remove(names, older)
    for name in removed:
        client.indices.delete(index=name, ignore_unavailable=True)
        log.info("rebuild.removed", index=name)
    return removed, kept


def _horizon(consumer: KafkaConsumer) -> str:
    """When the oldest alert that is surely still in the topic was made, RFC 3339.

    Within a partition records stand in the order in which they were made: what was made after its first one is there.
    A partition from which all have expired proves nothing.
    """
    places = _places(consumer)
    begins, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
    expired = [place for place in places if begins[place] > 0]
    return max((_made_first(consumer, place, ends[place]) for place in expired), default=NOTHING_EXPIRED)


def _made_first(consumer: KafkaConsumer, place: TopicPartition, end: int) -> str:
    consumer.assign([place])
    consumer.seek_to_beginning(place)
    while consumer.position(place) < end:
        for record in (one for batch in consumer.poll(timeout_ms=POLL_MS).values() for one in batch):
            try:
                return read_alert(record.value or b"", str(place)).event.created
            except EventError:
                continue
    return to_rfc3339(now_ms())


def _write_all(
    consumer: KafkaConsumer, store: AlertStore, settings: IndexerSettings, observe: Callable[[int, int], None]
) -> tuple[int, int]:
    places = _places(consumer)
    begins, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    whole, done, refused = sum(ends.values()) - sum(begins.values()), 0, 0
    while any(consumer.position(place) < ends[place] for place in places):
        batches: dict[Any, list[Record]] = consumer.poll(timeout_ms=POLL_MS)
        records = [record for batch in batches.values() for record in batch]
        documents, rejected = read_records(records, settings.audiences)
        refused += len(rejected) + len(store.put(documents))
        done += len(records)
        observe(done, whole)
    return done, refused


def _places(consumer: KafkaConsumer) -> list[TopicPartition]:
    return [
        TopicPartition(ALERTS_TOPIC, number) for number in sorted(consumer.partitions_for_topic(ALERTS_TOPIC) or ())
    ]
