"""The rule pack in force: a file that may be replaced at any time, noticed between two batches."""

from __future__ import annotations

import gc
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
REPEAT_SECONDS: Final = 10.0
"""How often it says which pack it uses, so that whoever asks later hears it."""

_THRESHOLDS: Final = (100_000, 50, 20)
"""New objects after which the youngest are looked at, and rounds of that after which older ones are."""

Stage = Literal["detect", "correlate"]


Adopt = Callable[[RulePack], None]
"""Makes a stage use a pack; leaves it as it was if it raises."""


class PackSource(Protocol):
    """Where a stage gets its pack from."""

    def begin(self, adopt: Adopt) -> None:
        """Let the stage adopt its first pack."""
        ...

    def look(self, adopt: Adopt, wanted: str = "") -> list[PackReport]:
        """Let the stage adopt another pack, if there is one; news about that, to be published.

        Args:
            adopt: the stage's.
            wanted: the version that made what the stage is to handle next.
        """
        ...


class FixedPack:
    """A pack that never changes."""

    def __init__(self, pack: RulePack) -> None:
        self._pack = pack

    def begin(self, adopt: Adopt) -> None:
        """Let the stage adopt the pack."""
        adopt(self._pack)

    def look(self, adopt: Adopt, wanted: str = "") -> list[PackReport]:  # noqa: ARG002
        """There is no news."""
        return []


class PackFile:
    """The pack that a file holds, replaced as a whole by whoever activates another.

    A file that is no pack of this release, or holds rules that do not compile, is refused: the pack in force stays, and
    a report says why. What a detect stage has taken is kept beside the file, so that a worker that starts while the
    file is broken goes on with that. A keyed stage follows: it looks when hits come that another pack made, and so
    never has a pack that no detect stage has taken.

    Args:
        path: the file.
        stage: who reports.
        subtask: number of the worker among those of its stage.
        clock: seconds; for tests.
    """

    def __init__(self, path: Path, stage: Stage, subtask: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._stage: Stage = stage
        self._worker = f"{stage}/{subtask}"
        self._clock = clock
        self._seen = _identity(path)
        self._looked = clock()
        self._told: float | None = None
        self._refused = ""
        self._summary: tuple[str, int, int] = ("", 0, 0)

    @property
    def version(self) -> str:
        """Of the pack in force."""
        return self._summary[0]

    def begin(self, adopt: Adopt) -> None:
        """Let the stage adopt the pack of the file; if that cannot be used, the one that was taken last.

        Raises:
            JointSocError: there is no pack to go on with.
        """
        try:
            self._take(read_pack(self._path), adopt)
        except Exception as error:  # noqa: BLE001 - as in `_read`
            try:
                kept = read_pack(kept_file(self._path))
            except JointSocError:
                raise error from None  # the active pack is what a person can mend
            self._refuse(error)
            self._take(kept, adopt)

    def look(self, adopt: Adopt, wanted: str = "") -> list[PackReport]:
        """As `PackSource.look`; at most each `LOOK_SECONDS`, unless another version is wanted."""
        now, another = self._clock(), wanted not in ("", self.version)
        if not another and now - self._looked < LOOK_SECONDS and self._told is not None:
            return []
        self._looked = now
        identity = _identity(self._path)
        if identity not in (None, self._seen) and (another or self._stage == "detect"):
            self._seen = identity
            self._read(adopt)
        elif self._told is not None and now - self._told < REPEAT_SECONDS:
            return []
        self._told = now
        return [self._report()]

    def _read(self, adopt: Adopt) -> None:
        try:
            pack = read_pack(self._path)
            if pack.version != self.version:
                self._take(pack, adopt)
            self._refused = ""
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a pack, the stream goes on with the old one
            self._refuse(error)

    def _take(self, pack: RulePack, adopt: Adopt) -> None:
        adopt(pack)
        settle_memory()
        self._summary = pack.version, len(pack.detections), len(pack.correlations)
        log.info("pack.in_force", version=pack.version, worker=self._worker)
        if self._stage == "detect" and not self._refused:
            try:
                pack.write(kept_file(self._path))
            except OSError as error:  # a read-only volume; the stream does not depend on it
                log.warning("pack.not_kept", path=str(self._path), error=str(error))

    def _refuse(self, error: Exception) -> None:
        self._refused = str(error) if isinstance(error, JointSocError) else f"{type(error).__name__}: {error}"
        log.error("pack.refused", worker=self._worker, error=self._refused, stays=self.version)

    def _report(self) -> PackReport:
        version, detections, correlations = self._summary
        return PackReport(
            timestamp=to_rfc3339(now_ms()),
            stage=self._stage,
            worker=self._worker,
            version=version,
            detections=detections,
            correlations=correlations,
            refused=self._refused,
        )


def kept_file(path: Path) -> Path:
    """Where the last pack that was taken is kept, beside the active one."""
    return path.with_name(path.name + ".kept")


def settle_memory() -> None:
    """Take a new pack's objects out of the garbage collector's sight, let go of the old one's, and look seldom.

    A full collection walks every object: 70 ms for the rules alone, again and again, for nothing. And nearly all that
    comes stays: with Python's own thresholds a hit that opened a group took 24 us, in place of 10.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


def _identity(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file is replaced; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
