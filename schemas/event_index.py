"""The Elasticsearch indices of a centre that keeps events too: their names, and how each field is indexed.

The centre itself stores alerts. Whoever copies the topics `events.<member>` to Elasticsearch, with any connector, puts
this template first; then hunting queries (`sigma convert -p jointsoc_ecs`) find what the rules would have found.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from schemas.field_names import ANYTHING_BELOW, listed_fields

TEMPLATE_NAME: Final = "events"
INDEX_PATTERN: Final = "events-*"
"""Indices are `events-<member>-<yyyy.MM.dd>`: one member's can be read, kept and deleted alone."""

Kind = Literal["keyword", "ip", "long", "date"]

_DATES: Final = (
    *("@timestamp", "*.created", "*.start", "*.end", "*.ingested", "*.accessed", "*.mtime", "*.not_after"),
    *("*.not_before", "*.delivery_timestamp"),
)
_ADDRESSES: Final = ("*.ip", "*.resolved_ip")
_NUMBERS: Final = (
    *("*.port", "*.bytes", "*.packets", "*.pid", "*.size", "*.as.number", "*.status_code", "*.exit_code"),
    *("*.thread.id", "*.duration", "*.severity", "*.sequence", "*.risk_score", "*.risk_score_norm", "*.args_count"),
    "jointsoc.rollup.count",
)
_PATTERNS: Final[dict[Kind, tuple[str, ...]]] = {"date": _DATES, "ip": _ADDRESSES, "long": _NUMBERS}
_TESTS: Final = {
    kind: re.compile("|".join(re.escape(pattern).replace(r"\*", ".+") for pattern in patterns))
    for kind, patterns in _PATTERNS.items()
}

_MAPPINGS: Final[dict[Kind, dict[str, Any]]] = {
    # Sigma compares without regard to case. Longer texts are kept but not found: Lucene's limit is 32,766 bytes.
    "keyword": {"type": "keyword", "normalizer": "lowercase", "ignore_above": 8191},
    # One odd value, such as a masked address, must not cost the event.
    "ip": {"type": "ip", "ignore_malformed": True},
    "long": {"type": "long", "ignore_malformed": True},
    "date": {"type": "date", "ignore_malformed": True},
}
_SCALARS: Final = ["string", "long", "double", "boolean"]


def kind_of(field: str) -> Kind:
    """How a field is indexed, from its name alone.

    >>> kind_of("source.ip"), kind_of("destination.port"), kind_of("event.code")
    ('ip', 'long', 'keyword')
    """
    return next((kind for kind, test in _TESTS.items() if test.fullmatch(field)), "keyword")


def event_template() -> dict[str, Any]:
    """The composable template for `events-*`.

    Known fields are mapped from the start, for ES|QL refuses a query that names an unmapped one; any other field is
    mapped by the same rules when it first comes.
    """
    return {
        "index_patterns": [INDEX_PATTERN],
        "priority": 200,
        "template": {
            "settings": {
                "number_of_shards": 1,
                "auto_expand_replicas": "0-1",
                "index.mapping.total_fields.limit": 4000,
            },
            "mappings": {
                "date_detection": False,
                "dynamic_templates": _dynamic_templates(),
                "properties": _properties(),
            },
        },
        "_meta": {"made_from": "schemas.event_index"},
    }


def _dynamic_templates() -> list[dict[str, Any]]:
    named: list[dict[str, Any]] = [
        {kind: {"path_match": list(patterns), "match_mapping_type": _SCALARS, "mapping": _MAPPINGS[kind]}}
        for kind, patterns in _PATTERNS.items()
    ]
    return [*named, {"keyword": {"match_mapping_type": _SCALARS, "mapping": _MAPPINGS["keyword"]}}]


def _properties() -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for field in sorted(listed_fields()):
        *parents, leaf = field.split(".")
        if leaf == ANYTHING_BELOW:
            continue
        place = properties
        for parent in parents:
            place = place.setdefault(parent, {"properties": {}})["properties"]
        place[leaf] = _MAPPINGS[kind_of(field)]
    return properties
