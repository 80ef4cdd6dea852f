"""One answer of Elasticsearch for everybody who asks the same: fifty screens show the same queue.

Rows are half a second old at most. Counts look at every alert there is, so they may be some seconds old. What people
wrote is as old as that only where another dashboard wrote it: a write of this one is seen at once.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from connectors.alert_index import AlertIndex, Counts, Found
from connectors.alert_query import AlertQuery
from connectors.documents import Documents, Kind, Stored, Version, Where
from dashboard.sharing import COUNTS_SECONDS, Sharing
from schemas.alert import Alert


class SharedAnswers:
    """The alert index as the pages ask it; single alerts are always read anew."""

    def __init__(self, index: AlertIndex, sharing: Sharing) -> None:
        self._index, self._sharing = index, sharing

    def find(self, query: AlertQuery) -> Found:
        """Alerts that fit the query, as they were at most half a second ago."""
        key = (_without_ids(query), hash(query.without), hash(query.only))
        found: Found = self._sharing.once(key, lambda: self._index.find(query))
        return found

    def counts(self, query: AlertQuery, *, patient: bool = True) -> Counts:
        """How many alerts fit the query, as it was some seconds ago; who is not patient may learn nothing yet."""
        unknown = None if patient else Counts(known=False)
        counts: Counts = self._sharing.aged(("counts", _kind_of(query)), lambda: self._index.counts(query), unknown)
        return counts

    def ages(self, query: AlertQuery, edges: Sequence[str]) -> dict[str, list[int]]:
        """For each level, how many alerts had their last hit in each span of time, as it was some seconds ago."""
        key = ("ages", len(edges), _kind_of(query))  # the edges move with the clock
        ages: dict[str, list[int]] = self._sharing.aged(key, lambda: self._index.ages(query, edges))
        return ages

    def tally(self) -> dict[tuple[str, str], int]:
        """Number of alerts for each (state, level), as it was some seconds ago."""
        tally: dict[tuple[str, str], int] = self._sharing.aged("tally", self._index.tally)
        return tally

    def get(self, alert_id: str) -> Alert | None:
        """One alert as it stands now."""
        return self._index.get(alert_id)


def _without_ids(query: AlertQuery) -> AlertQuery:
    """A key is kept for a while, and there may be 100,000 ids."""
    return replace(query, without=frozenset(), only=None)


def _kind_of(query: AlertQuery) -> Hashable:
    """What counts depend on; the ids to leave out, which change with every click, by what they stand for."""
    return replace(_without_ids(query), limit=0, order="newest", brief=False), hash(query.only)


class SharedDocuments:
    """`Documents` in front of others: searches are shared, single documents and what changed are always read anew."""

    def __init__(self, documents: Documents, sharing: Sharing) -> None:
        self._documents, self._sharing = documents, sharing
        self._lock = threading.Lock()
        self._writes: Counter[str] = Counter()

    def get(self, kind: Kind, identity: str) -> Stored | None:
        """The document, seen as soon as it is written."""
        return self._documents.get(kind, identity)

    def get_many(self, kind: Kind, identities: Sequence[str]) -> dict[str, Stored]:
        """Those of them that there are."""
        return self._documents.get_many(kind, identities)

    def put(self, kind: Kind, identity: str, body: Mapping[str, Any], after: Version | None) -> Version:
        """Write it; whoever searches from now on finds it. Raises `Conflict`."""
        try:
            return self._documents.put(kind, identity, body, after)
        finally:
            with self._lock:
                self._writes[kind.index] += 1

    def append(self, kind: Kind, identity: str, body: Mapping[str, Any]) -> None:
        """Write a document that nobody changes later; found by searches within some seconds."""
        self._documents.append(kind, identity, body)

    def find(self, kind: Kind, where: Where, *, limit: int) -> list[Stored]:
        """Documents that fit, written last first; not to be changed."""
        found: list[Stored] = self._shared(
            "find", kind, where, limit, lambda: self._documents.find(kind, where, limit=limit)
        )
        return found

    def changed(self, kind: Kind, field: str, since: str, limit: int) -> list[Stored]:
        """Documents whose time in the field is that or later, written last first."""
        return self._documents.changed(kind, field, since, limit)

    def ids(self, kind: Kind, where: Where) -> list[str]:
        """Ids of those that fit, written last first."""
        ids: list[str] = self._shared("ids", kind, where, 0, lambda: self._documents.ids(kind, where))
        return ids

    def counts(self, kind: Kind, field: str, where: Where) -> dict[str, int]:
        """How many documents that fit hold each value of the field."""
        counts: dict[str, int] = self._shared(field, kind, where, 0, lambda: self._documents.counts(kind, field, where))
        return counts

    def _shared(self, what: str, kind: Kind, where: Where, limit: int, ask: Callable[[], Any]) -> Any:
        """A write makes another question of it: an answer that was on its way meanwhile is given to nobody later."""
        with self._lock:
            writes = self._writes[kind.index]
        asked = tuple(sorted((name, tuple(values)) for name, values in where.items()))
        key: Hashable = (what, kind.index, asked, limit, writes)
        return self._sharing.once(key, ask, COUNTS_SECONDS)
