from __future__ import annotations

import threading

import pytest

from connectors.alert_index import AlertQuery
from dashboard.shared_answers import KEEP_SECONDS, MAX_KEPT, SharedAnswers
from schemas.errors import ConnectionError_
from tests.alert_samples import make_alert
from tests.dashboard.index_double import IndexDouble


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_same_question_is_asked_once_within_a_second_and_another_one_at_once() -> None:
    index, clock = IndexDouble([make_alert()]), Clock()
    shared = SharedAnswers(index, clock)
    assert shared.find(AlertQuery()).total == shared.find(AlertQuery()).total == 1
    assert len(index.asked) == 1
    assert shared.find(AlertQuery(without=(make_alert().id,))).total == 0
    index.alerts = []
    clock.now = KEEP_SECONDS + 0.01
    assert shared.find(AlertQuery()).total == 0
    assert shared.tally() == {}


def test_a_failure_is_told_to_everybody_and_kept_for_nobody() -> None:
    index = IndexDouble([make_alert()])
    shared = SharedAnswers(index)
    index.away = True
    with pytest.raises(ConnectionError_):
        shared.find(AlertQuery())
    assert shared._turns == {}
    index.away = False
    assert shared.find(AlertQuery()).total == 1


def test_many_at_once_wait_for_one_answer() -> None:
    index = IndexDouble([make_alert()])
    shared = SharedAnswers(index, Clock())
    threads = [threading.Thread(target=lambda: shared.find(AlertQuery())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(index.asked) == 1


def test_no_more_is_kept_than_the_most() -> None:
    shared = SharedAnswers(IndexDouble([]), Clock())
    for number in range(MAX_KEPT * 2):
        shared.find(AlertQuery(text=str(number)))
    assert len(shared._kept) == len(shared._turns) == MAX_KEPT
