"""The Elasticsearch index of alerts: its name for each alert, and its template, made from the alert model."""

from __future__ import annotations

import re
import types
from collections.abc import Callable
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from schemas.alert import RFC3339, Alert
from schemas.errors import EventError
from schemas.member import ID_PATTERN
from schemas.member_part import MemberPart
from schemas.shared_part import SharedPart

TEMPLATE_NAME: Final = "alerts-centre"
CENTRE_PREFIX: Final = "alerts-centre-"
INDEX_PATTERN: Final = f"{CENTRE_PREFIX}*"
"""Every index the centre's analysts read; members' indices carry other names."""
MEMBER_TEMPLATE_NAME: Final = "alerts-member"
SHARED_TEMPLATE_NAME: Final = "alerts-shared"
AUDIENCES_PATTERN: Final = "alerts-*"
"""Every index that is made from the topic `alerts`."""

_ALERT_ID: Final = re.compile(r"(\d{4})(0[1-9]|1[0-2])-[0-9a-f]{24}")
_MEMBER_ID: Final = re.compile(ID_PATTERN)
_KEYWORD: Final = {"type": "keyword", "ignore_above": 1024}
_KEPT: Final = {"type": "keyword", "index": False, "doc_values": False}
"""In the source only: each field that is indexed costs every alert."""

_OVERRIDES: Final[dict[str, dict[str, Any]]] = {
    # Sentences are searched by their words.
    "message": {"type": "text"},
    "rule.name": _KEYWORD | {"fields": {"text": {"type": "text"}}},
    "rule.description": _KEPT,
    "rule.reference": _KEPT,
    # Rule authors choose the names of group-by fields: one flattened field keeps the mapping from growing with them.
    "jointsoc.group_by": {"type": "flattened", "ignore_above": 1024},
    # Read with its alert, never searched: kept in the source, not indexed.
    "jointsoc.evidence": {"type": "object", "enabled": False},
    "jointsoc.members": {"type": "object", "enabled": False},
    "key": {"type": "flattened", "ignore_above": 1024},
    "events": {"type": "object", "enabled": False},
    "exception.fields": {"type": "flattened", "ignore_above": 1024},
    "finding.key": {"type": "flattened", "ignore_above": 1024},
    "workflow.notes": {"type": "object", "enabled": False},
    "workflow.history": {"type": "object", "enabled": False},
}


def member_index_of(alert_id: str, member: str) -> str:
    """The index that holds a member's part of an alert; ids hold no dot, so `alerts-member.<id>.*` is one member's.

    Raises:
        EventError: as `index_of`; or the member's id is not one.

    >>> member_index_of("202611-0123456789abcdef01234567", "kestrel-bank")
    'alerts-member.kestrel-bank.2026.11'
    """
    if not _MEMBER_ID.fullmatch(member):
        raise EventError("jointsoc.members", "names no index", got=member, expected="a-z 0-9 -, 2 to 40 characters")
    return f"alerts-member.{member}.{month_of(index_of(alert_id))}"


def shared_index_of(alert_id: str) -> str:
    """The index that holds what all members may see of an alert.

    Raises:
        EventError: as `index_of`.

    >>> shared_index_of("202611-0123456789abcdef01234567")
    'alerts-shared-2026.11'
    """
    return f"alerts-shared-{month_of(index_of(alert_id))}"


def month_of(index: str) -> str:
    """The month that an index of any audience is for.

    >>> month_of("alerts-member.kestrel-bank.2026.11")
    '2026.11'
    """
    return index[-len("yyyy.mm") :]


def index_of(alert_id: str) -> str:
    """The index that holds an alert, from its id alone (docs/decisions/0005-alert-index-from-the-id.md).

    Raises:
        EventError: the id does not begin with a year and a month.

    >>> index_of("202611-0123456789abcdef01234567")
    'alerts-centre-2026.11'
    """
    match = _ALERT_ID.fullmatch(alert_id)
    if match is None:
        raise EventError("event.id", "names no index", got=alert_id, expected="<yyyymm>-<24 hexadecimal digits>")
    return f"{CENTRE_PREFIX}{match[1]}.{match[2]}"


def index_template() -> dict[str, Any]:
    """The composable template for `alerts-centre-*`, types from `Alert`."""
    return _template(INDEX_PATTERN, Alert)


def member_index_template() -> dict[str, Any]:
    """The composable template for every member's index, types from `MemberPart`."""
    return _template("alerts-member.*", MemberPart)


def shared_index_template() -> dict[str, Any]:
    """The composable template for `alerts-shared-*`, types from `SharedPart`."""
    return _template("alerts-shared-*", SharedPart)


TEMPLATES: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    TEMPLATE_NAME: index_template,
    MEMBER_TEMPLATE_NAME: member_index_template,
    SHARED_TEMPLATE_NAME: shared_index_template,
}
"""Name -> the template of each audience's indices."""


def _template(pattern: str, model: type[BaseModel]) -> dict[str, Any]:
    """A template whose types come from a model: unknown fields are kept but not indexed.

    `refresh_interval` is set, and short: half a second keeps "searchable" within the latency goal, and an index whose
    interval is set explicitly never stops refreshing because nobody searched it for a while. There is a replica as soon
    as there is a second node.
    """
    return {
        "index_patterns": [pattern],
        "priority": 200,
        "template": {
            "settings": {"number_of_shards": 1, "auto_expand_replicas": "0-1", "refresh_interval": "500ms"},
            "mappings": mappings_of(model),
        },
        "_meta": {"made_from": f"{model.__module__}.{model.__name__}"},
    }


def mappings_of(model: type[BaseModel]) -> dict[str, Any]:
    """Elasticsearch mappings for one of our models: unknown fields are kept but not indexed."""
    return {"dynamic": False, "properties": _properties(model, "")}


def _properties(model: type[BaseModel], prefix: str) -> dict[str, Any]:
    return {
        field.alias or name: _mapping(field, prefix + (field.alias or name))
        for name, field in model.model_fields.items()
    }


def _mapping(field: FieldInfo, path: str) -> dict[str, Any]:
    if path in _OVERRIDES:
        return dict(_OVERRIDES[path])
    kind = _element(field.annotation)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {"properties": _properties(kind, path + ".")}
    if kind is bool:
        return {"type": "boolean"}
    if kind is int:
        return {"type": "long"}
    if kind is str and any(getattr(rule, "pattern", None) == RFC3339 for rule in field.metadata):
        return {"type": "date", "format": "strict_date_time"}
    if kind is str or get_origin(kind) is Literal:
        return dict(_KEYWORD)
    raise TypeError(f"{path}: no Elasticsearch type for {field.annotation}; add one to _OVERRIDES")


def _element(annotation: Any) -> Any:
    """What an array or an optional field holds: Elasticsearch has neither arrays nor null as types."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (list, tuple):
        return _element(arguments[0])
    if origin in (Union, types.UnionType):
        present = [argument for argument in arguments if argument is not type(None)]
        return _element(present[0]) if len(present) == 1 else annotation
    return annotation
