"""What people do with an alert: a companion document with the alert's id that the pipeline never writes."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.alert import RFC3339, Level

Status = Literal["open", "acknowledged", "closed", "moved"]
"""`moved`: the alert was superseded, and what people said of it lives on with its successor."""
CloseReason = Literal["true_positive", "benign_true_positive", "false_positive", "duplicate", "drill", "no_action"]
Deed = Literal[
    "acknowledged",
    "closed",
    "reopened",
    "assigned",
    "tagged",
    "untagged",
    "noted",
    "moved",
    "notified",
    "answered",
    "escalated",
    "excepted",
]
"""What a line of the history tells; people's and the centre's own deeds stand in one list."""

CENTRE: Final = ""
"""The name in the history of what no person did."""
MAX_NOTE: Final = 4000
MAX_TAGS: Final = 20


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Note(_Part):
    """What somebody wants the next reader to know."""

    at: str = Field(pattern=RFC3339)
    who: str
    text: str = Field(max_length=MAX_NOTE)


class HistoryEntry(_Part):
    """One change; entries are added and never altered."""

    at: str = Field(pattern=RFC3339)
    who: str = Field(description="empty: the centre itself")
    deed: Deed
    before: str = ""
    after: str = ""
    why: str = ""


class Workflow(_Part):
    """`workflow.*` of one alert. `revision` counts its changes, so that a person can say which one was read."""

    id: str = Field(description="the alert's")
    revision: int = 0
    status: Status = "open"
    reason: CloseReason | None = None
    assignee: str = ""
    tags: list[str] = []
    notes: list[Note] = []
    history: list[HistoryEntry] = []
    updated: str = Field(pattern=RFC3339)
    rule: str = Field(default="", description="uuid of the rule: precedents are found by it")
    key: list[str] = Field(default=[], description="`field=value` of each group-by field")
    members: list[str] = Field(default=[], description="members hit when a person last decided; a new one reopens")
    level: Level = "medium"
    moved_to: str | None = None


class WorkflowDocument(_Part):
    """As it is stored."""

    workflow: Workflow
