"""Test cases beside the rules, as data: `tests/rules/<folder>/<rule>.yml` mirrors `rules/sigma/<folder>/<rule>.yml`.

For a detection each case is one event and whether it matches. For a correlation each case is a stream of events from
several members on relative time, and the alerts that must come of it; an empty list means none.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from schemas.times import to_rfc3339
from tests.local_centre import Arrival

CASES: Final = Path(__file__).parent
NOON: Final = 1_795_435_200_000
"""2026-11-23T12:00:00Z: the cases' second 0."""
_UNITS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}


def read_duration(text: object) -> int:
    """`1h 30m`, `59m 59s 999ms`... in milliseconds."""
    if not isinstance(text, str) or not re.fullmatch(r"(\d+(ms|[dhms]) ?)+", text):
        raise ValueError(f"{text!r} is not a duration like `1h 30m` or `500ms`")
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[dhms])", text))


Duration = Annotated[int, BeforeValidator(read_duration)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Step(_Part):
    """One event, or several alike."""

    at: Duration
    member: str
    event: dict[str, Any]
    repeat: int = Field(default=1, ge=1)
    every: Duration = 0
    late: Duration = Field(default=0, description="how long after it happened the broker takes it")

    def arrivals(self, number: int) -> list[Arrival]:
        """The events; their ids are new, their times real."""
        arrivals = []
        for index in range(self.repeat):
            at = NOON + self.at + index * self.every
            event = {"@timestamp": to_rfc3339(at), "event.id": f"{number}-{index}", **self.event}
            arrivals.append(Arrival(at + self.late, self.member, event))
        return arrivals


class Expected(_Part):
    """One settled alert."""

    group_by: dict[str, str] = {}
    members: list[str] = Field(description="in order of spread")
    groups: int
    events: int


class CorrelationCase(_Part):
    """A stream and its alerts."""

    name: str
    events: list[Step]
    expect: list[Expected]

    def arrivals(self) -> list[Arrival]:
        """All events in the order in which the broker takes them."""
        arrivals = [arrival for number, step in enumerate(self.events) for arrival in step.arrivals(number)]
        return sorted(arrivals, key=lambda arrival: arrival.appended)


class DetectionCase(_Part):
    """One event and the verdict."""

    name: str
    event: dict[str, Any]
    matches: bool


class CaseFile(_Part):
    """The cases of one rule."""

    rule: str = Field(description="the rule's name; a filter's id")
    values: Any = Field(default=None, description="a place for YAML anchors")
    members: dict[str, str] = Field(default={}, description="member -> corporate group; empty: the demo's six")
    cases: list[DetectionCase] | list[CorrelationCase] = Field(min_length=2)

    @model_validator(mode="after")
    def _names_differ(self) -> CaseFile:
        names = [case.name for case in self.cases]
        if len(set(names)) != len(names):
            raise ValueError(f"two cases of {self.rule} have the same name")
        return self


def load_cases(path: Path) -> CaseFile:
    """Read one file of cases."""
    return CaseFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def case_files() -> list[Path]:
    """Every file of cases."""
    return sorted(CASES.rglob("*.yml"))
