"""How far each input was brought to safety: one small file, replaced as a whole."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.errors import ConfigError

FILE_NAME: Final = "positions.json"
LOCK_NAME: Final = "lock"


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: int
    member: str
    inputs: dict[str, list[dict[str, Any]]]


class PositionsFile:
    """The positions of one forwarder; holds the folder's lock while it is open.

    Args:
        folder: the forwarder's own; made if it is not there.
        member: whose forwarder it is.

    Raises:
        ConfigError: the folder cannot be used, another forwarder uses it, or the file is damaged.
    """

    def __init__(self, folder: Path, member: str) -> None:
        self._path = folder / FILE_NAME
        self._member = member
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(str(folder), f"cannot keep positions here: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise ConfigError(
                str(folder), "another forwarder uses this state_dir", hint="stop it, or give each its own state_dir"
            ) from error
        try:
            self.inputs = self._read()
        except ConfigError:
            self.close()
            raise

    def save(self, inputs: dict[str, list[dict[str, Any]]]) -> None:
        """Replace the file; whenever the machine stops, the old one or the new one is there whole.

        Raises:
            OSError: the disk is full or gone.
        """
        if inputs == self.inputs:
            return
        content = orjson.dumps({"version": 1, "member": self._member, "inputs": inputs}, option=orjson.OPT_INDENT_2)
        fresh = self._path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        _sync_folder(self._path.parent)
        self.inputs = inputs

    def close(self) -> None:
        """Let another forwarder use the folder."""
        os.close(self._lock)

    def _read(self) -> dict[str, list[dict[str, Any]]]:
        try:
            content = _Content.model_validate(orjson.loads(self._path.read_bytes()))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, ValidationError) as error:
            raise ConfigError(
                str(self._path),
                f"the positions cannot be read ({type(error).__name__})",
                hint="move the file away: every log is then read from its beginning again, which changes nothing",
            ) from error
        if content.version != 1 or content.member != self._member:
            raise ConfigError(
                str(self._path),
                "these are not this forwarder's positions",
                got=f"version {content.version}, member {content.member}",
                expected=f"version 1, member {self._member}",
            )
        return content.inputs


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
