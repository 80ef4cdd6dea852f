"""Small documents that people make - workflow, findings, exceptions, views, audit - each kind in its own index.

Every write says which version it follows; a write that follows an older one is refused, never merged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from elasticsearch import ApiError, BadRequestError, ConflictError, Elasticsearch, NotFoundError
from pydantic import BaseModel

from connectors.elasticsearch import open_client, translated
from connectors.settings import ElasticsearchConnection
from schemas.index_template import mappings_of

Where = Mapping[str, Sequence[str]]
"""Field -> values, any of which fits; all fields must."""

MAX_IDS: Final = 200_000
"""So many ids are 7 MB in each question that leaves them out."""
_SEARCH_WINDOW: Final = 10_000


class Version(NamedTuple):
    """Which write of a document this is (`_seq_no`, `_primary_term`)."""

    number: int
    term: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A document as it stands."""

    id: str
    body: dict[str, Any]
    version: Version


class Conflict(Exception):
    """Somebody else wrote the document first."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of document."""

    index: str
    model: type[BaseModel]
    latest: str = "_seq_no"
    """What tells which was written last; a pattern of several indices needs a field of its own."""


class Documents(Protocol):
    """Reading and writing; `ElasticsearchDocuments` is one."""

    def get(self, kind: Kind, identity: str) -> Stored | None:
        """The document, seen as soon as it is written."""

    def get_many(self, kind: Kind, identities: Sequence[str]) -> dict[str, Stored]:
        """Those of them that there are."""

    def put(self, kind: Kind, identity: str, body: Mapping[str, Any], after: Version | None) -> Version:
        """Write it, found by searches at once; `after` None: there must be none yet. Raises `Conflict`."""

    def append(self, kind: Kind, identity: str, body: Mapping[str, Any]) -> None:
        """Write a document that nobody changes later; found by searches within a second."""

    def find(self, kind: Kind, where: Where, *, limit: int) -> list[Stored]:
        """Documents that fit, written last first."""

    def changed(self, kind: Kind, field: str, since: str, limit: int) -> list[Stored]:
        """Documents whose time in the field is that or later, written last first."""

    def ids(self, kind: Kind, where: Where) -> list[str]:
        """Ids of those that fit, written last first, at most `MAX_IDS`."""

    def counts(self, kind: Kind, field: str, where: Where) -> dict[str, int]:
        """How many documents that fit hold each value of the field."""


class ElasticsearchDocuments:
    """The `workflow-*` and `audit-*` indices; each is made, with its mapping, before it is first written."""

    def __init__(self, connection: ElasticsearchConnection, *, request_timeout: float = 5.0) -> None:
        self._connection = connection
        self._client: Elasticsearch = open_client(connection, request_timeout=request_timeout)
        self._made: set[str] = set()

    def get(self, kind: Kind, identity: str) -> Stored | None:
        """The document, seen as soon as it is written.

        Raises:
            ConnectionError_: Elasticsearch is away or refuses; so do all methods.
        """
        return self.get_many(kind, [identity]).get(identity)

    def get_many(self, kind: Kind, identities: Sequence[str]) -> dict[str, Stored]:
        """Those of them that there are."""
        if not identities:
            return {}
        with translated(self._connection):
            try:
                answer = self._client.mget(index=kind.index, ids=list(identities)).body
            except NotFoundError:
                return {}
        return {item["_id"]: _stored(item) for item in answer["docs"] if item.get("found")}

    def put(self, kind: Kind, identity: str, body: Mapping[str, Any], after: Version | None) -> Version:
        """Write it, found by searches at once.

        Raises:
            Conflict: `after` is not its newest version, or None and there is one.
        """
        follows: dict[str, Any] = {"op_type": "create"}
        if after is not None:
            follows = {"if_seq_no": after.number, "if_primary_term": after.term}
        with translated(self._connection):
            self._make(kind)
            try:
                answer = self._client.index(index=kind.index, id=identity, document=body, refresh=True, **follows).body
            except ConflictError as error:
                raise Conflict(identity) from error
        return Version(answer["_seq_no"], answer["_primary_term"])

    def append(self, kind: Kind, identity: str, body: Mapping[str, Any]) -> None:
        """Write a document that nobody changes later."""
        with translated(self._connection):
            self._make(kind)
            try:
                self._client.create(index=kind.index, id=identity, document=body)
            except ConflictError:
                return  # the same again

    def find(self, kind: Kind, where: Where, *, limit: int) -> list[Stored]:
        """Documents that fit, latest first."""
        hits = self._search(kind, where, size=limit, sort=[{kind.latest: "desc"}], seq_no_primary_term=True)["hits"][
            "hits"
        ]
        return [_stored(hit) for hit in hits]

    def changed(self, kind: Kind, field: str, since: str, limit: int) -> list[Stored]:
        """Documents whose time in the field is that or later, latest first."""
        recent = [{"range": {field: {"gte": since}}}]
        order = [{kind.latest: "desc"}]
        hits = self._search(kind, {}, size=limit, sort=order, seq_no_primary_term=True, more=recent)["hits"]["hits"]
        return [_stored(hit) for hit in hits]

    def ids(self, kind: Kind, where: Where) -> list[str]:
        """Ids of those that fit, latest first.

        Asked for in pages, since one search gives 10,000 at most; `_seq_no` is unique, so that none is skipped.
        """
        found: list[str] = []
        page: dict[str, Any] = {}
        while len(found) < MAX_IDS:
            hits = self._search(
                kind,
                where,
                size=_SEARCH_WINDOW,
                sort=[{kind.latest: "desc"}],
                source=False,
                track_total_hits=False,
                **page,
            )["hits"]["hits"]
            found += [hit["_id"] for hit in hits]
            if len(hits) < _SEARCH_WINDOW:
                break
            page = {"search_after": hits[-1]["sort"]}
        return found[:MAX_IDS]

    def counts(self, kind: Kind, field: str, where: Where) -> dict[str, int]:
        """How many documents that fit hold each value of the field."""
        by = {"by": {"terms": {"field": field, "size": 1000}}}
        answer = self._search(kind, where, size=0, aggs=by)
        return {b["key"]: b["doc_count"] for b in answer.get("aggregations", {}).get("by", {}).get("buckets", [])}

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _search(self, kind: Kind, where: Where, more: Sequence[dict[str, Any]] = (), **request: Any) -> dict[str, Any]:
        filters = [{"terms": {name: list(values)}} for name, values in where.items()] + list(more)
        with translated(self._connection):
            answer: dict[str, Any] = self._client.search(
                index=kind.index, query={"bool": {"filter": filters}}, ignore_unavailable=True, **request
            ).body
        return answer

    def _make(self, kind: Kind) -> None:
        if kind.index in self._made:
            return
        settings = {"number_of_shards": 1, "auto_expand_replicas": "0-1", "refresh_interval": "1s"}
        try:
            self._client.indices.create(
                index=kind.index, settings=settings, mappings=mappings_of(kind.model), wait_for_active_shards=1
            )
        except BadRequestError as error:
            if not _is_there(error):
                raise
        self._made.add(kind.index)


def _stored(hit: Mapping[str, Any]) -> Stored:
    return Stored(hit["_id"], hit["_source"], Version(hit["_seq_no"], hit["_primary_term"]))


def _is_there(error: ApiError) -> bool:
    return error.error == "resource_already_exists_exception"
