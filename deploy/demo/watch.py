"""Watches the alert index: what is new since the last look, and what the run has added so far."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from connectors.alert_index import AlertIndex
from connectors.alert_query import MAX_FOUND, AlertQuery
from deploy.demo.verdict import Growth, growth
from schemas.alert import Alert
from schemas.errors import ConnectionError_

_PATIENCE: Final = 40
"""So many looks in a row may fail before the watch gives up: a server that restarts is not the end."""


class News(NamedTuple):
    """An alert that appeared, or that reached further members."""

    item: Growth
    joined: tuple[str, ...]
    """Members that the last look did not show."""
    fresh: bool


class Watch:
    """Looks at the index again and again; only what grew since it was made counts.

    Args:
        index: the alerts.

    Raises:
        ConnectionError_: the first look fails.
    """

    def __init__(self, index: AlertIndex) -> None:
        self._index = index
        self._before: dict[str, Alert] = {alert.id: alert for alert in self._find()}
        self._shown: dict[str, frozenset[str]] = {}
        self._failures = 0
        self.grown: list[Growth] = []

    def look(self) -> Iterator[News]:
        """Look once; alerts that appeared or spread, oldest first.

        Raises:
            ConnectionError_: Elasticsearch was away or refused for too long.
        """
        try:
            found = self._find()
        except ConnectionError_:
            self._failures += 1
            if self._failures >= _PATIENCE:
                raise
            return
        self._failures = 0
        self.grown = sorted(growth(found, self._before), key=lambda item: item.alert.timestamp)
        for item in self.grown:
            known = self._shown.get(item.alert.id)
            joined = tuple(member for member in item.members if member not in (known or ()))
            if known is None or joined:
                self._shown[item.alert.id] = frozenset(item.members)
                yield News(item, joined, known is None)

    def _find(self) -> list[Alert]:
        return self._index.find(AlertQuery(limit=MAX_FOUND)).alerts
