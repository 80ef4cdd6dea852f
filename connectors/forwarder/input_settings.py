"""The inputs a forwarder's configuration can name: one model for each `type`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)

from connectors.settings import KafkaConnection

MAX_PATTERN: Final = 1000
GLOB: Final = frozenset("*?[")

Address = Annotated[str, StringConstraints(pattern=r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$")]
"""`host:port`; port 0 takes any that is free."""


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,40}$")]
    mapping: str = Field(min_length=1, description="a shipped mapping's name, or the path of a .yml file")
    timezone: str = Field(default="UTC", description="of times that name none, as classic syslog's")
    include: tuple[str, ...] = Field(default=(), description="fields the mapping sends only when asked to")

    @property
    def spooled(self) -> bool:
        """Whether its lines wait on disk: they cannot be asked for a second time."""
        return True

    @property
    def reads(self) -> str:
        """What it reads, for people."""
        raise NotImplementedError

    @field_validator("timezone")
    @classmethod
    def _is_a_time_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("not a time zone this machine knows; expected for example UTC or Asia/Taipei") from None
        return value


class Multiline(BaseModel):
    """Lines that belong together, such as a stack trace."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    begins: str = Field(max_length=MAX_PATTERN, description="RE2 pattern of a line that begins a new entry")
    max_lines: int = Field(default=200, ge=2, le=10_000)
    wait_seconds: float = Field(default=1.0, gt=0, le=60, description="an entry is complete after so long a silence")


class FileInput(_Input):
    """A log file, followed through rotation; with `*` several."""

    type: Literal["file"] = "file"
    path: Path
    start_at: Literal["beginning", "end"] = Field(
        default="beginning", description="where a file begins that was never read before"
    )
    multiline: Multiline | None = None

    @property
    def spooled(self) -> bool:
        """The log itself is the buffer."""
        return False

    @property
    def reads(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def is_glob(self) -> bool:
        """Whether the path names several files."""
        return bool(GLOB & set(str(self.path)))


class BackfillInput(_Input):
    """Whole files that do not grow: old logs, plain or .gz, and Windows' .evtx; each is read once."""

    type: Literal["backfill"]
    path: Path = Field(description="may hold `*`; read in the order of their names")
    multiline: Multiline | None = None

    @property
    def spooled(self) -> bool:
        """The files stay."""
        return False

    @property
    def reads(self) -> str:
        """The path."""
        return str(self.path)


class StdinInput(_Input):
    """Standard input."""

    type: Literal["stdin"]

    @property
    def reads(self) -> str:
        """Its name."""
        return "stdin"


class ServerKeys(BaseModel):
    """What a TLS listener shows, and whom it believes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    certificate_file: Path = Field(description="PEM, with the chain")
    key_file: Path = Field(description="PEM; mode 0600")
    client_ca_file: Path | None = Field(default=None, description="senders must show a certificate of this CA")


class SyslogInput(_Input):
    """Syslog over the network, RFC 3164 and 5424; over TCP and TLS framed by octet counts or by line ends."""

    type: Literal["syslog"]
    listen: Address
    transport: Literal["udp", "tcp", "tls"] = "udp"
    tls: ServerKeys | None = None
    max_connections: int = Field(default=256, ge=1, le=10_000)

    @property
    def reads(self) -> str:
        """Transport and address."""
        return f"syslog {self.transport} {self.listen}"

    @model_validator(mode="after")
    def _tls_has_keys(self) -> SyslogInput:
        if (self.transport == "tls") != (self.tls is not None):
            raise ValueError("transport tls needs `tls` with certificate_file and key_file; the others have none")
        return self


class HttpInput(_Input):
    """NDJSON by HTTP POST, with a bearer token."""

    type: Literal["http"]
    listen: Address
    token_file: Path = Field(description="a file holding the token and nothing else; mode 0600")
    tls: ServerKeys | None = None

    @property
    def reads(self) -> str:
        """Its address."""
        return f"http{'s' if self.tls else ''} {self.listen}"


class KafkaInput(_Input):
    """A topic of the institution's own Kafka; its positions are kept here, not in a consumer group."""

    type: Literal["kafka"]
    kafka: KafkaConnection
    topic: str = Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")
    start_at: Literal["beginning", "end"] = "beginning"

    @property
    def spooled(self) -> bool:
        """The topic stays."""
        return False

    @property
    def reads(self) -> str:
        """Topic and broker."""
        return f"topic {self.topic} at {','.join(self.kafka.bootstrap_servers)}"


def _type_of(value: Any) -> Any:
    return value.get("type", "file") if isinstance(value, dict) else getattr(value, "type", None)


InputSettings = Annotated[
    Annotated[FileInput, Tag("file")]
    | Annotated[BackfillInput, Tag("backfill")]
    | Annotated[StdinInput, Tag("stdin")]
    | Annotated[SyslogInput, Tag("syslog")]
    | Annotated[HttpInput, Tag("http")]
    | Annotated[KafkaInput, Tag("kafka")],
    Discriminator(
        _type_of,
        custom_error_type="input_type",
        custom_error_message="no such type of input; expected one of file, backfill, stdin, syslog, http, kafka",
    ),
]
"""One input; without a `type` it is a file."""
