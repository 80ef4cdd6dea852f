"""The forwarder's configuration file."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from connectors.settings import KafkaConnection
from schemas.member import MemberId

Network = IPv4Network | IPv6Network

INTERNAL_NETWORKS: Final[tuple[Network, ...]] = tuple(
    ip_network(network)
    for network in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)
"""Addresses every institution has for itself: forwarded, 10.0.0.1 of two members would look like one attacker."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KeyFiles(_Strict):
    """Where the pseudonym keys are; each file holds hexadecimal digits, mode 0600."""

    institution: Path
    federation: Path | None = None
    epoch: int = Field(default=1, ge=1, description="sent with every pseudonym, so that a rotation can be followed")


class InputSettings(_Strict):
    """One log and the mapping that reads it."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,40}$")]
    type: Literal["file", "stdin"] = "file"
    path: Path | None = None
    mapping: str = Field(min_length=1, description="a shipped mapping's name, or the path of a .yml file")
    start_at: Literal["beginning", "end"] = Field(
        default="beginning", description="where a file begins that was never read before"
    )
    timezone: str = Field(default="UTC", description="of times that name none, as classic syslog's")
    include: tuple[str, ...] = Field(default=(), description="fields the mapping sends only when asked to")

    @field_validator("timezone")
    @classmethod
    def _is_a_time_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("not a time zone this machine knows; expected for example UTC or Asia/Taipei") from None
        return value

    @model_validator(mode="after")
    def _files_have_paths(self) -> InputSettings:
        if (self.type == "file") != (self.path is not None):
            raise ValueError("an input of type file needs a path, one of type stdin has none")
        return self


class ForwarderSettings(_Strict):
    """One institution's forwarder."""

    member: MemberId
    kafka: KafkaConnection
    state_dir: Path = Field(description="positions and dead letters; belongs to this forwarder alone")
    keys: KeyFiles
    inputs: tuple[InputSettings, ...] = Field(min_length=1)
    internal_networks: tuple[Network, ...] = Field(
        default=INTERNAL_NETWORKS, description="addresses that do not leave; replaces the default list"
    )
    heartbeat_seconds: float = Field(default=60.0, gt=0)
    poll_seconds: float = Field(default=0.1, ge=0.01, le=10)
    linger_seconds: float = Field(default=0.2, ge=0.0, le=5)

    @model_validator(mode="after")
    def _names_are_unique(self) -> ForwarderSettings:
        names = [one.name for one in self.inputs]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"input names must be unique; repeated: {', '.join(repeated)}")
        if sum(one.type == "stdin" for one in self.inputs) > 1:
            raise ValueError("only one input can read stdin")
        return self
