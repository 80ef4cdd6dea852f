"""A connection that is being opened while the forwarder goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connectors.forwarder.shipper import Producer


def in_background(connect: Callable[[], Producer]) -> Future[Producer]:
    """Open a producer in a thread of its own, which does not keep the process alive.

    Args:
        connect: opens it; what it raises is raised where the result is asked for.
    """
    attempt: Future[Producer] = Future()

    def run() -> None:
        try:
            attempt.set_result(connect())
        except BaseException as error:  # noqa: BLE001 - not swallowed: the future raises it again
            attempt.set_exception(error)

    threading.Thread(target=run, name="kafka-connect", daemon=True).start()
    return attempt


def abandon(attempt: Future[Producer]) -> None:
    """Close a producer as soon as it is open: nobody waits for it any more."""
    attempt.add_done_callback(_close)


def _close(attempt: Future[Any]) -> None:
    if attempt.exception() is None:
        attempt.result().close(timeout=0)
