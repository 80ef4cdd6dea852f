"""The active rule pack as a worker of the job sees it: a file that is replaced while the stream flows.

Between two batches the detect stage looks whether the file is another one; the keyed stage looks when a batch names
another version than its own, so that it never takes a pack before a detect stage has. A pack that cannot be used is
refused, once and visibly, and the one in use stays. What was taken is kept beside the active file, so that a worker
that starts while the active pack is broken goes on with it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypeVar

import structlog

from pipeline.jobs.message import Passing
from pipeline.jobs.settings import HEALTH
from pipeline.rulepack import RulePack, read_pack
from schemas.errors import JointSocError
from schemas.health import PackReport
from schemas.times import now_ms, to_rfc3339

REPEAT_SECONDS: Final = 10.0
"""How often a worker says again which pack it uses."""

log = structlog.get_logger()

Stage = TypeVar("Stage")
_Identity = tuple[int, int, int]


class PackWatch:
    """One worker's view of the active pack.

    Args:
        path: the active pack.
        stage: which stage looks.
        worker: number of the subtask.
        clock: seconds; says when a report is to be repeated.
    """

    def __init__(
        self,
        path: Path,
        stage: Literal["detect", "correlate"],
        worker: int,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._stage: Literal["detect", "correlate"] = stage
        self._worker = worker
        self._clock = clock
        self._seen: _Identity | None = None
        self._refused = ""
        self._report_at = clock()
        self.version = ""

    def begin(self, make: Callable[[RulePack], Stage]) -> Stage:
        """The stage for the active pack; for the last one that was taken, if the active one cannot be used.

        Raises:
            JointSocError: neither can.
        """
        self._seen = _identity_of(self._path)
        try:
            return self._taken(read_pack(self._path), make)
        except Exception as error:
            self._refuse(error)
            kept = kept_pack(self._path)
            if not kept.exists():
                raise
            return self._taken(read_pack(kept), make)

    def is_due(self, version: str) -> bool:
        """Whether a stage that is told of a version should look: it is another one, or the report is to be repeated."""
        return version != self.version or self._clock() >= self._report_at

    def look(self, adopt: Callable[[RulePack], None]) -> list[Passing]:
        """Let the stage adopt the active pack if it is another one; the health messages to send.

        `adopt` must leave the stage as it was if it raises.
        """
        identity = _identity_of(self._path)
        if identity != self._seen:
            self._seen = identity
            try:
                pack = read_pack(self._path)
                if pack.version != self.version:
                    self._taken(pack, adopt)
                self._refused = ""
            except Exception as error:  # noqa: BLE001 - whatever is wrong with a pack, the stream goes on with the old one
                self._refuse(error)
            self._report_at = self._clock()
        if self._clock() < self._report_at:
            return []
        self._report_at = self._clock() + REPEAT_SECONDS
        report = PackReport(
            timestamp=to_rfc3339(now_ms()),
            stage=self._stage,
            worker=self._worker,
            version=self.version,
            refused=self._refused,
        )
        return [Passing(HEALTH, f"pack/{self._stage}/{self._worker}", report.to_json())]

    def _taken(self, pack: RulePack, use: Callable[[RulePack], Stage]) -> Stage:
        stage = use(pack)
        self.version = pack.version
        log.info("pack.taken", stage=self._stage, worker=self._worker, version=pack.version)
        if self._stage == "detect":
            _keep(pack, kept_pack(self._path))
        return stage

    def _refuse(self, error: Exception) -> None:
        self._refused = str(error) if isinstance(error, JointSocError) else f"{type(error).__name__}: {error}"
        log.error("pack.refused", stage=self._stage, worker=self._worker, kept=self.version, error=self._refused)


def kept_pack(path: Path) -> Path:
    """Where the last pack that was taken is kept, beside the active one."""
    return path.with_name(path.name + ".kept")


def _keep(pack: RulePack, place: Path) -> None:
    try:
        pack.write(place)
    except OSError as error:  # a read-only volume: then only a restart with a broken pack is harder
        log.warning("pack.not_kept", path=str(place), error=str(error))


def _identity_of(path: Path) -> _Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - once for each batch
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
