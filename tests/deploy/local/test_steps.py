from __future__ import annotations

import threading
import time

import pytest

from deploy.local.steps import AbortedError, Progress, Step, run_steps, wait_until
from schemas.errors import ConfigError, ConnectionError_


def quiet(name: str, progress: str, detail: str) -> None:
    pass


def step(name: str, *needs: str, log: list[str], seconds: float = 0.0, error: Exception | None = None) -> Step:
    def run(abort: threading.Event) -> Progress:
        abort.wait(seconds)
        if abort.is_set():
            raise AbortedError
        if error is not None:
            raise error
        log.append(name)
        return "ready"

    return Step(name, needs, run)


def test_a_step_runs_after_what_it_needs_whatever_the_order_of_the_table() -> None:
    log: list[str] = []
    steps = [step("job", "topics", log=log), step("topics", "kafka", log=log), step("kafka", log=log, seconds=0.05)]
    run_steps(steps, quiet)
    assert log == ["kafka", "topics", "job"]


def test_steps_that_need_nothing_run_side_by_side() -> None:
    barrier = threading.Barrier(3, timeout=5)

    def run(_: threading.Event) -> Progress:
        barrier.wait()
        return "ready"

    run_steps([Step(name, (), run) for name in "abc"], quiet)


def test_a_need_that_is_not_in_the_run_counts_as_done() -> None:
    log: list[str] = []
    run_steps([step("job", "topics", log=log)], quiet)
    assert log == ["job"]


def test_the_first_error_is_raised_and_what_needs_the_failed_step_does_not_run() -> None:
    log: list[str] = []
    broken = ConfigError("kafka", "no disk")
    steps = [step("topics", "kafka", log=log), step("kafka", log=log, error=broken)]
    with pytest.raises(ConfigError, match="no disk"):
        run_steps(steps, quiet)
    assert log == []


def test_a_failure_ends_the_waiting_of_the_others() -> None:
    log: list[str] = []
    begun = time.monotonic()
    with pytest.raises(ConfigError):
        run_steps([step("slow", log=log, seconds=30), step("kafka", log=log, error=ConfigError("kafka", "x"))], quiet)
    assert time.monotonic() - begun < 5


def test_every_change_is_observed() -> None:
    seen: list[tuple[str, str]] = []
    run_steps([step("a", log=[]), step("b", "a", log=[])], lambda name, progress, _: seen.append((name, progress)))
    assert ("a", "ready") in seen
    assert seen.index(("b", "waits")) < seen.index(("b", "ready"))


def test_a_server_that_is_not_reachable_yet_is_asked_again() -> None:
    answers = iter([ConnectionError_("x", "away"), False, True])

    def ready() -> bool:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    wait_until(ready, "x", 5, threading.Event())
    assert next(answers, None) is None


def test_waiting_ends_with_the_log_to_look_at() -> None:
    with pytest.raises(ConfigError, match="Try: jsoc logs kafka"):
        wait_until(lambda: False, "kafka", 0.01, threading.Event())


def test_waiting_ends_at_once_when_there_is_no_point_in_it() -> None:
    def died() -> None:
        raise ConfigError("kafka", "it died")

    with pytest.raises(ConfigError, match="it died"):
        wait_until(lambda: False, "kafka", 60, threading.Event(), check=died)
