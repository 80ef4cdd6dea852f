"""What the centre tells one member of an alert, and what the member answers: `findings.<member>`, `feedback.<member>`.

A finding holds that member's own events and nothing of any other member but a band of how many there are.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.alert import RFC3339, Level
from schemas.member import MemberId

FINDINGS_PREFIX: Final = "findings."
FEEDBACK_PREFIX: Final = "feedback."

Verdict = Literal["false_alarm", "confirmed", "cannot_tell"]
Band = Literal["none", "1", "2-4", "5-9", "10+"]
MAX_WORDS: Final = 2000


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class OwnEvent(_Part):
    """One event of the member's own, by the id its own forwarder gave it."""

    event_id: str
    time: str = Field(pattern=RFC3339)
    detections: list[str]


class OwnView(_Part):
    """What a member may see of an alert, in whatever document it is told."""

    alert: str
    member: MemberId
    level: Level
    rule: str
    title: str
    key: dict[str, str] = Field(default={}, description="the shared key, where the alert's TLP lets it be told")
    hits: int = Field(description="the member's own")
    first_seen: str = Field(pattern=RFC3339)
    last_seen: str = Field(pattern=RFC3339)
    others: Band = Field(description="how many other members were hit")
    events: list[OwnEvent] = []
    tlp: str
    drill: bool = False


class Finding(OwnView):
    """What one member is told of one alert."""

    id: str = Field(description="the same for every repeat: of alert and member")
    revision: int = Field(description="grows when the member is told more")
    made: str = Field(pattern=RFC3339)
    asked: str = Field(default="", max_length=MAX_WORDS, description="what the centre wants to know or have done")
    deadline: str = Field(pattern=RFC3339)


class Answer(_Part):
    """What the member says to a finding."""

    finding: str
    verdict: Verdict
    incident: str = Field(default="", max_length=100, description="the member's incident number, if confirmed")
    reason: str = Field(default="", max_length=MAX_WORDS)


class AnswerRecord(_Part):
    """An answer as the centre keeps it: who and when are the centre's own knowledge."""

    answer: Answer
    member: MemberId
    who: str
    at: str = Field(pattern=RFC3339)


FindingState = Literal["waiting", "answered", "escalated"]


class FindingDocument(_Part):
    """A finding as the centre keeps it."""

    finding: Finding
    who: str = Field(description="the analyst who told the member")
    state: FindingState = "waiting"
    sent: bool = False
    answers: list[AnswerRecord] = Field(default=[], description="oldest first; the last one counts")


def others_band(number: int) -> Band:
    """How many others, no more exactly than a member may know.

    >>> [others_band(n) for n in (0, 1, 4, 9, 300)]
    ['none', '1', '2-4', '5-9', '10+']
    """
    bands: tuple[tuple[int, Band], ...] = ((0, "none"), (1, "1"), (4, "2-4"), (9, "5-9"))
    return next((band for most, band in bands if number <= most), "10+")


def finding_id(alert: str, member: str) -> str:
    """The id of what a member is told of an alert."""
    return f"{alert}-{member}"
