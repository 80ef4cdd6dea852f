"""What could not be read or stored: raw bytes, reason and place, so that a person can mend and replay it."""

from __future__ import annotations

import base64

from pydantic import BaseModel, ConfigDict, Field

from schemas.event import Reason, Rejected
from schemas.times import to_rfc3339


class DeadLetter(BaseModel):
    """One line, record or document that was refused."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    timestamp: str = Field(alias="@timestamp", description="append time of the record")
    reason: Reason
    detail: str = ""
    security: bool = Field(default=False, description="a person should ask why this came")
    topic: str
    partition: int
    offset: int
    line: int = 0
    raw: str = Field(description="the bytes as they came, base64")

    @property
    def key(self) -> str:
        """The same for every repeat of the same letter."""
        return f"{self.topic}/{self.partition}/{self.offset}/{self.line}"

    def raw_bytes(self) -> bytes:
        """The bytes as they came."""
        return base64.b64decode(self.raw)

    def to_json(self) -> bytes:
        """The letter as one line of JSON."""
        return self.model_dump_json(by_alias=True).encode()


def dead_letter_of(rejected: Rejected) -> DeadLetter:
    """The letter for a rejected line."""
    origin = rejected.origin
    return DeadLetter(
        timestamp=to_rfc3339(origin.append_time),
        reason=rejected.reason,
        detail=rejected.detail,
        security=rejected.security,
        topic=origin.topic,
        partition=origin.partition,
        offset=origin.offset,
        line=rejected.line,
        raw=base64.b64encode(rejected.raw).decode(),
    )
