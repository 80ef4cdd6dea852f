"""What a person may do with an alert, as pure functions: a workflow and a wish in, the changed workflow out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from dashboard.language import say
from dashboard.vocabulary import label
from schemas.alert import Alert
from schemas.errors import printable
from schemas.workflow import (
    CENTRE,
    MAX_NOTE,
    MAX_TAGS,
    CloseReason,
    Deed,
    HistoryEntry,
    Note,
    Status,
    Workflow,
)

Act = Literal["acknowledge", "close", "reopen", "assign", "tag", "untag", "note"]
ACTS: Final[tuple[Act, ...]] = get_args(Act)
TO_DO: Final[tuple[Status, ...]] = ("open", "acknowledged")
REASONS: Final[tuple[CloseReason, ...]] = get_args(CloseReason)
MAX_TAG: Final = 40
MAX_WHY: Final = 1000
ADDING: Final[frozenset[Act]] = frozenset({"tag", "untag", "note"})
"""These take nothing from anybody, so they need not have read the newest revision."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants done.

    Attributes:
        seen: the workflow's revision on the person's screen.
        value: the close reason, assignee, tag or note, as the act needs.
        why: in the person's words.
    """

    act: Act
    seen: int = 0
    value: str = ""
    why: str = ""


class Refused(Exception):
    """The wish cannot be granted; says why."""


class Outdated(Exception):
    """Somebody changed the alert after this person read it."""

    def __init__(self, now: Workflow, since: Sequence[HistoryEntry]) -> None:
        self.now, self.since = now, list(since)
        super().__init__(say("changed by somebody else"))


def fresh(alert: Alert, at: str) -> Workflow:
    """The workflow of an alert that nobody touched yet."""
    return Workflow(
        id=alert.id,
        updated=at,
        rule=alert.rule.uuid,
        key=key_of(alert),
        members=list(alert.organization.id),
        level=alert.jointsoc.alert.level,
    )


def key_of(alert: Alert) -> list[str]:
    """The shared key as `field=value`, so that one exact search finds the same key under any rule."""
    return [f"{name}={value}" for name, value in alert.jointsoc.group_by.items()]


def granted(workflow: Workflow, wish: Wish, alert: Alert, who: str, at: str) -> Workflow:
    """The workflow after the wish.

    Args:
        workflow: as it stands now; never altered.
        wish: what the person wants.
        alert: the newest revision.
        who: the person's user name.
        at: RFC 3339.

    Raises:
        Outdated: it changed since the person read it, and the wish would overwrite that.
        Refused: the wish makes no sense now; the message says why.
    """
    if workflow.moved_to is not None:
        raise Refused(say("this alert was superseded; work on the one it lives on as"))
    if wish.act not in ADDING and wish.seen != workflow.revision:
        raise Outdated(workflow, _since(workflow, wish.seen))
    after = workflow.model_copy(deep=True)
    entry = _do(after, wish, who, at)
    if wish.act not in ADDING:
        after.members = list(alert.organization.id)
        after.level = alert.jointsoc.alert.level
    return noted(after, entry)


def noted(workflow: Workflow, entry: HistoryEntry) -> Workflow:
    """The workflow with one more line in its history."""
    return workflow.model_copy(
        update={"history": [*workflow.history, entry], "revision": workflow.revision + 1, "updated": entry.at}
    )


def _do(workflow: Workflow, wish: Wish, who: str, at: str) -> HistoryEntry:
    value, why = wish.value.strip(), wish.why.strip()[:MAX_WHY]
    match wish.act:
        case "acknowledge":
            before = _to(workflow, "acknowledged", {"open"})
            workflow.assignee = workflow.assignee or who
            return _entry(at, who, "acknowledged", before, "acknowledged", why)
        case "close":
            reason = next((known for known in REASONS if known == value), None)
            if reason is None:
                raise Refused(say("closing needs a reason: one of {reasons}", reasons=", ".join(REASONS)))
            before = _to(workflow, "closed", {"open", "acknowledged"})
            workflow.reason = reason
            return _entry(at, who, "closed", before, reason, why)
        case "reopen":
            before = workflow.reason or _to(workflow, "open", {"closed", "acknowledged"})
            workflow.status, workflow.reason = "open", None
            return _entry(at, who, "reopened", before, "open", why)
        case "assign":
            before, workflow.assignee = workflow.assignee, printable(value)[:60]
            return _entry(at, who, "assigned", before, workflow.assignee, why)
        case "tag":
            if not value or len(value) > MAX_TAG or not value.isprintable() or len(workflow.tags) >= MAX_TAGS:
                raise Refused(
                    say("a tag has 1 to {n} printable characters, an alert at most {m} tags", n=MAX_TAG, m=MAX_TAGS)
                )
            workflow.tags = sorted({*workflow.tags, value})
            return _entry(at, who, "tagged", "", value, why)
        case "untag":
            if value not in workflow.tags:
                raise Refused(say("the alert has no such tag"))
            workflow.tags = [tag for tag in workflow.tags if tag != value]
            return _entry(at, who, "untagged", value, "", why)
        case "note":
            if not value or len(value) > MAX_NOTE:
                raise Refused(say("a note has 1 to {n} characters", n=MAX_NOTE))
            workflow.notes = [*workflow.notes, Note(at=at, who=who, text=value)]
            return _entry(at, who, "noted", "", "", why)


def _to(workflow: Workflow, status: Status, allowed: set[Status]) -> str:
    if workflow.status not in allowed:
        raise Refused(say("this cannot be done now: it is {status}", status=label(workflow.status)))
    before, workflow.status = workflow.status, status
    return before


def _entry(at: str, who: str, deed: Deed, before: str, after: str, why: str) -> HistoryEntry:
    return HistoryEntry(at=at, who=who, deed=deed, before=before, after=after, why=why)


def _since(workflow: Workflow, seen: int) -> list[HistoryEntry]:
    # Each change is one revision and one line, but a successor inherits lines: count from the end.
    return workflow.history[-(workflow.revision - seen) :] if workflow.revision > seen else []


def is_reopened(workflow: Workflow) -> bool:
    """Whether the centre opened the alert again and nobody took it up since: it asks for attention."""
    changes = [entry for entry in workflow.history if entry.deed in ("acknowledged", "closed", "reopened")]
    return workflow.status == "open" and bool(changes) and changes[-1].deed == "reopened" and changes[-1].who == CENTRE


def reopened(workflow: Workflow, alert: Alert, at: str) -> Workflow | None:
    """A closed alert opens again when a new institution is hit; None if it may rest."""
    new = [member for member in alert.organization.id if member not in workflow.members]
    if workflow.status != "closed" or not new or workflow.reason == "drill":
        return None
    after = workflow.model_copy(update={"status": "open", "reason": None, "members": list(alert.organization.id)})
    return noted(
        after, _entry(at, CENTRE, "reopened", workflow.reason or "", "open", f"new: {', '.join(new)}"[:MAX_WHY])
    )


def inherited(old: Workflow, successor: Workflow, alert: Alert, at: str) -> tuple[Workflow, Workflow]:
    """What people said of a superseded alert moves to the alert it lives on as.

    Nothing that people did to the successor meanwhile is lost: its own status, assignee and reason stand if it was
    touched; tags, notes and history are united in the order of time.

    Returns:
        The old workflow, marked as moved, and the successor's.
    """
    moved = noted(
        old.model_copy(update={"status": "moved", "moved_to": successor.id}),
        _entry(at, CENTRE, "moved", old.status, "moved", successor.id),
    )
    untouched = successor.revision == 0
    update: dict[str, object] = {
        "tags": sorted({*old.tags, *successor.tags})[:MAX_TAGS],
        "notes": sorted([*old.notes, *successor.notes], key=lambda note: note.at),
        "history": sorted([*old.history, *successor.history], key=lambda entry: entry.at),
        "assignee": successor.assignee or old.assignee,
    }
    if untouched:
        update |= {"status": old.status, "reason": old.reason, "members": old.members}
    heir = noted(successor.model_copy(update=update), _entry(at, CENTRE, "moved", "", "", f"from {old.id}"))
    return moved, reopened(heir, alert, at) or heir
