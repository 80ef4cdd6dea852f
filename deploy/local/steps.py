"""Run steps side by side, each as soon as what it needs is done; one failure stops the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from schemas.errors import ConfigError, ConnectionError_

_POLL_SECONDS: Final = 0.15

Progress = Literal["waits", "starts", "ready", "was running", "failed", "stops", "stopped"]
Observer = Callable[[str, Progress, str], None]
"""Called with a step's name, what happens to it, and a detail; from several threads."""


class AbortedError(Exception):
    """Another step failed first."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    Attributes:
        needs: names of the steps that must be done before; names that are not in the run count as done.
        run: does it and says how it ended; should look at the event now and then, and raise `AbortedError` once set.
    """

    name: str
    needs: tuple[str, ...]
    run: Callable[[threading.Event], Progress]


def run_steps(steps: Sequence[Step], observe: Observer) -> None:
    """Run them all and wait; the first error is raised once every step has ended."""
    abort = threading.Event()
    pending: dict[str, Future[None]] = {}
    submitted = threading.Event()

    def run(step: Step) -> None:
        submitted.wait()
        needs = [name for name in step.needs if name in pending]
        if needs:
            observe(step.name, "waits", f"for {', '.join(needs)}")
        if any(pending[name].exception() is not None for name in needs):
            raise AbortedError
        try:
            observe(step.name, step.run(abort), "")
        except AbortedError:
            raise
        except BaseException:
            abort.set()
            observe(step.name, "failed", "")
            raise

    with ThreadPoolExecutor(max(1, len(steps))) as pool:
        for step in steps:
            pending[step.name] = pool.submit(run, step)
        submitted.set()
        try:
            wait(pending.values())
        except BaseException:
            abort.set()
            raise
    errors = [error for future in pending.values() if (error := future.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, AbortedError)):
        raise error


def wait_until(
    ready: Callable[[], bool], name: str, limit: float, abort: threading.Event, check: Callable[[], None] | None = None
) -> None:
    """Ask until the answer is yes; a server that cannot be reached yet counts as no.

    Args:
        ready: the condition.
        name: what it is about, for the error.
        limit: seconds.
        abort: gives up when set.
        check: raises when there is no point in waiting any longer.

    Raises:
        ConfigError: not ready within the limit.
        AbortedError: `abort` was set.
    """
    deadline = time.monotonic() + limit
    while True:
        if check is not None:
            check()
        with suppress(ConnectionError_):
            if ready():
                return
        if abort.is_set():
            raise AbortedError
        if time.monotonic() > deadline:
            raise ConfigError(name, f"not ready after {limit:.0f} s", hint=f"jsoc logs {name}")
        time.sleep(_POLL_SECONDS)
