from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from connectors.alert_index import Counts
from connectors.alert_query import AlertQuery
from connectors.documents import Kind, Stored, Where
from dashboard.saved_views import VIEWS
from dashboard.shared_answers import SharedAnswers, SharedDocuments
from dashboard.sharing import COUNTS_PART, COUNTS_SECONDS, KEEP_SECONDS, MAX_KEPT, STALE_SECONDS, Sharing
from schemas.errors import ConnectionError_
from tests.alert_samples import make_alert
from tests.conditions import eventually
from tests.dashboard.documents_double import DocumentsDouble
from tests.dashboard.index_double import IndexDouble


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_same_question_is_asked_once_within_a_second_and_another_one_at_once() -> None:
    index, clock = IndexDouble([make_alert()]), Clock()
    shared = SharedAnswers(index, Sharing(clock))
    assert shared.find(AlertQuery()).total == shared.find(AlertQuery()).total == 1
    assert len(index.asked) == 1
    assert shared.find(AlertQuery(without=frozenset({make_alert().id}))).total == 0
    index.alerts = []
    clock.now = KEEP_SECONDS + 0.01
    assert shared.find(AlertQuery()).total == 0


def test_counts_are_shared_however_many_alerts_were_closed_meanwhile() -> None:
    index, clock = IndexDouble([make_alert()]), Clock()
    shared = SharedAnswers(index, Sharing(clock))
    done, closed = ("closed",), frozenset({make_alert().id})
    assert shared.counts(AlertQuery(without_of=done)).total == 1
    clock.now = COUNTS_SECONDS
    assert shared.counts(AlertQuery(without=closed, without_of=done, limit=7, order="level")).total == 1
    assert index.counted == 1
    assert shared.counts(AlertQuery(without=closed, without_of=("open",))).total == 0
    assert shared.counts(AlertQuery(text="nothing says this", without_of=done)).total == 0
    assert (shared.ages(AlertQuery(), ["2020"])["high"], shared.ages(AlertQuery(), ["2021"])["high"]) == ([1, 0],) * 2
    assert index.counted == 4


def test_old_counts_are_given_once_more_while_new_ones_are_asked_for() -> None:
    index, clock = IndexDouble([make_alert()]), Clock()
    shared = SharedAnswers(index, Sharing(clock))
    assert shared.counts(AlertQuery()).total == 1
    index.alerts = []
    clock.now = COUNTS_SECONDS + 1
    assert shared.counts(AlertQuery()).total == 1
    eventually(lambda: shared.counts(AlertQuery()).total == 0)
    index.alerts = [make_alert()]
    clock.now += STALE_SECONDS + 1
    assert shared.counts(AlertQuery()).total == 1, "too old for anybody"


def test_counts_that_could_not_be_renewed_are_kept_for_nobody() -> None:
    index, clock = IndexDouble([make_alert()]), Clock()
    shared = SharedAnswers(index, Sharing(clock))
    shared.tally()
    index.away = True
    clock.now = COUNTS_SECONDS + 1
    shared.tally()
    eventually(lambda: not shared._sharing._renewals)
    with pytest.raises(ConnectionError_):
        shared.tally()


def test_who_cannot_wait_is_told_that_nothing_is_counted_yet_and_who_can_waits() -> None:
    index, going = IndexDouble([make_alert()]), threading.Event()
    counted = index.counts
    index.counts = lambda query, **_: going.wait(30) and counted(query)  # type: ignore[method-assign,assignment]
    shared = SharedAnswers(index, Sharing())
    assert not shared.counts(AlertQuery(), patient=False).known
    going.set()
    assert shared.counts(AlertQuery()).total == 1
    assert index.counted == 1


def test_what_takes_long_to_count_is_counted_less_often() -> None:
    index, clock = IndexDouble([make_alert()]), Clock()
    shared, counted = SharedAnswers(index, Sharing(clock)), index.counts

    def slowly(query: AlertQuery, **_: bool) -> Counts:
        clock.now += 3.0
        return counted(query)

    index.counts = slowly  # type: ignore[method-assign,assignment]
    shared.counts(AlertQuery())
    clock.now += COUNTS_PART * 3.0 - 1
    shared.counts(AlertQuery())
    assert index.counted == 1
    clock.now += 2.0
    shared.counts(AlertQuery())
    eventually(lambda: index.counted == 2)


@pytest.mark.parametrize("fault", [ConnectionError_("index", "away"), ValueError("a fault of ours")])
def test_counts_that_could_not_be_made_anew_are_given_to_nobody(fault: Exception) -> None:
    index, clock = IndexDouble([make_alert()]), Clock()
    shared = SharedAnswers(index, Sharing(clock))
    assert shared.counts(AlertQuery()).total == 1

    def fail(_: AlertQuery, **__: bool) -> Counts:
        raise fault

    index.counts = fail  # type: ignore[method-assign,assignment]
    clock.now += 20.0
    assert shared.counts(AlertQuery()).total == 1
    eventually(lambda: not shared._sharing._kept)
    with pytest.raises(type(fault)):
        shared.counts(AlertQuery())


def test_a_failure_is_told_to_everybody_and_kept_for_nobody() -> None:
    index = IndexDouble([make_alert()])
    shared = SharedAnswers(index, Sharing())
    index.away = True
    with pytest.raises(ConnectionError_):
        shared.find(AlertQuery())
    assert shared._sharing._turns == {}
    index.away = False
    assert shared.find(AlertQuery()).total == 1


def test_many_at_once_wait_for_one_answer() -> None:
    index = IndexDouble([make_alert()])
    shared = SharedAnswers(index, Sharing(Clock()))
    threads = [threading.Thread(target=lambda: shared.find(AlertQuery())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(index.asked) == 1


def test_what_people_wrote_is_searched_once_for_everybody_until_somebody_here_writes() -> None:
    documents, clock = CountingDocuments(), Clock()
    shared = SharedDocuments(documents, Sharing(clock))
    shared.put(VIEWS, "a", {"owner": "mei"}, None)
    for _ in range(3):
        assert [one.id for one in shared.find(VIEWS, {"owner": ("mei",)}, limit=10)] == ["a"]
        assert shared.ids(VIEWS, {"owner": ("mei",)}) == ["a"]
        assert shared.counts(VIEWS, "owner", {}) == {"mei": 1}
        assert shared.find(VIEWS, {"owner": ("lin",)}, limit=10) == []
    assert documents.searches == 4
    shared.put(VIEWS, "b", {"owner": "mei"}, None)
    assert len(shared.ids(VIEWS, {"owner": ("mei",)})) == 2
    documents.put(VIEWS, "c", {"owner": "mei"}, None)  # by another dashboard
    assert len(shared.ids(VIEWS, {"owner": ("mei",)})) == 2
    clock.now = COUNTS_SECONDS + 0.1
    assert len(shared.ids(VIEWS, {"owner": ("mei",)})) == 3


def test_an_answer_overtaken_by_a_write_is_given_to_nobody_later() -> None:
    documents = CountingDocuments()
    shared = SharedDocuments(documents, Sharing(Clock()))
    documents.while_searching = lambda: shared.put(VIEWS, "a", {"owner": "mei"}, None)
    assert shared.ids(VIEWS, {}) == []
    assert shared.ids(VIEWS, {}) == ["a"]


class CountingDocuments(DocumentsDouble):
    """Counts searches; may do something after one has looked and before it has answered."""

    def __init__(self) -> None:
        super().__init__()
        self.searches = 0
        self.while_searching: Callable[[], object] | None = None

    def find(self, kind: Kind, where: Where, *, limit: int) -> list[Stored]:
        self.searches += 1
        found = super().find(kind, where, limit=limit)
        if (meanwhile := self.while_searching) is not None:
            self.while_searching = None
            meanwhile()
        return found


def test_no_more_is_kept_than_the_most() -> None:
    shared = SharedAnswers(IndexDouble([]), Sharing(Clock()))
    for number in range(MAX_KEPT * 2):
        shared.find(AlertQuery(text=str(number)))
    assert len(shared._sharing._kept) == len(shared._sharing._turns) == MAX_KEPT
