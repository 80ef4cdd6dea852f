"""What can be asked of the alert index, and the searches that ask it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from schemas.alert import Level, State
from schemas.errors import EventError
from schemas.index_template import index_of

LEVELS: Final[tuple[Level, ...]] = ("critical", "high", "medium", "low", "informational")
"""Most urgent first."""
MAX_FOUND: Final = 1000
_MAX_TERMS: Final = 65_536
"""Values that Elasticsearch takes in one `terms` query (`index.max_terms_count`)."""
_MONTH_LETTERS: Final = len("yyyymm")
"""An id begins with its month."""

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

    def admits(self, alert_id: str) -> bool:
        """Whether the ids that are wanted and those to be left out let it in."""
        return alert_id not in self.without and (self.only is None or alert_id in self.only)


def search_request(query: AlertQuery) -> dict[str, Any]:
    """The search body for a query's alerts."""
    clauses = _clauses(query)
    clauses["filter"] += _terms("jointsoc.alert.level", query.levels) + _terms("jointsoc.alert.state", query.states)
    clauses["should"] = _level_weights() if query.order == "level" else []
    return {
        "query": {"bool": clauses},
        "sort": _SORTS[query.order],
        "size": min(query.limit, MAX_FOUND + 1 if query.brief else MAX_FOUND),
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
    """One of the ids, however many there are; each is looked for in its own month's index only."""
    by_month: dict[str, list[str]] = {}
    for one in ids:
        by_month.setdefault(one[:_MONTH_LETTERS], []).append(one)
    clauses = [
        _of_index(every[0], {"terms": {"event.id": every[start : start + _MAX_TERMS]}})
        for every in by_month.values()
        for start in range(0, len(every), _MAX_TERMS)
    ] or [{"terms": {"event.id": []}}]
    return clauses[0] if len(clauses) == 1 else {"bool": {"should": clauses}}


def _of_index(one: str, clause: dict[str, Any]) -> dict[str, Any]:
    try:
        index = index_of(one)
    except EventError:  # no alert has such an id
        return clause
    return {"bool": {"filter": [{"term": {"_index": index}}, clause]}}


def _count(name: str, filters: list[dict[str, Any]]) -> dict[str, Any]:
    return {"filter": {"bool": {"filter": filters}}, "aggs": {"by": {"terms": {"field": name, "size": 200}}}}
