"""Reading alerts back: what the demo and the dashboard ask of the index."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from elasticsearch import ApiError, Elasticsearch, NotFoundError, TransportError
from pydantic import ValidationError

from connectors.alert_query import (
    LEVELS,
    MAX_FOUND,
    AlertQuery,
    ages_request,
    counts_request,
    search_request,
)
from connectors.elasticsearch import explained, open_client, translated
from connectors.settings import ElasticsearchConnection
from schemas.alert import Alert
from schemas.errors import EventError
from schemas.index_template import INDEX_PATTERN, index_of

_SPARE: Final = 50
"""How many more a brief question reads than it needs, for some are to be left out."""
_WINDOWS: Final = (1000, 10_000)
"""How many it reads on, without their documents, before it tells the index which ids are meant."""
_FEW_IDS: Final = 1000
_COUNTING_SECONDS: Final = 30.0
"""Counting looks at every alert; nobody has to wait for it."""
_NEW_INDEX_PAUSES: Final = (0.1, 0.3, 0.6)
"""Seconds; a shard that was just created answers within these, on any machine that is not overloaded."""


@dataclass(frozen=True, slots=True)
class Found:
    """The alerts found, and how many there are in all."""

    alerts: list[Alert]
    total: int
    """Of a brief question: those that were read, no matter how many there are."""
    unreadable: int = 0
    """Documents that are not alerts of this version; never hidden silently."""
    more: bool = False
    """There are, or may be, others than these."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many alerts fit a query, and how those divide."""

    total: int = 0
    by_level: dict[str, int] = field(default_factory=dict)
    """Count for each level, whatever levels the query asked for."""
    by_state: dict[str, int] = field(default_factory=dict)
    by_rule: dict[str, int] = field(default_factory=dict)
    """Count for each rule's uuid; likewise for tactics and members, as all filters leave them."""
    by_tactic: dict[str, int] = field(default_factory=dict)
    by_technique: dict[str, int] = field(default_factory=dict)
    by_member: dict[str, int] = field(default_factory=dict)
    known: bool = True
    """False: nothing was counted yet."""


def read_alert(document: bytes | dict[str, Any], where: str) -> Alert:
    """An alert from Kafka (JSON) or from the index (its source).

    Raises:
        EventError: not an alert of this version; names the first field at fault.
    """
    try:
        return Alert.model_validate_json(document) if isinstance(document, bytes) else Alert.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        fault = f"{place}: {first['msg']}" if place else first["msg"]
        raise EventError(where, "not an alert of this version", got=fault, expected="schemas.alert.Alert") from error


class AlertIndex:
    """The `alerts-centre-*` indices, read-only."""

    def __init__(self, connection: ElasticsearchConnection, *, request_timeout: float = 5.0) -> None:
        self._connection = connection
        self._client: Elasticsearch = open_client(connection, request_timeout=request_timeout)
        self._counting = self._client.options(request_timeout=max(request_timeout, _COUNTING_SECONDS))

    def find(self, query: AlertQuery) -> Found:
        """Alerts that fit the query, at most `query.limit`.

        Raises:
            ConnectionError_: Elasticsearch is away or refuses.
        """
        if query.brief:
            return self._find_brief(query)
        answer = self._search(**search_request(query), track_total_hits=True)
        alerts, unreadable = _read_hits(answer["hits"]["hits"])
        total = answer["hits"]["total"]["value"]
        return Found(alerts, total, unreadable, more=total > len(alerts) + unreadable)

    def _find_brief(self, query: AlertQuery) -> Found:
        """Sorting by level takes a score for each alert; the newest of one level after the other need none."""
        limit = min(query.limit, MAX_FOUND)
        asked = [query]
        if query.order == "level":
            asked = [replace(query, order="newest", levels=(level,)) for level in query.levels or LEVELS]
        hits: list[dict[str, Any]] = []
        for one in asked:
            if len(hits) <= limit:
                hits += self._brief_hits(one, limit + 1 - len(hits))
        alerts, unreadable = _read_hits(hits[:limit])
        return Found(alerts, len(alerts) + unreadable, unreadable, more=len(hits) > limit)

    def _brief_hits(self, query: AlertQuery, limit: int) -> list[dict[str, Any]]:
        """Reads in order, more at a time, and leaves out here: there may be 100,000 ids.

        The index is told ids where they are few, or where few of many alerts fit.
        """
        kept: list[dict[str, Any]] = []
        place: dict[str, Any] = {}
        loose = replace(query, only=None, without=frozenset())
        are_few = query.only is not None and len(query.only) <= _FEW_IDS
        for size in () if are_few else (limit + _SPARE, *_WINDOWS):
            request = search_request(loose) | place | {"size": size}
            hits = self._search(**request, source=not place, track_total_hits=False)["hits"]["hits"]
            kept += [hit for hit in hits if query.admits(hit["_id"])]
            if len(kept) >= limit or len(hits) < size:
                return self._with_source(kept[:limit])
            place = {"search_after": hits[-1]["sort"]}
        request = search_request(replace(query, limit=limit))
        found: list[dict[str, Any]] = self._search(**request, track_total_hits=False)["hits"]["hits"]
        return found

    def _with_source(self, hits: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """All of them with their documents; one that is gone meanwhile is left out."""
        bare = [{"_index": hit["_index"], "_id": hit["_id"]} for hit in hits if "_source" not in hit]
        if not bare:
            return hits
        with translated(self._connection):
            found = {doc["_id"]: doc for doc in self._client.mget(docs=bare).body["docs"] if doc.get("found")}
        return [
            hit if "_source" in hit else found[hit["_id"]] for hit in hits if "_source" in hit or hit["_id"] in found
        ]

    def counts(self, query: AlertQuery) -> Counts:
        """How many alerts fit the query, whatever its limit, and how those divide.

        Raises:
            ConnectionError_: Elasticsearch is away or refuses.
        """
        found = self._search(self._counting, **counts_request(query)).get("aggregations", {})
        by = {name: _buckets(one.get("by")) for name, one in found.items()}
        return Counts(
            found.get("rules", {}).get("doc_count", 0),
            by_level=by.get("levels", {}),
            by_state=by.get("states", {}),
            by_rule=by.get("rules", {}),
            by_tactic=by.get("tactics", {}),
            by_technique=by.get("techniques", {}),
            by_member=by.get("members", {}),
        )

    def ages(self, query: AlertQuery, edges: Sequence[str]) -> dict[str, list[int]]:
        """For each level, how many alerts had their last hit in each span of time.

        Args:
            query: which alerts; its order and limit do not matter.
            edges: RFC 3339, latest first.

        Returns:
            Level -> one number more than there are edges: not before the first, then before each.

        Raises:
            ConnectionError_: Elasticsearch is away or refuses.
        """
        answer = self._search(self._counting, **ages_request(query, edges))
        levels = answer.get("aggregations", {}).get("by", {}).get("buckets", [])
        return {level["key"]: [one["doc_count"] for one in level["ages"]["buckets"].values()] for level in levels}

    def tally(self) -> dict[tuple[str, str], int]:
        """Number of alerts for each (state, level).

        Raises:
            ConnectionError_: Elasticsearch is away or refuses.
        """
        by_level = {"by": {"terms": {"field": "jointsoc.alert.level"}}}
        by_state = {"by": {"terms": {"field": "jointsoc.alert.state"}, "aggs": by_level}}
        answer = self._search(self._counting, size=0, aggs=by_state)
        return {
            (state["key"], level["key"]): level["doc_count"]
            for state in answer.get("aggregations", {}).get("by", {}).get("buckets", [])
            for level in state["by"]["buckets"]
        }

    def get(self, alert_id: str) -> Alert | None:
        """One alert as it stands now, seen as soon as it is stored; None if there is none.

        Raises:
            ConnectionError_: Elasticsearch is away or refuses.
            EventError: the document is not an alert of this version.
        """
        try:
            index = index_of(alert_id)
        except EventError:
            return None
        try:
            source = self._client.get(index=index, id=alert_id).body["_source"]
        except NotFoundError:
            return None
        except (ApiError, TransportError) as error:
            raise explained(error, self._connection) from error
        return read_alert(source, f"{index}/{alert_id}")

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _search(self, client: Elasticsearch | None = None, **request: Any) -> dict[str, Any]:
        """One search; tried again for a moment while the index of a new month is being made (503)."""
        for pause in (*_NEW_INDEX_PAUSES, None):
            with translated(self._connection):
                try:
                    answer: dict[str, Any] = (client or self._client).search(index=INDEX_PATTERN, **request).body
                    return answer
                except ApiError as error:
                    if error.meta.status != 503 or pause is None:
                        raise
            time.sleep(pause)
        raise AssertionError("unreachable: the last try returns or raises")


def _buckets(aggregation: dict[str, Any] | None) -> dict[str, int]:
    return {bucket["key"]: bucket["doc_count"] for bucket in (aggregation or {}).get("buckets", [])}


def _read_hits(hits: list[dict[str, Any]]) -> tuple[list[Alert], int]:
    alerts, unreadable = [], 0
    for hit in hits:
        try:
            alerts.append(read_alert(hit["_source"], f"{hit['_index']}/{hit['_id']}"))
        except EventError:
            unreadable += 1
    return alerts, unreadable
