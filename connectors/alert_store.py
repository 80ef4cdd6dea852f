"""Writing alert revisions to Elasticsearch until each is stored, outrun by a newer one, or refused for good."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson
import structlog
from elasticsearch import ApiError, Elasticsearch, TransportError

from connectors.elasticsearch import explained, reason_of
from connectors.index_lifecycle import install_lifecycle
from connectors.patience import Patience
from connectors.settings import ElasticsearchConnection
from schemas.errors import printable
from schemas.event import Origin
from schemas.index_template import TEMPLATES

log = structlog.get_logger()

MAX_BULK_DOCUMENTS: Final = 2000
MAX_BULK_BYTES: Final = 4 * 1024 * 1024
REFUSED_WAIT_SECONDS: Final = 10.0
"""Between tries when Elasticsearch refuses this user: only a person can mend that."""

Outcome = Literal["done", "again", "forbidden", "refused"]


@dataclass(frozen=True, slots=True)
class Document:
    """One alert revision, or a member's part of one, on its way into its index."""

    index: str
    id: str
    revision: int
    source: bytes
    """One line of JSON."""
    raw: bytes
    """The record as it came."""
    origin: Origin


@dataclass(frozen=True, slots=True)
class Refusal:
    """A document that Elasticsearch will never take, and why."""

    document: Document
    detail: str


class AlertStore:
    """The writing side of the alert index.

    Writes carry the revision as an external version: a late revision gets 409 and changes nothing, which counts as
    done. The kind is `external_gte`: a repeat of the same revision is harmless, and a tombstone that is rewritten
    with its final successor keeps its revision but must still replace the one before.

    Args:
        client: tries each request once.
        connection: for errors that name the address and the user.
        patience: decides how long to wait, and raises `Stopped`.
        keep_days: how long alerts are kept, where the server can see to it; None: for ever.
    """

    def __init__(
        self,
        client: Elasticsearch,
        connection: ElasticsearchConnection,
        patience: Patience,
        keep_days: int | None = None,
    ) -> None:
        self._client, self._connection, self._patience = client, connection, patience
        self._keep_days = keep_days
        self._template_installed = False
        self._chunk = MAX_BULK_DOCUMENTS

    def put(self, documents: Iterable[Document]) -> list[Refusal]:
        """Store documents, however long it takes; returns those refused for good.

        Only the newest revision of each id is sent. If that one is refused, the one before it is tried, so that one
        bad revision does not hide an alert.

        Raises:
            Stopped: the process must end; nothing is known about the documents.
        """
        waiting = _by_id(documents)
        refusals: list[Refusal] = []
        while waiting:
            for document, outcome, detail in self._send(self._next_chunk(waiting)):
                if outcome == "done":
                    del waiting[document.id]
                elif outcome == "refused":
                    refusals.append(Refusal(document, detail))
                    waiting[document.id].pop()
                    if not waiting[document.id]:
                        del waiting[document.id]
        return refusals

    def _next_chunk(self, waiting: dict[str, list[Document]]) -> list[Document]:
        chunk: list[Document] = []
        size = 0
        for revisions in waiting.values():
            size += len(revisions[-1].source)
            if chunk and (size > MAX_BULK_BYTES or len(chunk) >= self._chunk):
                break
            chunk.append(revisions[-1])
        return chunk

    def _send(self, chunk: list[Document]) -> list[tuple[Document, Outcome, str]]:
        """One bulk request; waits before it returns if anything must be tried again."""
        try:
            self._install_templates()
            answer = self._client.bulk(operations=list(_operations(chunk))).body
        except TransportError as error:
            self._template_installed = False  # the server that comes back may be a new one
            self._wait(error, "again")
            return []
        except ApiError as error:
            return self._whole_request_failed(chunk, error)
        results = [_result(document, item["index"]) for document, item in zip(chunk, answer["items"], strict=True)]
        worst = {outcome: detail for _, outcome, detail in results if outcome in ("again", "forbidden")}
        if not worst:
            self._succeeded()
        elif "forbidden" in worst:
            self._tell_and_wait("forbidden", worst["forbidden"])
        else:
            self._tell_and_wait("again", worst["again"])
        return results

    def _whole_request_failed(self, chunk: list[Document], error: ApiError) -> list[tuple[Document, Outcome, str]]:
        outcome = outcome_of(error.meta.status, "")
        if len(chunk) > 1 and (outcome == "refused" or error.meta.status == 429):
            self._chunk = max(1, len(chunk) // 2)  # too big for the server, or one document spoils it: narrow down
        if outcome == "refused":
            return [(chunk[0], "refused", _detail(error.meta.status, reason_of(error)))] if len(chunk) == 1 else []
        self._wait(error, outcome)
        return []

    def _install_templates(self) -> None:
        if not self._template_installed:
            lifecycle = install_lifecycle(self._client, self._keep_days)
            for name, make in TEMPLATES.items():
                template = make()
                template["template"]["settings"] |= lifecycle
                self._client.indices.put_index_template(name=name, body=template)
            self._template_installed = True

    def _wait(self, error: ApiError | TransportError, outcome: Outcome) -> None:
        self._tell_and_wait(outcome, str(explained(error, self._connection)))

    def _tell_and_wait(self, outcome: Outcome, why: str) -> None:
        forbidden = outcome == "forbidden"
        if self._patience.failed():
            tell = log.error if forbidden else log.warning
            tell("indexer.waiting_for_elasticsearch", why=why, tries=self._patience.tries)
        self._patience.wait(REFUSED_WAIT_SECONDS if forbidden else 0.0)

    def _succeeded(self) -> None:
        self._chunk = min(self._chunk * 2, MAX_BULK_DOCUMENTS)
        if self._patience.over():
            log.info("indexer.elasticsearch_is_back")


def outcome_of(status: int, kind: str) -> Outcome:
    """What an HTTP status means for one document.

    Args:
        status: of the item, or of the whole request.
        kind: the error's type; a `validation_exception` is about the cluster's limits, not about the document.
    """
    if status < 300 or status == 409:
        return "done"
    if status == 429 or status >= 500:
        return "again"
    if status in (401, 403, 404) or kind == "validation_exception":
        return "forbidden"
    return "refused"


def _by_id(documents: Iterable[Document]) -> dict[str, list[Document]]:
    """Revisions of each id, newest last; of two equal ones the later in the topic."""
    revisions: dict[str, list[Document]] = {}
    for document in documents:
        revisions.setdefault(document.id, []).append(document)
    for known in revisions.values():
        known.sort(key=lambda document: document.revision)
    return revisions


def _operations(chunk: list[Document]) -> Iterator[Any]:
    for document in chunk:
        target: dict[str, Any] = {"_index": document.index, "_id": document.id}
        yield orjson.dumps({"index": target | {"version": document.revision, "version_type": "external_gte"}})
        yield document.source


def _result(document: Document, item: dict[str, Any]) -> tuple[Document, Outcome, str]:
    error = item.get("error") or {}
    outcome = outcome_of(item["status"], error.get("type", ""))
    cause = error.get("caused_by", {}).get("reason", "")
    return document, outcome, _detail(item["status"], f"{error.get('reason', '')} {cause}")


def _detail(status: int, reason: str) -> str:
    return printable(f"{status} {reason}".strip())[:400]
