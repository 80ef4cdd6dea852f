from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from elasticsearch import ConnectionError as NoConnection
from kafka.errors import KafkaTimeoutError

from connectors.acknowledged_sender import AcknowledgedSender
from connectors.indexer import IndexerSettings, read_records, resolve, run_indexer, send_letters
from connectors.patience import Patience, Stopped
from connectors.settings import ElasticsearchConnection, KafkaConnection
from schemas.alert import Alert, SharePolicy
from schemas.errors import ConnectionError_
from schemas.event import Origin, Rejected
from tests.alert_samples import alert_id, make_alert
from tests.connectors.elasticsearch_double import ElasticsearchDouble
from tests.connectors.test_alert_store import store_with


@dataclass
class Record:
    value: bytes | None
    offset: int = 0
    topic: str = "alerts"
    partition: int = 1
    timestamp: int = 1_795_435_200_000


class Future:
    def __init__(self, error: Exception | None) -> None:
        self._error = error

    def get(self, timeout: float) -> None:
        if self._error:
            raise self._error


@dataclass
class ProducerDouble:
    failures: int = 0
    closed: int = 0
    sent: list[tuple[str, bytes, dict[str, Any]]] = field(default_factory=list)

    def send(self, topic: str, *, key: bytes, value: bytes) -> Future:
        if self.failures:
            self.failures -= 1
            return Future(KafkaTimeoutError("away"))
        self.sent.append((topic, key, orjson.loads(value)))
        return Future(None)

    def flush(self, timeout: float) -> None:
        pass

    def close(self, timeout: float) -> None:
        self.closed += 1


def sender(producer: ProducerDouble) -> AcknowledgedSender:
    return AcknowledgedSender(lambda: producer)


def no_hurry() -> Patience:
    return Patience(threading.Event())


def changed(alert: Alert, **values: Any) -> bytes:
    return orjson.dumps(orjson.loads(alert.to_json()) | values)


def test_an_alert_becomes_a_document_with_its_own_id_index_revision_and_bytes() -> None:
    alert = make_alert(revision=5)
    documents, rejected = read_records([Record(alert.to_json(), offset=9)])
    assert rejected == []
    assert len(documents) == 1
    one = documents[0]
    assert (one.index, one.id, one.revision) == ("alerts-centre-2026.11", alert.id, 5)
    assert one.source == alert.to_json()
    assert one.origin == Origin("alerts", 1, 9, 1_795_435_200_000)


def test_each_member_hit_has_its_part_in_an_index_of_its_own_where_that_is_asked_for() -> None:
    alert = make_alert(revision=5)
    record = Record(alert.to_json())
    documents, rejected = read_records([record], frozenset({"members"}))
    assert rejected == []
    assert [(document.index, document.id, document.revision) for document in documents] == [
        ("alerts-centre-2026.11", alert.id, 5),
        ("alerts-member.aurora-bank.2026.11", f"{alert.id}-aurora-bank", 5),
        ("alerts-member.meridian-bank.2026.11", f"{alert.id}-meridian-bank", 5),
    ]
    assert b"meridian" not in documents[1].source
    assert b"aurora" not in documents[2].source
    assert read_records([record])[0] == documents[:1]


def test_what_all_members_may_see_has_an_index_of_its_own_where_that_is_asked_for() -> None:
    alert = make_alert(revision=5)
    shared = alert.model_copy(deep=True)
    shared.jointsoc.share = SharePolicy(k=2, tlp="green")
    documents, _ = read_records([Record(alert.to_json()), Record(shared.to_json())], frozenset({"shared"}))
    assert [(document.index, document.id, document.revision) for document in documents] == [
        ("alerts-centre-2026.11", alert.id, 5),
        ("alerts-centre-2026.11", alert.id, 5),
        ("alerts-shared-2026.11", f"{alert.id}.shared", 5),
    ]
    assert b"meridian" not in documents[2].source


def test_a_member_whose_id_names_no_index_makes_a_dead_letter_of_its_alert() -> None:
    alert = make_alert()
    alert.jointsoc.members[0].id = "../x"
    _, rejected = read_records([Record(alert.to_json())], frozenset({"members"}))
    assert "jointsoc.members: names no index" in rejected[0].detail


def test_an_alert_over_several_lines_is_stored_on_one() -> None:
    pretty = orjson.dumps(orjson.loads(make_alert().to_json()), option=orjson.OPT_INDENT_2)
    documents, _ = read_records([Record(pretty)])
    assert b"\n" not in documents[0].source
    assert orjson.loads(documents[0].source) == orjson.loads(pretty)
    assert documents[0].raw == pretty


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "not an alert"),
        (b"", "not an alert"),
        (b'{"@timestamp": "2026', "not an alert"),
        (b"\xff\xfe", "not an alert"),
        (b"[]", "not an alert"),
        (changed(make_alert(), message=5), "message"),
        (changed(make_alert(), surprise=1), "surprise"),
        (changed(make_alert(), event={"id": "x", "start": "y", "end": "z", "created": "w"}), "event.start"),
    ],
)
def test_what_is_no_alert_is_rejected_with_a_reason_and_its_bytes(value: bytes | None, reason: str) -> None:
    documents, rejected = read_records([Record(value, offset=3), Record(make_alert().to_json(), offset=4)])
    assert [one.origin.offset for one in documents] == [4]
    assert [(one.origin.offset, one.reason, one.raw) for one in rejected] == [(3, "index-refused", value or b"")]
    assert reason in rejected[0].detail


def test_an_alert_whose_id_names_no_index_is_rejected() -> None:
    alert = make_alert()
    value = orjson.loads(alert.to_json())
    value["event"]["id"] = "no-month"
    _, rejected = read_records([Record(orjson.dumps(value))])
    assert "names no index" in rejected[0].detail


def test_every_record_ends_stored_or_as_a_dead_letter() -> None:
    server, producer = ElasticsearchDouble(), ProducerDouble()
    server.refuse = lambda source: b"unindexable" in source
    store, _ = store_with(server)
    poison = make_alert("poison", message="unindexable").to_json()
    records = [
        Record(make_alert("a", revision=2).to_json(), 0),
        Record(b"{", 1),
        Record(poison, 2),
        Record(make_alert("a", revision=1).to_json(), 3),
    ]
    resolve(records, store, sender(producer), no_hurry())
    assert {name: version for name, (version, _) in server.stored.items()} == {alert_id("a"): 2}
    letters = {letter["offset"]: letter for _, _, letter in producer.sent}
    assert sorted(letters) == [1, 2]
    assert {topic for topic, _, _ in producer.sent} == {"dead-letters"}
    assert base64.b64decode(letters[2]["raw"]) == poison
    assert letters[2]["detail"] == "400 failed to parse"
    assert [key for _, key, _ in producer.sent] == [b"alerts/1/1/0", b"alerts/1/2/0"]


def test_dead_letters_are_written_again_until_the_broker_has_them() -> None:
    producer = ProducerDouble(failures=2)
    rejected = Rejected(b"x", Origin("alerts", 0, 1, 0), 0, "index-refused", "why")
    send_letters([rejected], sender(producer), no_hurry())
    assert len(producer.sent) == 1
    assert producer.closed == 2, "each time over a new connection"


def test_a_stop_while_the_broker_is_away_leaves_the_letters_unresolved() -> None:
    stop = threading.Event()
    stop.set()
    rejected = Rejected(b"x", Origin("alerts", 0, 1, 0), 0, "index-refused", "why")
    with pytest.raises(Stopped):
        send_letters([rejected], sender(ProducerDouble(failures=9)), Patience(stop))


class ConsumerDouble:
    """Hands out its batches one by one, then nothing; notes what was stored at each commit."""

    def __init__(self, batches: list[Any], server: ElasticsearchDouble) -> None:
        self._batches, self._server = batches, server
        self.commits: list[set[str]] = []
        self.commit_fails = False
        self.closed = False

    def poll(self, timeout_ms: int) -> dict[str, list[Record]]:
        batch = self._batches.pop(0) if self._batches else None
        if isinstance(batch, Exception):
            raise batch
        if batch is None:
            time.sleep(0.01)
        return {"alerts-0": batch} if batch else {}

    def commit(self) -> None:
        self.commits.append(set(self._server.stored))
        if self.commit_fails:
            raise KafkaTimeoutError("away")

    def close(self, autocommit: bool) -> None:
        self.closed = not autocommit


class Centre:
    """The indexer between two doubles, run in a thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, batches: list[Any]) -> None:
        self.server, self.producer, self.stop = ElasticsearchDouble(), ProducerDouble(), threading.Event()
        self.consumer = ConsumerDouble(batches, self.server)
        self.kafka_refusals = 0
        monkeypatch.setattr("connectors.indexer.open_client", lambda connection, **_: self.server)
        monkeypatch.setattr("connectors.indexer.open_producer", lambda *_, **__: self.producer)
        monkeypatch.setattr("connectors.indexer.open_consumer", self._open_consumer)

    def _open_consumer(self, *_: Any, **options: Any) -> ConsumerDouble:
        assert options["group_id"] == "indexer"
        if self.kafka_refusals:
            self.kafka_refusals -= 1
            raise ConnectionError_("kafka", "cannot connect")
        return self.consumer

    def run_until(self, condition: Callable[[], bool]) -> None:
        settings = IndexerSettings(
            kafka=KafkaConnection(bootstrap_servers=["x"], username="indexer", password_file=Path("x")),
            elasticsearch=ElasticsearchConnection(url="http://es", username="indexer", password_file=Path("x")),
        )
        thread = threading.Thread(target=run_indexer, args=(settings, self.stop))
        thread.start()
        deadline = time.monotonic() + 20
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.stop.set()
        thread.join(10)
        assert not thread.is_alive(), "the indexer ends when told to"
        assert condition(), "it did not happen"


def test_offsets_are_committed_only_after_everything_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = make_alert("a"), make_alert("b")
    centre = Centre(monkeypatch, [[Record(first.to_json())], [Record(second.to_json(), 1)]])
    centre.server.faults = [NoConnection("away"), NoConnection("away")]
    centre.run_until(lambda: len(centre.consumer.commits) == 2)
    assert centre.consumer.commits == [{first.id}, {first.id, second.id}]
    assert centre.consumer.closed


def test_nothing_is_committed_when_told_to_stop_while_elasticsearch_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    centre = Centre(monkeypatch, [[Record(make_alert("a").to_json())]])
    centre.server.faults = [NoConnection("away")] * 1000
    centre.run_until(lambda: len(centre.server.faults) < 998)
    assert centre.consumer.commits == []
    assert centre.consumer.closed


def test_the_indexer_waits_for_a_broker_that_is_not_there_yet_and_survives_one_that_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alert = make_alert("a")
    centre = Centre(monkeypatch, [KafkaTimeoutError("gone"), [Record(alert.to_json())]])
    centre.kafka_refusals = 3
    centre.consumer.commit_fails = True
    centre.run_until(lambda: alert.id in centre.server.stored and bool(centre.consumer.commits))
