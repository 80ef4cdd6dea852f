"""The member registry: which institutions belong to the joint SOC, and which corporate group each counts for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from schemas.errors import ConfigError

TOPIC_PREFIX = "events."

ID_PATTERN = r"^[a-z0-9-]{2,40}$"
MemberId = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
"""Names the topic `events.<id>`; DESIGN: `[a-z0-9-]{2,40}`."""


class Member(BaseModel):
    """One institution."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: MemberId
    name: str
    kind: Literal["bank", "securities", "insurer", "payments", "other"] = "other"
    group: str = Field(default="", description="the corporate group that counts once; empty: the member itself")
    datasets: tuple[str, ...] = ()
    contacts: tuple[str, ...] = ()
    key_epoch: int = 1
    clock_offset: int = Field(default=0, description="milliseconds added to the member's event times")
    enabled: bool = True

    @property
    def topic(self) -> str:
        """The one topic this member writes."""
        return TOPIC_PREFIX + self.id


class MemberRegistry(BaseModel):
    """All members; part of the rule pack, since `min_organizations` counts its groups."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    members: tuple[Member, ...] = ()

    @model_validator(mode="after")
    def _ids_are_unique(self) -> MemberRegistry:
        ids = [member.id for member in self.members]
        repeated = sorted({identity for identity in ids if ids.count(identity) > 1})
        if repeated:
            raise ValueError(f"member ids must be unique; repeated: {', '.join(repeated)}")
        return self

    def enabled_ids(self) -> frozenset[str]:
        """Ids of the members whose events count."""
        return frozenset(member.id for member in self.members if member.enabled)

    def groups(self) -> dict[str, str]:
        """Member id -> corporate group; an unregistered member is its own group."""
        return {member.id: member.group or member.id for member in self.members}

    def clock_offsets(self) -> dict[str, int]:
        """Member id -> ms to add to its event times."""
        return {member.id: member.clock_offset for member in self.members}

    def names(self) -> dict[str, str]:
        """Member id -> the institution's name."""
        return {member.id: member.name for member in self.members}


def member_of_topic(topic: str) -> str:
    """The member a topic belongs to: identity comes from the topic name, never from the payload.

    >>> member_of_topic("events.kestrel-bank")
    'kestrel-bank'
    """
    return topic.removeprefix(TOPIC_PREFIX)


def load_registry(path: Path) -> MemberRegistry:
    """Read `members.yml`.

    Raises:
        ConfigError: the file is missing, not YAML, or not a registry.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(str(path), f"cannot read the member registry: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(str(path), f"not YAML: {error}") from error
    try:
        return MemberRegistry.model_validate(data if data is not None else {})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{path}: {place}",
            first["msg"],
            got=repr(first.get("input")),
            hint="see docs/operations.md#members",
        ) from error


def save_registry(path: Path, registry: MemberRegistry) -> None:
    """Write `members.yml`, whole or not at all."""
    text = yaml.safe_dump(registry.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
