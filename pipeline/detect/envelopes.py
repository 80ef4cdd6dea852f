"""What tools wrap events in, taken off: CloudTrail's `Records`, Graph's `value`, a search's hits, JSON within JSON.

{"Records": [{"eventName": "a"}, {"eventName": "b"}]}   ->   {"eventName": "a"}, {"eventName": "b"}
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson

_LISTS: Final = ("Records", "records", "value", "Events")
"""CloudTrail's files, Azure's diagnostics, Microsoft Graph, `aws cloudtrail lookup-events`."""
_JSON_TEXTS: Final = {"CloudTrailEvent": "EventId", "AuditData": "Operations"}
"""A field that holds the event as JSON text -> a field that stands beside it (CloudTrail's look-up, Microsoft 365)."""
_DOCUMENTS: Final = {"_source": "_index", "result": "preview"}
"""A field that holds the event as an object -> a field that stands beside it (Elasticsearch, Splunk)."""

NAMES: Final = frozenset({"hits", *_LISTS, *_JSON_TEXTS, *_DOCUMENTS})
"""One of these is in everything that may be wrapped."""


def events_in(record: Any) -> Iterable[Any]:
    """The events of one JSON value, usually that value itself; what is no object is passed on as it is."""
    if not isinstance(record, dict) or NAMES.isdisjoint(record):
        return (record,)
    return [_opened(item) if isinstance(item, dict) else item for item in _listed(record)]


def _listed(record: dict[str, Any]) -> list[Any]:
    hits = record.get("hits")
    if isinstance(hits, dict) and isinstance(hits.get("hits"), list):
        return list(hits["hits"])
    for name in _LISTS:
        items = record.get(name)
        # An event may have such a field too: then it has more than numbers and texts beside it.
        if isinstance(items, list) and _are_objects(items) and not _has_structure(record, name):
            return items
    return [record]


def _are_objects(items: list[Any]) -> bool:
    return bool(items) and all(isinstance(item, dict) for item in items)


def _has_structure(record: dict[str, Any], but: str) -> bool:
    return any(isinstance(value, dict | list) for name, value in record.items() if name != but)


def _opened(item: dict[str, Any]) -> dict[str, Any]:
    for name, witness in _DOCUMENTS.items():
        inner = item.get(name)
        if isinstance(inner, dict) and witness in item:
            return inner
    for name, witness in _JSON_TEXTS.items():
        text = item.get(name)
        if isinstance(text, str) and witness in item:
            found = json_object(text)
            if found is not None:
                return found
    return item


def json_object(text: str) -> dict[str, Any] | None:
    """The object a text is the JSON of, if it is."""
    try:
        found = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return None
    return found if isinstance(found, dict) else None
