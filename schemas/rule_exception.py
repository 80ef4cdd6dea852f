"""An exception: what a rule shall not fire on, who wants that, why, and until when."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.alert import RFC3339
from schemas.member import MemberId

ExceptionState = Literal["proposed", "in_force", "ended"]
MAX_DAYS: Final = 366


class RuleException(BaseModel):
    """One exception; in force it becomes a Sigma filter of the next rule pack, until it expires."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(description="UUID: the filter's id too")
    alert: str = Field(description="the alert it was made from")
    rule: str = Field(description="uuid of the rule that fired")
    title: str = Field(description="of that rule")
    fields: dict[str, str] = Field(min_length=1, description="the shared key: an event with all of them is left out")
    members: list[MemberId] = Field(default=[], description="only these members' events; empty: everybody's")
    owner: str = Field(description="who wants it")
    reason: str = Field(min_length=1, max_length=1000)
    made: str = Field(pattern=RFC3339)
    expires: str = Field(pattern=RFC3339)
    state: ExceptionState = "proposed"
    decided_by: str = Field(default="", description="who put it into force, or ended it")
    decided: str = ""


class ExceptionDocument(BaseModel):
    """As it is stored."""

    model_config = ConfigDict(extra="forbid")

    exception: RuleException
