"""A small Elasticsearch in memory: versions as the real one checks them, and faults on demand."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import orjson
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import ApiError

Fault = Exception | Callable[[list[dict[str, Any]]], Exception | dict[str, dict[str, Any]] | None]


def api_error(status: int, reason: str = "no") -> ApiError:
    node = NodeConfig("http", "127.0.0.1", 9200)
    meta = ApiResponseMeta(status, "1.1", HttpHeaders(), 0.01, node)
    return ApiError("error", meta, {"error": {"type": "some_exception", "reason": reason}})


class ElasticsearchDouble:
    """What `AlertStore` uses of the client.

    Attributes:
        stored: id -> (version, source).
        faults: taken one for each bulk request: an exception to raise, or a function of the request's targets that
            returns one, or id -> item error, or None.
        refuse: sources for which the mapping fails.
    """

    def __init__(self) -> None:
        self.stored: dict[str, tuple[int, bytes]] = {}
        self.indices = SimpleNamespace(put_index_template=self._put_template)
        self.faults: list[Fault] = []
        self.refuse: Callable[[bytes], bool] = lambda source: False
        self.templates = 0
        self.requests: list[list[str]] = []

    def close(self) -> None:
        """Nothing to give back."""

    def _put_template(self, *, name: str, body: dict[str, Any]) -> None:
        self.templates += 1

    def bulk(self, *, operations: list[Any]) -> SimpleNamespace:
        targets = [orjson.loads(line)["index"] for line in operations[::2]]
        self.requests.append([target["_id"] for target in targets])
        fault = self.faults.pop(0) if self.faults else None
        outcome = fault(targets) if callable(fault) else fault
        if isinstance(outcome, Exception):
            raise outcome
        broken = outcome or {}
        items = [
            broken.get(target["_id"]) or self._index(target, source)
            for target, source in zip(targets, operations[1::2], strict=True)
        ]
        return SimpleNamespace(body={"items": [{"index": item} for item in items]})

    def _index(self, target: dict[str, Any], source: bytes) -> dict[str, Any]:
        if self.refuse(source):
            return {"status": 400, "error": {"type": "document_parsing_exception", "reason": "failed to parse"}}
        assert target["version_type"] == "external_gte"
        known = self.stored.get(target["_id"], (-1, b""))[0]
        if target["version"] < known:
            return {"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "older"}}
        self.stored[target["_id"]] = (target["version"], source)
        return {"status": 201}
