"""What a check has to say about rules, as plain data that a cache can keep."""

from __future__ import annotations

from typing import Literal

import msgspec

from pipeline.detect.plan import AllOf, DetectionPlan, LogSource
from schemas.errors import RuleError, printable

Severity = Literal["error", "warning"]


class Finding(msgspec.Struct, frozen=True):
    """One thing about a rule: an error fails the build, a warning is for its author to judge."""

    severity: Severity
    check: str
    """Name of the check, as `--ignore` takes it."""
    where: str
    """`file:line`."""
    message: str
    """The whole line as people read it."""


class Summary(msgspec.Struct, frozen=True):
    """What other rules must know of a detection."""

    id: str
    name: str
    title: str
    where: str
    """`file:line`."""
    logsource: LogSource
    alerts: bool

    def stub(self) -> DetectionPlan:
        """A plan that stands for the detection where only its names and log source matter."""
        return DetectionPlan(self.id, self.title, self.logsource, AllOf(()), self.name, source=self.where)


def error(problem: RuleError) -> Finding:
    """A problem that fails the build."""
    return Finding("error", "build", problem.where, str(problem))


def warning(check: str, where: str, what: str) -> Finding:
    """A doubt."""
    return Finding("warning", check, where, printable(f"{where}: {what} [{check}]"))
