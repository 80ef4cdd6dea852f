"""The forwarder's configuration file."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ByteSize, ConfigDict, Field, model_validator

from connectors.forwarder.input_settings import Address, InputSettings
from connectors.settings import KafkaConnection
from connectors.spool import MIN_BYTES
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


class OldKeys(_Strict):
    """Keys of the epoch before: while they are named, identifiers leave under both, so that nothing tears apart."""

    institution: Path | None = None
    federation: Path | None = None
    epoch: int = Field(ge=1)


class KeyFiles(_Strict):
    """Where the pseudonym keys are; each file holds hexadecimal digits, mode 0600.

    `env:NAME` in place of a path takes the key from the environment.
    """

    institution: Path
    federation: Path | None = None
    epoch: int = Field(default=1, ge=1, description="sent with every pseudonym, so that a rotation can be followed")
    previous: OldKeys | None = None

    @model_validator(mode="after")
    def _epochs_go_up(self) -> KeyFiles:
        if self.previous is not None and self.previous.epoch >= self.epoch:
            raise ValueError(f"previous.epoch must be less than epoch; got {self.previous.epoch} and {self.epoch}")
        return self


class SpoolSettings(_Strict):
    """How much disk the spool of each input may take, and how often it is brought to the disk."""

    max_bytes: ByteSize = Field(default=ByteSize(1024**3), ge=MIN_BYTES, description="of each input that needs a spool")
    sync_seconds: float = Field(
        default=0.2, ge=0, le=10, description="at most so much is lost when the power fails; 0: nothing, but slower"
    )


class MetricsSettings(_Strict):
    """Counters for Prometheus."""

    listen: Address = "127.0.0.1:9464"


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
    spool: SpoolSettings = SpoolSettings()
    metrics: MetricsSettings | None = None
    heartbeat_seconds: float = Field(default=60.0, gt=0)
    poll_seconds: float = Field(default=0.1, ge=0.01, le=10)
    linger_seconds: float = Field(default=0.2, ge=0.0, le=5)

    @model_validator(mode="after")
    def _names_are_unique(self) -> ForwarderSettings:
        names = [one.name for one in self.inputs]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"input names must be unique; repeated: {', '.join(repeated)}")
        if self.kafka.security_protocol == "PLAINTEXT":
            raise ValueError("events leave encrypted or authenticated; PLAINTEXT is for an input of type kafka only")
        if sum(one.type == "stdin" for one in self.inputs) > 1:
            raise ValueError("only one input can read stdin")
        places = [one.reads for one in self.inputs if one.type in ("syslog", "http") and not one.reads.endswith(":0")]
        if len(set(places)) < len(places):
            raise ValueError("two inputs listen at the same address")
        return self
