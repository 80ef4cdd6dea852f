"""Who did what, from where: one document for every action, in an index that this process can add to but not change."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal
from uuid import uuid4

import structlog
from pydantic import BaseModel, ConfigDict, Field

from connectors.documents import Documents, Kind
from schemas.alert import RFC3339
from schemas.errors import ConnectionError_, printable
from schemas.times import now_ms, to_rfc3339

log = structlog.get_logger()

Action = Literal[
    "login", "login_failed", "logout", "triage", "read_event", "notify", "answer", "propose_exception",
    "approve_exception", "end_exception", "save_view", "remove_view", "denied",
]  # fmt: skip
MAX_WAITING: Final = 10_000
FOUR_WEEKS_MS: Final = 28 * 86_400_000


class AuditEntry(BaseModel):
    """One action of one person."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    timestamp: str = Field(alias="@timestamp", pattern=RFC3339)
    who: str
    action: Action
    target: str = ""
    detail: str = ""
    address: str = ""


ALL: Final = Kind("audit-*", AuditEntry, latest="@timestamp")


class Audit:
    """Writes entries; those that Elasticsearch cannot take now are kept and written first when it can again.

    Each also goes to the log, so that nothing is lost if the process ends meanwhile.
    """

    def __init__(self, documents: Documents, clock: Callable[[], int] = now_ms) -> None:
        self._documents, self._clock = documents, clock
        self._waiting: deque[tuple[str, AuditEntry]] = deque(maxlen=MAX_WAITING)
        self._lock = threading.Lock()

    def note(self, who: str, action: Action, target: str = "", detail: str = "", address: str = "") -> None:
        """Note one action; never fails."""
        entry = AuditEntry(
            timestamp=to_rfc3339(self._clock()),
            who=printable(who)[:60],
            action=action,
            target=printable(target)[:200],
            detail=printable(detail)[:1000],
            address=address,
        )
        log.info("dashboard.audit", **entry.model_dump(exclude={"timestamp"}))
        self._waiting.append((uuid4().hex, entry))
        self.flush()

    def flush(self) -> None:
        """Write what waits, oldest first."""
        with self._lock:
            try:
                while self._waiting:
                    identity, entry = self._waiting[0]
                    body = entry.model_dump(mode="json", by_alias=True)
                    self._documents.append(_kind_of(entry.timestamp), identity, body)
                    self._waiting.popleft()
            except ConnectionError_ as error:
                log.warning("dashboard.audit_waits", entries=len(self._waiting), why=str(error))

    def logged_in(self, through: str, details: Sequence[str]) -> set[str]:
        """Who logged in within the last four weeks, or somewhat longer ago.

        Args:
            through: the entry's target: how.
            details: any of which the entry has.

        Raises:
            ConnectionError_: Elasticsearch is away.
        """
        where = {"action": ("login",), "target": (through,), "detail": tuple(details)}
        kinds = {_kind_of(to_rfc3339(at)) for at in (self._clock(), self._clock() - FOUR_WEEKS_MS)}
        found = [self._documents.counts(kind, "who", where) for kind in kinds]
        return {who for names in found for who in names}

    def newest(self, limit: int, who: str = "") -> list[AuditEntry]:
        """The last entries, newest first.

        Raises:
            ConnectionError_: Elasticsearch is away.
        """
        where = {"who": (who,)} if who else {}
        return [AuditEntry.model_validate(one.body) for one in self._documents.find(ALL, where, limit=limit)]


def _kind_of(at: str) -> Kind:
    """The index of the month of an entry."""
    return Kind(f"audit-{at[:7].replace('-', '.')}", AuditEntry)
