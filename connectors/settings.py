"""How a process reaches Kafka and Elasticsearch: what its YAML configuration file says, secrets kept in files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import ConfigError

Settings = TypeVar("Settings", bound=BaseModel)


def _nobody_listens(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")):
        raise ValueError("not an https address (http is for this machine alone)")
    return url


GuardedUrl = Annotated[str, AfterValidator(_nobody_listens)]
"""Where secrets are sent to."""


class KafkaConnection(BaseModel):
    """One user of one Kafka cluster."""

    model_config = ConfigDict(extra="forbid")

    bootstrap_servers: list[str] = Field(min_length=1)
    security_protocol: Literal["SASL_SSL", "SASL_PLAINTEXT", "SSL", "PLAINTEXT"] = "SASL_SSL"
    sasl_mechanism: Literal["SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str = Field(default="", description="for SASL")
    password_file: Path | None = Field(
        default=None, description="for SASL: a file holding the password and nothing else; mode 0600"
    )
    ca_file: Path | None = None
    certificate_file: Path | None = Field(default=None, description="PEM, for brokers that ask for a certificate")
    key_file: Path | None = Field(default=None, description="PEM; mode 0600")

    @model_validator(mode="after")
    def _has_credentials(self) -> KafkaConnection:
        if self.security_protocol.startswith("SASL") and not (self.username and self.password_file):
            raise ValueError(f"{self.security_protocol} needs username and password_file")
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file belong together")
        if self.security_protocol == "SSL" and self.certificate_file is None:
            raise ValueError("SSL needs certificate_file and key_file")
        return self

    def password(self) -> str:
        """What the password file holds.

        Raises:
            ConfigError: missing, empty, or readable by other users.
        """
        assert self.password_file is not None, "SASL has one"
        return read_secret(self.password_file)


class ElasticsearchConnection(BaseModel):
    """One user, or one API key, of one Elasticsearch cluster."""

    model_config = ConfigDict(extra="forbid")

    url: str
    username: str = ""
    password_file: Path | None = None
    api_key_file: Path | None = Field(
        default=None, description="in place of user and password: what `jsoc index key` wrote; mode 0600"
    )
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _has_credentials(self) -> ElasticsearchConnection:
        by_password = bool(self.username) and self.password_file is not None
        if by_password == (self.api_key_file is not None) or bool(self.username) != (self.password_file is not None):
            raise ValueError("needs username and password_file, or api_key_file alone")
        return self

    @property
    def secret_file(self) -> Path:
        """Where the password or the API key is."""
        found = self.api_key_file or self.password_file
        assert found is not None, "there is one"
        return found

    @property
    def who(self) -> str:
        """The user, as errors name it."""
        return self.username or f"the API key in {self.api_key_file}"


class DashboardConnection(BaseModel):
    """One user of the dashboard's REST interface."""

    model_config = ConfigDict(extra="forbid")

    url: GuardedUrl = Field(description="its address, without a path")
    token_file: Path = Field(description="what `jsoc user token` printed, and nothing else; mode 0600")
    ca_file: Path | None = None


def read_secret(path: Path) -> str:
    """The secret a file holds.

    Raises:
        ConfigError: missing, empty, or readable by other users.
    """
    try:
        mode = path.stat().st_mode
        secret = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(str(path), f"cannot read the secret: {error.strerror}") from error
    if mode & 0o077:
        raise ConfigError(
            str(path),
            "the secret can be read by other users",
            got=oct(mode & 0o777),
            expected="0o600",
            hint=f"chmod 600 {path}",
        )
    if not secret:
        raise ConfigError(str(path), "the secret is empty")
    return secret


def load_settings(path: Path, model: type[Settings]) -> Settings:
    """Read a YAML configuration file into its model; relative paths in it stay relative to the working folder.

    Raises:
        ConfigError: unreadable, not YAML, or not what the model wants; names the key.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(str(path), f"cannot read the configuration: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(str(path), f"not YAML: {error}") from error
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {place}", first["msg"], got=repr(first.get("input"))) from error
