from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from connectors.alert_index import AlertQuery
from dashboard.shared_answers import COUNTS_SECONDS, KEEP_SECONDS, MAX_KEPT, STALE_SECONDS, SharedAnswers
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


def test_counts_are_shared_however_many_alerts_were_closed_meanwhile() -> None:
    index, clock = IndexDouble([make_alert()]), Clock()
    shared = SharedAnswers(index, clock)
    done = ("closed",)
    assert shared.counts(AlertQuery(without_of=done)).total == 1
    clock.now = COUNTS_SECONDS
    assert shared.counts(AlertQuery(without=(make_alert().id,), without_of=done, limit=7, order="level")).total == 1
    assert index.counted == 1
    assert shared.counts(AlertQuery(without=(make_alert().id,), without_of=("open",))).total == 0
    assert shared.counts(AlertQuery(text="nothing says this", without_of=done)).total == 0
    assert (shared.ages(AlertQuery(), ["2020"])["high"], shared.ages(AlertQuery(), ["2021"])["high"]) == ([1, 0],) * 2
    assert index.counted == 4


def test_old_counts_are_given_once_more_while_new_ones_are_asked_for() -> None:
    index, clock = IndexDouble([make_alert()]), Clock()
    shared = SharedAnswers(index, clock)
    assert shared.counts(AlertQuery()).total == 1
    index.alerts = []
    clock.now = COUNTS_SECONDS + 1
    assert shared.counts(AlertQuery()).total == 1
    wait_until(lambda: shared.counts(AlertQuery()).total == 0)
    index.alerts = [make_alert()]
    clock.now += STALE_SECONDS + 1
    assert shared.counts(AlertQuery()).total == 1, "too old for anybody"


def test_counts_that_could_not_be_renewed_are_kept_for_nobody() -> None:
    index, clock = IndexDouble([make_alert()]), Clock()
    shared = SharedAnswers(index, clock)
    shared.tally()
    index.away = True
    clock.now = COUNTS_SECONDS + 1
    shared.tally()
    wait_until(lambda: not shared._renewed)
    with pytest.raises(ConnectionError_):
        shared.tally()


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


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
