"""Reading alerts back: what the demo and the dashboard ask of the index."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from elasticsearch import ApiError, Elasticsearch, NotFoundError, TransportError
from pydantic import ValidationError

from connectors.elasticsearch import explained, open_client, translated
from connectors.settings import ElasticsearchConnection
from schemas.alert import Alert, Level, State
from schemas.errors import EventError
from schemas.index_template import INDEX_PATTERN, index_of

LEVELS: Final[tuple[Level, ...]] = ("critical", "high", "medium", "low", "informational")
"""Most urgent first."""
MAX_FOUND: Final = 1000
_MAX_TERMS: Final = 65_536
"""Values that Elasticsearch takes in one `terms` query (`index.max_terms_count`)."""
_SPARE: Final = 50
"""How many more a brief question reads, so that those to be left out need not be sent to the index by their ids."""
_NEW_INDEX_PAUSES: Final = (0.1, 0.3, 0.6)
"""Seconds; a shard that was just created answers within these, on any machine that is not overloaded."""

_FACETS: Final = {
    "rules": "rule.uuid",
    "tactics": "threat.tactic.name",
    "techniques": "threat.technique.id",
    "members": "organization.id",
}
_SORTS: Final[dict[str, list[Any]]] = {
    "newest": [{"@timestamp": "desc"}, {"event.id": "asc"}],
    "level": ["_score", {"@timestamp": "desc"}, {"event.id": "asc"}],
    "made": [{"event.created": "asc"}, {"event.id": "asc"}],
}

Order = Literal["newest", "level", "made"]
"""`made`: by the time the revision was made, oldest first."""


@dataclass(frozen=True, slots=True)
class AlertQuery:
    """Which alerts, in which order. Empty means: does not matter."""

    states: tuple[State, ...] = ()
    levels: tuple[Level, ...] = ()
    text: str = ""
    """Words of the sentence or the rule's name; the beginning of a key, a member's id or an alert's id."""
    members: tuple[str, ...] = ()
    """Members whose alerts also answer to `text` (a name's ids, looked up by the caller)."""
    hit: tuple[str, ...] = ()
    """Members, any of which was hit."""
    rules: tuple[str, ...] = ()
    """Uuids."""
    tactics: tuple[str, ...] = ()
    since: str = ""
    """RFC 3339; the alert's last hit is not earlier."""
    made_since: str = ""
    """RFC 3339; the revision was not made earlier."""
    key: tuple[str, str] | None = None
    """A group-by field and its value."""
    drill: bool | None = None
    """Only drills, or none of them."""
    only: frozenset[str] | None = None
    """Ids; no others."""
    without: frozenset[str] = frozenset()
    """Ids to leave out."""
    without_of: tuple[str, ...] = ()
    """What `without` stands for: counts are shared by it, since the ids change with every click."""
    brief: bool = False
    """For the rows of a screen: counted only as far as they are read (`Found.more`), which spares the index most."""
    order: Order = "newest"
    limit: int = 100


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
        """Reads some more and leaves out here; only if too few remain, the index is told what to leave out."""
        for asked in (replace(query, without=frozenset(), limit=limit + _SPARE), replace(query, limit=limit)):
            request = search_request(asked)
            hits = self._search(**request, track_total_hits=False)["hits"]["hits"]
            kept = [hit for hit in hits if hit["_id"] not in query.without]
            if len(kept) >= limit or len(hits) < request["size"]:
                break
        return kept[:limit]

    def counts(self, query: AlertQuery) -> Counts:
        """How many alerts fit the query, whatever its limit, and how those divide.

        Raises:
            ConnectionError_: Elasticsearch is away or refuses.
        """
        found = self._search(**counts_request(query)).get("aggregations", {})
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
        answer = self._search(**ages_request(query, edges))
        levels = answer.get("aggregations", {}).get("by", {}).get("buckets", [])
        return {level["key"]: [one["doc_count"] for one in level["ages"]["buckets"].values()] for level in levels}

    def tally(self) -> dict[tuple[str, str], int]:
        """Number of alerts for each (state, level).

        Raises:
            ConnectionError_: Elasticsearch is away or refuses.
        """
        by_level = {"by": {"terms": {"field": "jointsoc.alert.level"}}}
        by_state = {"by": {"terms": {"field": "jointsoc.alert.state"}, "aggs": by_level}}
        answer = self._search(size=0, aggs=by_state)
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

    def _search(self, **request: Any) -> dict[str, Any]:
        """One search; tried again for a moment while the index of a new month is being made (503)."""
        for pause in (*_NEW_INDEX_PAUSES, None):
            with translated(self._connection):
                try:
                    answer: dict[str, Any] = self._client.search(index=INDEX_PATTERN, **request).body
                    return answer
                except ApiError as error:
                    if error.meta.status != 503 or pause is None:
                        raise
            time.sleep(pause)
        raise AssertionError("unreachable: the last try returns or raises")


def search_request(query: AlertQuery) -> dict[str, Any]:
    """The search body for a query's alerts."""
    clauses = _clauses(query)
    clauses["filter"] += _terms("jointsoc.alert.level", query.levels) + _terms("jointsoc.alert.state", query.states)
    clauses["should"] = _level_weights() if query.order == "level" else []
    return {
        "query": {"bool": clauses},
        "sort": _SORTS[query.order],
        "size": min(query.limit, MAX_FOUND + 1 + _SPARE if query.brief else MAX_FOUND),
        "ignore_unavailable": True,
    }


def counts_request(query: AlertQuery) -> dict[str, Any]:
    """The search body for a query's counts.

    Levels and states are filtered facet by facet, so that each counts what the others leave.
    """
    levels = _terms("jointsoc.alert.level", query.levels)
    states = _terms("jointsoc.alert.state", query.states)
    return {
        "query": {"bool": _clauses(query)},
        "size": 0,
        "track_total_hits": False,
        "ignore_unavailable": True,
        "aggs": {
            "levels": _count("jointsoc.alert.level", states),
            "states": _count("jointsoc.alert.state", levels),
            **{name: _count(path, states + levels) for name, path in _FACETS.items()},
        },
    }


def ages_request(query: AlertQuery, edges: Sequence[str]) -> dict[str, Any]:
    """The search body for the ages of a query's alerts, level by level."""
    clauses = search_request(query)["query"]["bool"]
    later: list[str | None] = [None, *edges]
    spans = {
        f"{number:03}": {"range": {"event.end": {"gte": start, "lt": end}}}
        for number, (start, end) in enumerate(zip([*edges, None], later, strict=True))
    }
    return {
        "query": {"bool": clauses | {"should": []}},
        "size": 0,
        "track_total_hits": False,
        "ignore_unavailable": True,
        "aggs": {
            "by": {
                "terms": {"field": "jointsoc.alert.level"},
                "aggs": {"ages": {"filters": {"filters": spans}}},
            }
        },
    }


def _clauses(query: AlertQuery) -> dict[str, list[dict[str, Any]]]:
    """All that narrows, but levels and states."""
    base: list[dict[str, Any]] = []
    if query.text.strip():
        base.append(_text_clause(query.text.strip()[:200], query.members))
    base += [{"range": {"event.end": {"gte": query.since}}}] if query.since else []
    base += [{"range": {"event.created": {"gte": query.made_since}}}] if query.made_since else []
    base += [{"term": {f"jointsoc.group_by.{query.key[0]}": query.key[1]}}] if query.key else []
    base += _terms("organization.id", query.hit) + _terms("rule.uuid", query.rules)
    base += _terms("threat.tactic.name", query.tactics)
    base += [{"term": {"jointsoc.drill": query.drill}}] if query.drill is not None else []
    base += [_ids(query.only)] if query.only is not None else []
    return {"filter": base, "must_not": [_ids(query.without)] if query.without else []}


def _text_clause(text: str, members: tuple[str, ...]) -> dict[str, Any]:
    words = {"query": text, "type": "bool_prefix", "operator": "and", "fields": ["message", "rule.name.text"]}
    beginnings = ("jointsoc.group_by", "organization.id", "event.id", "threat.technique.id")
    spellings = {text, text.casefold(), text.upper()}
    should: list[dict[str, Any]] = [{"multi_match": words}]
    should += [{"prefix": {name: spelling}} for name in beginnings for spelling in sorted(spellings)]
    should += _terms("organization.id", members)
    return {"bool": {"should": should, "minimum_should_match": 1}}


def _level_weights() -> list[dict[str, Any]]:
    """Scores that put the levels in order: the minimal server has no scripts to sort by."""
    return [
        {"constant_score": {"filter": {"term": {"jointsoc.alert.level": level}}, "boost": float(weight)}}
        for weight, level in enumerate(reversed(LEVELS), start=1)
    ]


def _terms(name: str, values: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{"terms": {name: list(values)}}] if values else []


def _ids(ids: frozenset[str]) -> dict[str, Any]:
    """One of the ids, however many there are."""
    every = list(ids)
    parts = [every[start : start + _MAX_TERMS] for start in range(0, len(every), _MAX_TERMS)] or [[]]
    clauses = [{"terms": {"event.id": part}} for part in parts]
    return clauses[0] if len(clauses) == 1 else {"bool": {"should": clauses}}


def _count(name: str, filters: list[dict[str, Any]]) -> dict[str, Any]:
    return {"filter": {"bool": {"filter": filters}}, "aggs": {"by": {"terms": {"field": name, "size": 200}}}}


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
