"""What every screen says of this moment: what waits, how far the index is behind, who reads the same alert."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient
from kafka import TopicPartition
from kafka.errors import KafkaConnectionError

from dashboard.background import IndexLag
from dashboard.pulse import MAX_LOOKS, Backlog, Pulse
from dashboard.readers import GONE_AFTER_SECONDS, Readers
from schemas.errors import ConnectionError_
from schemas.times import now_ms
from tests.alert_samples import alert_id, stories
from tests.dashboard.documents_double import DocumentsDouble
from tests.dashboard.index_double import IndexDouble, form_token, log_in, open_site

DDOS = alert_id("ddos")


def test_the_index_is_behind_since_the_oldest_record_that_is_not_indexed() -> None:
    backlog = Backlog()
    assert backlog.behind(1000, {0: 5, 1: 7}, {0: 5, 1: 7}) == 0
    assert backlog.behind(2000, {0: 6, 1: 7}, {0: 5, 1: 7}) == 0, "seen now for the first time"
    assert backlog.behind(3000, {0: 9, 1: 7}, {0: 5, 1: 7}) == 1000
    assert backlog.behind(4000, {0: 9, 1: 7}, {0: 6, 1: 7}) == 1000, "what came at 3000 waits"
    assert backlog.behind(5000, {0: 9, 1: 7}, {0: 9, 1: 7}) == 0


def test_a_backlog_of_days_is_remembered_in_little_room() -> None:
    backlog = Backlog()
    for second in range(MAX_LOOKS + 500):
        behind = backlog.behind(second * 1000, {0: second + 1}, {})
    assert behind == (MAX_LOOKS + 499) * 1000
    assert len(backlog._looks) == MAX_LOOKS


class Consumer:
    """The indexer's group, which stands still."""

    away = False

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0}

    def committed(self, place: TopicPartition) -> int | None:
        return None

    def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self.away:
            raise KafkaConnectionError
        return dict.fromkeys(places, 3)


def test_while_kafka_is_away_nobody_claims_to_know_how_far_the_index_is_behind() -> None:
    consumer, pulse, clock = Consumer(), Pulse(), iter((0, 4000, 9000))
    look = IndexLag(lambda: consumer, pulse, lambda: next(clock))
    look()
    look()
    assert pulse.behind == 4000
    consumer.away = True
    with pytest.raises(ConnectionError_):
        look()
    assert pulse.behind is None
    consumer.away = False
    look()
    assert pulse.behind == 9000


def test_what_is_to_do_is_counted_and_not_known_while_the_index_is_away(tmp_path: Path) -> None:
    index, documents = IndexDouble(stories(now_ms())), DocumentsDouble()
    client = open_site(tmp_path, index, documents)
    log_in(client, tmp_path)
    site = client.app.state.site  # type: ignore[attr-defined]
    client.headers["x-form-token"] = form_token(client.get("/").text)
    client.post(f"/api/v1/alerts/{DDOS}/workflow", json={"act": "close", "value": "drill"})
    site.pulse.count(index, site.desk)
    for path in ("/api/queue", "/api/boards/rules", f"/api/alerts/{DDOS}"):
        assert client.get(path).json()["to_do"] == 5
    index.away = True
    with pytest.raises(ConnectionError_):
        site.pulse.count(index, site.desk)
    assert site.pulse.words() == {"to_do": None, "behind": None}


def test_whoever_has_the_same_alert_open_is_named_until_the_page_is_closed() -> None:
    clock = SimpleNamespace(now=0.0)
    readers = Readers(lambda: clock.now)
    assert readers.read("a", "mei") == []
    assert readers.read("a", "wei") == ["mei"]
    assert readers.read("b", "wei") == []
    clock.now = GONE_AFTER_SECONDS
    assert readers.read("a", "mei") == ["wei"]
    clock.now += GONE_AFTER_SECONDS
    assert readers.read("a", "wei") == ["mei"]
    clock.now += 1
    assert readers.read("a", "wei") == []
    assert set(readers._seen) == {"a"}, "nothing is kept of who left"


def test_the_page_of_an_alert_says_who_else_reads_it(tmp_path: Path) -> None:
    client = open_site(tmp_path, IndexDouble(stories(now_ms())))
    log_in(client, tmp_path)
    password = client.app.state.site.accounts.add("mei", "analyst")  # type: ignore[attr-defined]
    other = TestClient(client.app, base_url="http://127.0.0.1:19080", follow_redirects=False)
    log_in(other, tmp_path, name="mei", password=password)
    assert other.get(f"/api/alerts/{DDOS}").json()["readers"] == []
    assert client.get(f"/api/alerts/{DDOS}").json()["readers"] == ["mei"]
