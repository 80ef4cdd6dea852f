"""The analysts' desk: reads and writes workflows, so that nobody overwrites anybody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import structlog

from connectors.alert_index import Found
from connectors.alert_query import MAX_FOUND, AlertQuery
from connectors.documents import MAX_IDS, Conflict, Documents, Kind, Stored, Version
from dashboard.touched import ASSIGNED, REOPENED, Touched, marks_of
from dashboard.triage import TO_DO, Wish, fresh, granted, inherited, key_of, reopened
from schemas.alert import Alert
from schemas.times import from_rfc3339, now_ms, to_rfc3339
from schemas.workflow import Status, Workflow, WorkflowDocument

log = structlog.get_logger()

WORKFLOW: Final = Kind("workflow-alerts", WorkflowDocument)
_TRIES: Final = 5
_KEEP_SECONDS: Final = 1.0
"""How old the known statuses may be: other processes write workflows too."""
_OVERLAP_MS: Final = 60_000
"""Clocks of several dashboards may differ by so much."""
_MOST_CHANGED: Final = 10_000
_MOST_ALIKE: Final = 50
"""Closed alerts that are looked through for those with the same key; of a key of several fields, each finds some."""
_EPOCH: Final = "1970-01-01T00:00:00.000Z"


class Alerts(Protocol):
    """Where the desk reads alerts."""

    def find(self, query: AlertQuery) -> Found:
        """Alerts that fit the query."""

    def get(self, alert_id: str) -> Alert | None:
        """One alert as it stands now."""


class Desk:
    """Workflows by alert.

    Args:
        documents: where they are kept.
        alerts: where alerts are read.
        clock: ms since 1970.
    """

    def __init__(self, documents: Documents, alerts: Alerts, clock: Callable[[], int] = now_ms) -> None:
        self._documents, self._alerts, self._clock = documents, alerts, clock
        self._lock = threading.Lock()
        self._touched = Touched()
        self._newest: str | None = None
        self._looked = float("-inf")
        self.forgets = False
        """More alerts have one status than are remembered: those written longest ago count as open."""

    def of(self, alert: Alert) -> Workflow:
        """The alert's workflow; a fresh one if nobody touched it."""
        return self._read(alert)[0]

    def of_many(self, alerts: Sequence[Alert]) -> dict[str, Workflow]:
        """Alert id -> workflow, fresh where nobody touched it."""
        found = self._documents.get_many(WORKFLOW, [alert.id for alert in alerts])
        at = self._now()
        return {a.id: workflow_of(found[a.id]) if a.id in found else fresh(a, at) for a in alerts}

    def grant(self, alert: Alert, wish: Wish, who: str) -> Workflow:
        """Do what the person wishes.

        Raises:
            Outdated: somebody else changed it first; holds what they did.
            Refused: it makes no sense now.
        """
        return self.change(alert, lambda workflow: granted(workflow, wish, alert, who, self._now()))

    def change(self, alert: Alert, how: Callable[[Workflow], Workflow]) -> Workflow:
        """Write what `how` makes of the workflow; asks it again if another write came first."""
        for _ in range(_TRIES):
            workflow, version = self._read(alert)
            after = how(workflow)
            if after == workflow:
                return after
            try:
                self._write(after, version)
            except Conflict:
                continue
            return after
        raise Conflict(alert.id)

    def ids(self, *, statuses: Iterable[Status] = (), assignee: str = "", tag: str = "") -> list[str]:
        """Ids of touched alerts, written last first."""
        wanted = {"status": tuple(map(str, sorted(statuses))), "assignee": (assignee,), "tags": (tag,)}
        where = {f"workflow.{name}": values for name, values in wanted.items() if any(values)}
        return self._documents.ids(WORKFLOW, where)

    @property
    def changes(self) -> int:
        """Grows whenever a workflow is known to have changed; as of the last look."""
        return self._touched.changes

    def with_status(self, statuses: Iterable[Status]) -> frozenset[str]:
        """Ids of all touched alerts with one of the statuses."""
        return self._those(*statuses)

    def assigned(self) -> frozenset[str]:
        """Ids of the alerts that somebody still works on."""
        return self._those(ASSIGNED)

    def reopened(self) -> frozenset[str]:
        """Ids of the alerts that the centre opened again and nobody took up since."""
        return self._those(REOPENED)

    def _those(self, *marks: str) -> frozenset[str]:
        """They are read once and then only what changed, since every screen asks for them every second."""
        with self._lock:
            self._look_again()
            return self._touched.of(marks)

    def look(self) -> None:
        """Learn what changed, so that no page has to wait for it.

        Raises:
            ConnectionError_: the index is away.
        """
        with self._lock:
            self._look_again()

    def _look_again(self) -> None:
        if time.monotonic() - self._looked > _KEEP_SECONDS:
            self._look()

    def _look(self) -> None:
        started = time.monotonic()
        if self._newest is None:
            for status in ("open", "acknowledged", "moved", "closed"):
                self._look_at_all(status)
            for stored in reversed(self._documents.find(WORKFLOW, {"workflow.status": TO_DO}, limit=_MOST_CHANGED)):
                self._remember(workflow_of(stored))
            last = self._documents.find(WORKFLOW, {}, limit=1)
            self._newest = workflow_of(last[0]).updated if last else _EPOCH
        else:
            since = to_rfc3339(max(0, from_rfc3339(self._newest) - _OVERLAP_MS))
            for stored in reversed(self._documents.changed(WORKFLOW, "workflow.updated", since, _MOST_CHANGED)):
                workflow = workflow_of(stored)
                self._remember(workflow)
                self._newest = max(self._newest, workflow.updated)
        self._looked = started

    def _look_at_all(self, status: Status) -> None:
        ids = self._documents.ids(WORKFLOW, {"workflow.status": (status,)})
        self._touched.remember_all(ids, status)
        if len(ids) == MAX_IDS:
            self.forgets = True
            log.warning("desk.too_many_touched", status=status, known=MAX_IDS)

    def _remember(self, workflow: Workflow) -> None:
        self._touched.remember(workflow.id, marks_of(workflow), workflow.revision)

    def counts(self, field: str, status: Status | None = None) -> dict[str, int]:
        """How many touched alerts hold each value of a workflow field; of one status, or of any."""
        return self._documents.counts(WORKFLOW, f"workflow.{field}", {"workflow.status": (status,)} if status else {})

    def precedents(self, alert: Alert, limit: int = 10) -> list[Workflow]:
        """How this rule was closed before; those with the same key first, then the latest."""
        where = {"workflow.rule": (alert.rule.uuid,), "workflow.status": ("closed",)}
        key = key_of(alert)
        alike = self._documents.find(WORKFLOW, where | {"workflow.key": tuple(key)}, limit=_MOST_ALIKE) if key else []
        same = [one for one in map(workflow_of, alike) if one.key == key]
        latest = map(workflow_of, self._documents.find(WORKFLOW, where, limit=limit + 1))
        found = {one.id: one for one in (*same, *latest) if one.id != alert.id}
        return list(found.values())[:limit]

    def keep(self, since: str) -> str:
        """The centre's own work: reopen what a new institution joined, move what was superseded.

        Args:
            since: RFC 3339; alerts whose revision was made then or later are looked at.

        Returns:
            When the newest of them was made: where the next round begins.
        """
        while True:
            query = AlertQuery(made_since=since, order="made", limit=MAX_FOUND)
            alerts = self._alerts.find(query).alerts
            touched = self._documents.get_many(WORKFLOW, [alert.id for alert in alerts])
            for alert in alerts:
                if alert.id in touched:
                    self._keep_one(alert, workflow_of(touched[alert.id]))
            newest = alerts[-1].event.created if alerts else since
            if len(alerts) < MAX_FOUND or newest == since:
                return newest
            since = newest

    def _keep_one(self, alert: Alert, workflow: Workflow) -> None:
        successor_id = alert.jointsoc.alert.superseded_by
        if alert.jointsoc.alert.state == "superseded" and successor_id:
            successor = self._alerts.get(successor_id)
            if successor is not None and workflow.moved_to is None:
                self._move(alert, successor)
        elif reopened(workflow, alert, self._now()) is not None:
            self.change(alert, lambda now: reopened(now, alert, self._now()) or now)

    def _move(self, old: Alert, new: Alert) -> None:
        """The successor first: if the second write fails, the next round finds the old one unmoved and repeats."""
        before = self.of(old)

        def take(workflow: Workflow) -> Workflow:
            if any(entry.deed == "moved" and entry.why == f"from {old.id}" for entry in workflow.history):
                return workflow
            return inherited(before, workflow, new, self._now())[1]

        self.change(new, take)
        self.change(old, lambda workflow: inherited(workflow, fresh(new, self._now()), new, self._now())[0])

    def _read(self, alert: Alert) -> tuple[Workflow, Version | None]:
        stored = self._documents.get(WORKFLOW, alert.id)
        return (workflow_of(stored), stored.version) if stored else (fresh(alert, self._now()), None)

    def _write(self, workflow: Workflow, version: Version | None) -> None:
        self._documents.put(WORKFLOW, workflow.id, WorkflowDocument(workflow=workflow).model_dump(mode="json"), version)
        with self._lock:
            self._remember(workflow)

    def _now(self) -> str:
        return to_rfc3339(self._clock())


def workflow_of(stored: Stored) -> Workflow:
    """The workflow a stored document holds."""
    return WorkflowDocument.model_validate(stored.body).workflow
