from __future__ import annotations

import threading
import time

import pytest

from connectors.patience import LONGEST_SECONDS, Patience, Stopped


class Watch(threading.Event):
    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return False


def test_waits_grow_to_a_limit_and_begin_again_after_a_success() -> None:
    watch = Watch()
    patience = Patience(watch)
    for _ in range(30):
        patience.failed()
        patience.wait()
    assert watch.waits[0] < 0.25
    assert max(watch.waits) <= LONGEST_SECONDS
    assert watch.waits[-1] >= LONGEST_SECONDS / 2
    assert patience.over() is True
    assert patience.over() is False
    patience.failed()
    patience.wait()
    assert watch.waits[-1] < 0.25


def test_a_row_of_failures_is_logged_ever_more_rarely() -> None:
    patience = Patience(threading.Event())
    assert [number for number in range(1, 20) if patience.failed()] == [1, 2, 4, 8, 16]


def test_a_stop_ends_a_long_wait_at_once() -> None:
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    started = time.monotonic()
    with pytest.raises(Stopped):
        Patience(stop).wait(at_least=60)
    assert time.monotonic() - started < 5
