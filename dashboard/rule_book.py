"""The rules as people read them: their text, and why a detection matches one event."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import structlog

from pipeline.correlate.correlation import Correlation
from pipeline.detect.explain import explain, lines_of
from pipeline.detect.plan import DetectionPlan
from pipeline.rulepack import RulePack, read_pack
from schemas.errors import ConfigError, printable
from schemas.event import Fields

log = structlog.get_logger()

_ID: Final = re.compile(r"^id: *[\"']?([0-9a-fA-F-]{36})", re.MULTILINE)
MAX_RULE_BYTES: Final = 200_000
MAX_FILES: Final = 20_000
MAX_LINES: Final = 200


class RuleBook:
    """Rule texts by id, and the rule pack in force; both are optional, and pages say so where they are missing.

    Args:
        folders: where rule files lie.
        pack_file: the pack the job reads; read again when it changes.
    """

    def __init__(self, folders: Sequence[Path], pack_file: Path | None) -> None:
        self._folders, self._pack_file = folders, pack_file
        self._places: dict[str, Path] | None = None
        self._pack: RulePack | None = None
        self._stamp: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def pack(self) -> RulePack | None:
        """The pack in force; None where it cannot be read."""
        with self._lock:
            if self._pack_file is None:
                return None
            try:
                stat = self._pack_file.stat()
                if (stamp := (stat.st_mtime_ns, stat.st_size)) != self._stamp:
                    self._stamp = stamp
                    self._pack = read_pack(self._pack_file)
                    self._places = None
            except (OSError, ConfigError) as error:
                log.warning("dashboard.pack_unreadable", error=str(error))
            return self._pack

    def correlation(self, rule: str) -> Correlation | None:
        """The correlation of that uuid in the pack in force."""
        pack = self.pack()
        return next((one for one in pack.correlations if one.id == rule), None) if pack else None

    def needed(self, rule: str) -> int:
        """How many corporate groups the correlation of that uuid wants; 0 where it is not known."""
        correlation = self.correlation(rule)
        return correlation.min_organizations if correlation else 0

    def text(self, rule: str) -> str | None:
        """The rule's own YAML; None if no file of ours holds it."""
        with self._lock:
            if self._places is None:
                self._places = dict(_places(self._folders))
            path = self._places.get(rule.lower())
        try:
            return path.read_text(encoding="utf-8", errors="replace")[:MAX_RULE_BYTES] if path else None
        except OSError:
            return None

    def why(self, titles: Iterable[str], fields: Fields) -> list[str]:
        """For each detection of those titles, each of its conditions with the event's own value."""
        pack, wanted = self.pack(), set(titles)
        plans: list[DetectionPlan] = [plan for plan in pack.detections if plan.title in wanted] if pack else []
        return ["\n".join(_lines(plan, fields)) for plan in plans[:10]]


def _lines(plan: DetectionPlan, fields: Fields) -> list[str]:
    lines = [printable(line) for line in lines_of(explain(plan, fields))]
    return lines if len(lines) <= MAX_LINES else [*lines[:MAX_LINES], "..."]


def _places(folders: Sequence[Path]) -> Iterable[tuple[str, Path]]:
    files = (file for folder in folders for pattern in ("*.yml", "*.yaml") for file in sorted(folder.rglob(pattern)))
    for _, file in zip(range(MAX_FILES), files, strict=False):
        try:
            text = file.read_text(encoding="utf-8", errors="replace")[:MAX_RULE_BYTES]
        except OSError:
            continue
        for rule in _ID.findall(text):
            yield rule.lower(), file
