"""The alerts that somebody touched, by what became of them: every screen asks for them every second."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dashboard.triage import TO_DO, is_reopened
from schemas.workflow import Workflow

ASSIGNED: Final = "assigned"
REOPENED: Final = "reopened"

_NOTHING: Final[frozenset[str]] = frozenset()
_NOT_READ: Final = -1
"""The revision of a workflow of which only the status is known."""


class Touched:
    """Alert id -> its marks, and the ids of each mark; a mark is a status, `assigned` or `reopened`.

    Sets of ids are made once and given again until something changes: there may be 100,000 in one.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[frozenset[str], int]] = {}
        self._ids: dict[str, set[str]] = {}
        self._given: dict[frozenset[str], frozenset[str]] = {}
        self.changes = 0
        """Grows with everything that is learnt."""

    def remember(self, identity: str, marks: frozenset[str], revision: int) -> None:
        """What is known of an alert, in place of what was known before."""
        before, known = self._known.get(identity, (_NOTHING, _NOT_READ))
        if (before, known) == (marks, revision):
            return
        self.changes += 1
        self._known[identity] = (marks, revision)
        changed = before ^ marks
        for mark in changed & marks:
            self._ids.setdefault(mark, set()).add(identity)
        for mark in changed & before:
            self._ids[mark].discard(identity)
        if changed:
            self._given = {asked: ids for asked, ids in self._given.items() if not asked & changed}

    def remember_all(self, ids: Iterable[str], mark: str) -> None:
        """Alerts of which only the status is known yet."""
        marks = frozenset({mark})
        for identity in ids:
            self.remember(identity, marks, _NOT_READ)

    def of(self, marks: Iterable[str]) -> frozenset[str]:
        """Ids of the alerts that have one of the marks at least."""
        asked = frozenset(marks)
        if asked not in self._given:
            self._given[asked] = frozenset().union(*(self._ids.get(mark, _NOTHING) for mark in asked))
        return self._given[asked]


def marks_of(workflow: Workflow) -> frozenset[str]:
    """What is remembered of an alert: its status, whether somebody works on it, whether it was opened again."""
    to_do = workflow.status in TO_DO
    return frozenset(
        mark
        for mark, holds in (
            (workflow.status, True),
            (ASSIGNED, bool(workflow.assignee) and to_do),
            (REOPENED, is_reopened(workflow)),
        )
        if holds
    )
