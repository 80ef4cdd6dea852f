from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import ConnectionError as NoConnection
from elasticsearch import ConnectionTimeout
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.alert_store import AlertStore, Document, outcome_of
from connectors.patience import Patience, Stopped
from connectors.settings import ElasticsearchConnection
from schemas.event import Origin
from tests.connectors.elasticsearch_double import ElasticsearchDouble, api_error

CONNECTION = ElasticsearchConnection(url="http://es", username="indexer", password_file=Path("unread"))


class Unhurried(Patience):
    """Counts waits instead of waiting."""

    def __init__(self) -> None:
        super().__init__(threading.Event())
        self.waits: list[float] = []

    def wait(self, at_least: float = 0.0) -> None:
        self.waits.append(at_least)
        if len(self.waits) > 500:
            raise AssertionError("waits for ever")


def document(name: str, revision: int, content: str = "") -> Document:
    source = f"{name} {revision} {content}".encode()
    return Document("alerts-centre-2026.11", name, revision, source, source, Origin("alerts", 0, revision, 0))


def store_with(server: ElasticsearchDouble) -> tuple[AlertStore, Unhurried]:
    patience = Unhurried()
    return AlertStore(server, CONNECTION, patience), patience  # type: ignore[arg-type]


def test_whatever_the_order_the_newest_revision_stays() -> None:
    revisions = [document("a", n) for n in (1, 2, 5, 1 << 61, 1 << 62)]
    for seed in range(20):
        server = ElasticsearchDouble()
        store, _ = store_with(server)
        shuffled = random.Random(seed).sample(revisions * 2, 10)
        for one in shuffled:
            assert store.put([one]) == []
        assert server.stored == {"a": (1 << 62, revisions[-1].source)}


def test_a_tombstone_written_again_with_another_successor_replaces_the_first() -> None:
    server = ElasticsearchDouble()
    store, _ = store_with(server)
    store.put([document("a", 1 << 62, "-> b")])
    store.put([document("a", 1 << 62, "-> c")])
    assert server.stored["a"][1].endswith(b"-> c")


def test_of_equal_revisions_in_one_batch_the_later_in_the_topic_is_stored() -> None:
    server = ElasticsearchDouble()
    store, _ = store_with(server)
    store.put([document("a", 7, "first"), document("a", 7, "second")])
    assert server.stored["a"][1].endswith(b"second")
    assert server.requests == [["a"]]


@pytest.mark.parametrize(
    "fault",
    [NoConnection("refused"), ConnectionTimeout("slow"), api_error(429), api_error(503), api_error(500),
     api_error(401), api_error(403), api_error(404)],
)  # fmt: skip
def test_a_request_that_fails_for_now_is_sent_again_until_all_is_stored(fault: Exception) -> None:
    server = ElasticsearchDouble()
    server.faults = [fault] * 6
    store, patience = store_with(server)
    assert store.put([document(name, 1) for name in "abc"]) == []
    assert sorted(server.stored) == ["a", "b", "c"]
    assert len(patience.waits) == 6


def test_single_items_that_are_rejected_for_now_are_sent_again_and_the_others_are_not() -> None:
    server = ElasticsearchDouble()
    busy = {"status": 429, "error": {"type": "es_rejected_execution_exception", "reason": "queue full"}}
    server.faults = [lambda _: {"b": busy}]
    store, patience = store_with(server)
    assert store.put([document(name, 1) for name in "abc"]) == []
    assert server.requests == [["a", "b", "c"], ["b"]]
    assert len(patience.waits) == 1


def test_a_refused_user_is_told_and_waited_for_slowly(capsys: pytest.CaptureFixture[str]) -> None:
    server = ElasticsearchDouble()
    server.faults = [api_error(403, "action [indices:data/write/bulk] is unauthorized")]
    store, patience = store_with(server)
    store.put([document("a", 1)])
    assert patience.waits == [10.0]
    told = capsys.readouterr().out
    assert "unauthorized" in told
    assert "roles.yml" in told


def test_a_document_the_mapping_refuses_is_handed_back_and_the_others_are_stored() -> None:
    server = ElasticsearchDouble()
    server.refuse = lambda source: source.startswith(b"bad")
    store, _ = store_with(server)
    refusals = store.put([document("good", 1), document("bad", 1), document("fine", 1)])
    assert [(refusal.document.id, refusal.detail) for refusal in refusals] == [("bad", "400 failed to parse")]
    assert sorted(server.stored) == ["fine", "good"]


def test_a_refused_newest_revision_does_not_hide_the_one_before_it() -> None:
    server = ElasticsearchDouble()
    server.refuse = lambda source: b"poison" in source
    store, _ = store_with(server)
    refusals = store.put([document("a", 1), document("a", 2), document("a", 3, "poison")])
    assert [refusal.document.revision for refusal in refusals] == [3]
    assert server.stored["a"][0] == 2


def test_a_limit_of_the_cluster_is_not_the_documents_fault() -> None:
    assert outcome_of(400, "validation_exception") == "forbidden"
    assert outcome_of(400, "document_parsing_exception") == "refused"
    assert outcome_of(409, "version_conflict_engine_exception") == "done"


def test_a_request_too_big_for_the_server_is_halved_until_it_fits_and_grows_again() -> None:
    server = ElasticsearchDouble()
    server.faults = [lambda targets: api_error(413) if len(targets) > 10 else None] * 20
    store, _ = store_with(server)
    assert store.put([document(f"{n}", 1) for n in range(64)]) == []
    assert len(server.stored) == 64
    assert max(len(request) for request in server.requests[-2:]) <= 16


def test_one_document_that_spoils_every_request_is_found_and_handed_back() -> None:
    server = ElasticsearchDouble()
    server.faults = [lambda targets: api_error(400) if any(t["_id"] == "7" for t in targets) else None] * 64
    store, _ = store_with(server)
    assert [refusal.document.id for refusal in store.put([document(f"{n}", 1) for n in range(32)])] == ["7"]
    assert len(server.stored) == 31


def test_the_template_is_installed_before_the_first_write_and_again_after_the_server_was_away() -> None:
    server = ElasticsearchDouble()
    store, _ = store_with(server)
    store.put([document("a", 1)])
    store.put([document("b", 1)])
    assert server.templates == 3  # the centre's, the members', the shared one
    server.faults = [NoConnection("gone")]
    store.put([document("c", 1)])
    assert server.templates == 6


def test_large_documents_go_in_several_requests() -> None:
    server = ElasticsearchDouble()
    store, _ = store_with(server)
    store.put([document(name, 1, "x" * 3_000_000) for name in "abc"])
    assert server.requests == [["a"], ["b"], ["c"]]


def test_a_stop_while_elasticsearch_is_away_ends_the_waiting_at_once() -> None:
    server = ElasticsearchDouble()
    server.faults = [NoConnection("gone")] * 1000
    stop = threading.Event()
    store = AlertStore(server, CONNECTION, Patience(stop))  # type: ignore[arg-type]
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(Stopped):
        store.put([document("a", 1)])


faults: st.SearchStrategy[Any] = st.sampled_from(
    [None, NoConnection("x"), api_error(429), api_error(503), lambda targets: {targets[0]["_id"]: {"status": 503}}]
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 6)), min_size=1, max_size=40),
    st.lists(faults, max_size=20),
    st.integers(1, 5),
)
def test_any_batches_with_any_faults_leave_the_highest_revision_of_each_alert(
    order: list[tuple[str, int]], faults: list[Any], size: int
) -> None:
    server = ElasticsearchDouble()
    server.faults = list(faults)
    store, _ = store_with(server)
    for start in range(0, len(order), size):
        assert store.put([document(*one) for one in order[start : start + size]]) == []
    wanted = {name: max(revision for other, revision in order if other == name) for name, _ in order}
    assert {name: version for name, (version, _) in server.stored.items()} == wanted
