"""Configuration of the dashboard process."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator

from connectors.settings import ElasticsearchConnection, KafkaConnection
from dashboard.oidc import OidcSettings


class DashboardSettings(BaseModel):
    """What `jsoc serve dashboard --config` reads."""

    model_config = ConfigDict(extra="forbid")

    elasticsearch: ElasticsearchConnection
    kafka: KafkaConnection = Field(description="original events, heartbeats, and what is exchanged with members")
    host: str = "127.0.0.1"
    port: int = Field(default=19080, ge=1, le=65535)
    members_file: Path
    flink_url: str = ""
    pack_file: Path | None = Field(default=None, description="the rule pack in force, to explain matches with")
    exceptions_dir: Path | None = Field(
        default=None, description="where exceptions in force are written as Sigma filters, for the next rule pack"
    )
    rules: list[Path] = Field(default=[], description="folders with rule files, to show their text")
    secrets_dir: Path | None = Field(
        default=None, description="user file, session key, first password; absent: beside Elasticsearch's password file"
    )
    served_as: list[str] = Field(default=[], description="further host names a browser may ask for, behind a proxy")
    oidc: OidcSettings | None = Field(default=None, description="an OpenID provider to log in with, beside passwords")
    timezone: str = Field(default="UTC", description="in which times are shown, such as Asia/Taipei")

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("no such time zone; expected a name such as Asia/Taipei or UTC") from error
        return name

    @property
    def secrets(self) -> Path:
        """The folder with the dashboard's own secrets."""
        return self.secrets_dir or self.elasticsearch.secret_file.parent
