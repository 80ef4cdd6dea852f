"""Kafka `alerts` -> Elasticsearch: the newest revision of each alert wins; offsets are committed once it is stored."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Final, Literal, Protocol, TypeVar

import structlog
from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError
from pydantic import BaseModel, ConfigDict, Field

from connectors.acknowledged_sender import AcknowledgedSender
from connectors.alert_index import read_alert
from connectors.alert_store import AlertStore, Document, Refusal
from connectors.elasticsearch import open_client
from connectors.kafka import SERVICE_BLOCK_MS, open_consumer, open_producer
from connectors.patience import Patience, Stopped
from connectors.settings import ElasticsearchConnection, KafkaConnection
from schemas.alert import Alert
from schemas.dead_letter import dead_letter_of
from schemas.errors import ConnectionError_, EventError
from schemas.event import Origin, Rejected
from schemas.finding import finding_id
from schemas.index_template import index_of, member_index_of, shared_index_of
from schemas.member_part import part_of
from schemas.shared_part import shared_part_of

log = structlog.get_logger()
Opened = TypeVar("Opened")
Audience = Literal["members", "shared"]

ALERTS_TOPIC: Final = "alerts"
INDEXER_GROUP: Final = "indexer"
DEAD_LETTERS_TOPIC: Final = "dead-letters"
MAX_LETTER_BYTES: Final = 8 * 1024 * 1024
"""A letter holds its record in base64, a third larger than what the broker took."""
POLL_MS: Final = 100
MAX_POLL_RECORDS: Final = 2000


class IndexerSettings(BaseModel):
    """Configuration of the indexer process."""

    model_config = ConfigDict(extra="forbid")

    kafka: KafkaConnection
    elasticsearch: ElasticsearchConnection
    group: str = INDEXER_GROUP
    member_indices: bool = Field(
        default=False, description="also keep each member's part of alerts in an index of its own, alerts-member.<id>.*"
    )
    shared_index: bool = Field(
        default=False, description="also keep what all members may see of alerts, in alerts-shared-*"
    )
    keep_days: int | None = Field(
        default=None,
        ge=31,
        description="remove an index when its last alert is so old, where Elasticsearch has ILM; default: never",
    )

    @property
    def audiences(self) -> frozenset[Audience]:
        """For whom indices are kept, beside the centre."""
        wanted: dict[Audience, bool] = {"members": self.member_indices, "shared": self.shared_index}
        return frozenset(audience for audience, is_wanted in wanted.items() if is_wanted)


class Record(Protocol):
    """What the indexer reads of a Kafka record."""

    @property
    def topic(self) -> str:
        """Its topic."""

    @property
    def partition(self) -> int:
        """Its partition."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""

    @property
    def timestamp(self) -> int:
        """When the broker appended it, ms."""

    @property
    def value(self) -> bytes | None:
        """One alert revision, JSON."""


def run_indexer(settings: IndexerSettings, stop: threading.Event) -> None:
    """Index alerts until told to stop; servers that are away are waited for.

    Delivery is at least once and storing is idempotent by (id, revision): after any crash the index ends up the same.

    Raises:
        ConfigError: a password file cannot be read.
    """
    client = open_client(settings.elasticsearch, request_timeout=30)
    store = AlertStore(client, settings.elasticsearch, Patience(stop), settings.keep_days)
    try:
        with ExitStack() as parts:
            parts.callback(client.close)
            sender = AcknowledgedSender(lambda: _open_producer(settings))
            parts.callback(sender.close)
            consumer = _patiently(lambda: _open_consumer(settings), Patience(stop))
            parts.callback(consumer.close, autocommit=False)
            log.info("indexer.started", topic=ALERTS_TOPIC, elasticsearch=settings.elasticsearch.url)
            _run(consumer, sender, store, stop, settings.audiences)
    except Stopped:
        log.info("indexer.stopped_while_waiting")


def _open_producer(settings: IndexerSettings) -> KafkaProducer:
    options = {"linger_ms": 0, "max_request_size": MAX_LETTER_BYTES, "max_block_ms": SERVICE_BLOCK_MS}
    return open_producer(settings.kafka, **options)


def _open_consumer(settings: IndexerSettings) -> KafkaConsumer:
    return open_consumer(settings.kafka, ALERTS_TOPIC, group_id=settings.group, max_poll_records=MAX_POLL_RECORDS)


def _patiently(open_one: Callable[[], Opened], patience: Patience) -> Opened:
    while True:
        try:
            return open_one()
        except ConnectionError_ as error:
            if patience.failed():
                log.warning("indexer.waiting_for_kafka", why=str(error), tries=patience.tries)
            patience.wait()


def _run(
    consumer: KafkaConsumer,
    sender: AcknowledgedSender,
    store: AlertStore,
    stop: threading.Event,
    audiences: frozenset[Audience],
) -> None:
    patience = Patience(stop)
    while not stop.is_set():
        try:
            batches = consumer.poll(timeout_ms=POLL_MS)
        except KafkaError as error:
            if patience.failed():
                log.warning("indexer.cannot_read", error=type(error).__name__, tries=patience.tries)
            patience.wait()
            continue
        patience.over()
        if batches:
            records = [record for batch in batches.values() for record in batch]
            resolve(records, store, sender, Patience(stop), audiences)
            _commit(consumer)


def resolve(
    records: Iterable[Record],
    store: AlertStore,
    sender: AcknowledgedSender,
    patience: Patience,
    audiences: frozenset[Audience] = frozenset(),
) -> None:
    """Bring every record to its end: stored, outrun by a newer revision, or a dead letter that Kafka acknowledged.

    Raises:
        Stopped: the process must end; the records are not resolved.
    """
    documents, rejected = read_records(records, audiences)
    rejected += [_rejected(refusal) for refusal in store.put(documents)]
    send_letters(rejected, sender, patience)


def read_records(
    records: Iterable[Record], audiences: frozenset[Audience] = frozenset()
) -> tuple[list[Document], list[Rejected]]:
    """The alert revisions among the records, what others may see of them where asked, and what is not one."""
    documents: list[Document] = []
    rejected: list[Rejected] = []
    for record in records:
        origin = Origin(record.topic, record.partition, record.offset, record.timestamp)
        raw = record.value or b""
        try:
            alert = read_alert(raw, f"{record.topic}/{record.partition}/{record.offset}")
            index = index_of(alert.id)
            parts = [*_parts(alert, raw, origin)] if "members" in audiences else []
            parts += [*_shared(alert, raw, origin)] if "shared" in audiences else []
        except EventError as error:
            rejected.append(Rejected(raw, origin, 0, "index-refused", str(error)))
            continue
        # A bulk request is lines: what was written over several is written again.
        source = alert.to_json() if b"\n" in raw or b"\r" in raw else raw
        documents.append(Document(index, alert.id, alert.jointsoc.alert.revision, source, raw, origin))
        documents += parts
    return documents, rejected


def _parts(alert: Alert, raw: bytes, origin: Origin) -> Iterator[Document]:
    """Each member's part, in that member's index.

    Raises:
        EventError: a member's id is not one.
    """
    for member in dict.fromkeys(hit.id for hit in alert.jointsoc.members):
        index = member_index_of(alert.id, member)
        if (part := part_of(alert, member)) is not None:
            revision = alert.jointsoc.alert.revision
            yield Document(index, finding_id(alert.id, member), revision, part.to_json(), raw, origin)


def _shared(alert: Alert, raw: bytes, origin: Origin) -> Iterator[Document]:
    """What all members may see; its id is neither the alert's own nor that of a part: no member's id holds a dot."""
    if (part := shared_part_of(alert)) is not None:
        revision = alert.jointsoc.alert.revision
        yield Document(shared_index_of(alert.id), f"{alert.id}.shared", revision, part.to_json(), raw, origin)


def send_letters(rejected: list[Rejected], sender: AcknowledgedSender, patience: Patience) -> None:
    """Write dead letters and wait until the broker has them all.

    Raises:
        Stopped: the process must end before that.
    """
    letters = [dead_letter_of(one) for one in rejected]
    for letter in letters:
        log.warning("indexer.dead_letter", place=letter.key, detail=letter.detail)
    records = [
        {"topic": DEAD_LETTERS_TOPIC, "key": letter.key.encode(), "value": letter.to_json()} for letter in letters
    ]
    while records:
        try:
            sender.send(records)
            return
        except ConnectionError_ as error:
            if patience.failed():
                log.warning("indexer.cannot_write_dead_letters", why=str(error), tries=patience.tries)
            patience.wait()


def _rejected(refusal: Refusal) -> Rejected:
    document = refusal.document
    return Rejected(document.raw, document.origin, 0, "index-refused", refusal.detail)


def _commit(consumer: KafkaConsumer) -> None:
    try:
        consumer.commit()
    except KafkaError as error:  # the records come again, and storing them again changes nothing
        log.warning("indexer.commit_failed", error=type(error).__name__)
