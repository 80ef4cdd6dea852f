"""The rule pack in force: a file that may be replaced at any time, noticed between two batches."""

from __future__ import annotations

import gc
import os
import secrets
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, Protocol

import structlog

from pipeline.rulepack import RulePack, read_pack
from schemas.errors import JointSocError
from schemas.health import PackReport
from schemas.times import now_ms, to_rfc3339

log = structlog.get_logger()

LOOK_SECONDS: Final = 1.0
"""How often a worker looks at the file."""

Stage = Literal["detect", "correlate"]


class PackSource(Protocol):
    """Where a stage gets its pack from."""

    pack: RulePack

    def look(self, wanted: str = "") -> list[PackReport]:
        """See to it that `pack` is the one in force; news about that, to be published.

        Args:
            wanted: a version that other workers already use: worth looking for at once.
        """
        ...


class FixedPack:
    """A pack that never changes."""

    def __init__(self, pack: RulePack) -> None:
        self.pack = pack

    def look(self, wanted: str = "") -> list[PackReport]:  # noqa: ARG002
        """There is no news."""
        return []


class PackFile:
    """The pack that a file holds, replaced as a whole by whoever activates another.

    A file that is no pack of this release is refused: the pack in force stays, and a report says why, once.

    Args:
        path: the file.
        stage: who reports.
        clock: seconds; for tests.

    Raises:
        ConfigError: the first pack cannot be read: there is nothing to go on with.
    """

    def __init__(self, path: Path, stage: Stage, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._stage = stage
        self._clock = clock
        self._seen = _identity(path)
        self._looked = clock()
        self._worker = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(3)}"
        self.pack = read_pack(path)
        self._news = [self._report("")]

    def look(self, wanted: str = "") -> list[PackReport]:
        """As `PackSource.look`; at most each `LOOK_SECONDS`, unless another version is wanted."""
        news, self._news = self._news, []
        now = self._clock()
        if now - self._looked < LOOK_SECONDS and wanted in ("", self.pack.version):
            return news
        self._looked = now
        identity = _identity(self._path)
        if identity == self._seen or identity is None:
            return news
        self._seen = identity
        return [*news, *self._read()]

    def _read(self) -> list[PackReport]:
        try:
            pack = read_pack(self._path)
        except JointSocError as error:
            log.warning("pack.refused", path=str(self._path), error=str(error), stays=self.pack.version)
            return [self._report(str(error))]
        if pack.version == self.pack.version:
            return []
        self.pack = pack
        log.info("pack.in_force", version=pack.version, stage=self._stage)
        return [self._report("")]

    def _report(self, refused: str) -> PackReport:
        return PackReport(
            timestamp=to_rfc3339(now_ms()),
            stage=self._stage,
            worker=self._worker,
            version=self.pack.version,
            detections=len(self.pack.detections),
            correlations=len(self.pack.correlations),
            refused=refused,
        )


def settle_memory() -> None:
    """Take a new pack's objects out of the garbage collector's sight, and let go of the old one's.

    A full collection walks every object of the rules: 70 ms, again and again, for nothing.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _identity(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file is replaced; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
