"""The people's documents in memory, with versions as Elasticsearch checks them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from fnmatch import fnmatch
from typing import Any

from connectors.documents import MAX_IDS, Conflict, Kind, Stored, Version, Where
from schemas.errors import ConnectionError_


class DocumentsDouble:
    """Keeps documents in the order they were last written."""

    def __init__(self) -> None:
        self.indices: dict[str, dict[str, Stored]] = {}
        self.away = False
        self.before_put: list[Any] = []
        """Called, once each, just before a write: what another person does in that moment."""
        self._writes = 0

    def get(self, kind: Kind, identity: str) -> Stored | None:
        return self.get_many(kind, [identity]).get(identity)

    def get_many(self, kind: Kind, identities: Sequence[str]) -> dict[str, Stored]:
        return {one.id: deepcopy(one) for one in self._all(kind) if one.id in identities}

    def put(self, kind: Kind, identity: str, body: Mapping[str, Any], after: Version | None) -> Version:
        if self.before_put:
            self.before_put.pop(0)()
        known = self.get(kind, identity)
        if (known.version if known else None) != after:
            raise Conflict(identity)
        self._writes += 1
        version = Version(self._writes, 1)
        index = self.indices.setdefault(kind.index, {})
        index.pop(identity, None)
        index[identity] = Stored(identity, deepcopy(dict(body)), version)
        return version

    def append(self, kind: Kind, identity: str, body: Mapping[str, Any]) -> None:
        try:
            self.put(kind, identity, body, None)
        except Conflict:
            return

    def find(self, kind: Kind, where: Where, *, limit: int) -> list[Stored]:
        fitting = [deepcopy(one) for one in self._all(kind) if _fits(one.body, where)]
        return fitting[::-1][:limit]

    def changed(self, kind: Kind, field: str, since: str, limit: int) -> list[Stored]:
        found = [one for one in self.find(kind, {}, limit=10**6) if max(_values(one.body, field), default="") >= since]
        return found[:limit]

    def ids(self, kind: Kind, where: Where) -> list[str]:
        return [one.id for one in self.find(kind, where, limit=MAX_IDS)]

    def counts(self, kind: Kind, field: str, where: Where) -> dict[str, int]:
        return dict(Counter(v for one in self.find(kind, where, limit=10**6) for v in _values(one.body, field)))

    def _all(self, kind: Kind) -> list[Stored]:
        if self.away:
            raise ConnectionError_("elasticsearch https://127.0.0.1:19200", "no answer", hint="jsoc status")
        found = [one for name, index in self.indices.items() if fnmatch(name, kind.index) for one in index.values()]
        return sorted(found, key=lambda one: one.version)


def _fits(body: Mapping[str, Any], where: Where) -> bool:
    return all(set(_values(body, field)) & set(wanted) for field, wanted in where.items())


def _values(body: Any, field: str) -> list[str]:
    for name in field.split("."):
        body = body.get(name) if isinstance(body, Mapping) else None
    items = body if isinstance(body, list) else [body]
    return [str(item).lower() if isinstance(item, bool) else item for item in items if item not in (None, "")] or (
        [""] if body == "" else []
    )
