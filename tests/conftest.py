"""Fixtures for all tests: the shared stack of tests marked `stack`."""

from __future__ import annotations

import logging
import signal
from collections.abc import Generator, Iterator

import pytest

from tests.running_stack import RunningStack, fresh_stack

_STACK = pytest.StashKey[RunningStack]()


def pytest_configure() -> None:
    """A terminated run tears the stack down like an interrupted one; Kafka's client keeps quiet."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Its hundreds of retries while a broker restarts would bury what a failed test has to say.
    logging.getLogger("kafka").setLevel(logging.CRITICAL + 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses the stack must say so, or `make fast` would start servers."""
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()) and item.get_closest_marker("stack") is None:
            raise pytest.UsageError(f"{item.nodeid} uses the fixture `stack`: mark it with @pytest.mark.stack")
    # The demo has servers of its own: it is over before the shared stack starts, so that two never run at once.
    items.sort(key=lambda item: "stack" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[RunningStack]:
    """The running stack: started once for the whole run, on free ports, with `running_stack.MEMBERS`."""
    running = fresh_stack()
    request.config.stash[_STACK] = running
    try:
        running.up()
        yield running
    finally:
        running.down()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test of the stack shows the end of every log."""
    report = yield
    running = item.config.stash.get(_STACK, None)
    if report.failed and running is not None and "stack" in getattr(item, "fixturenames", ()):
        report.sections.append(("stack logs", running.tails()))
    return report
