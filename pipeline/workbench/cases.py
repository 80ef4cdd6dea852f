"""Test cases of rules, as data: `<rule>.cases.yaml` beside the rule, or in a tree that mirrors the rules.

For a detection each case is one event and whether it matches. For a correlation each case is a stream of events from
several members on relative time, and the alerts that must come of it; an empty list means none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from pipeline.detect.load import CASES_SUFFIX, MAX_FILE_BYTES
from pipeline.jobs.local_job import Line
from schemas.errors import ConfigError
from schemas.member import TOPIC_PREFIX
from schemas.times import to_rfc3339

NOON: Final = 1_795_435_200_000
"""2026-11-23T12:00:00Z: the cases' second 0."""
MAX_EVENTS: Final = 100_000
"""Events of one case."""
_UNITS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_DURATION: Final = re.compile(r"(\d{1,9}(ms|[dhms]) ?)+", re.ASCII)


def read_duration(text: object) -> int:
    """`1h 30m`, `59m 59s 999ms`... in milliseconds."""
    if not isinstance(text, str) or not _DURATION.fullmatch(text):
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
    repeat: int = Field(default=1, ge=1, le=MAX_EVENTS)
    every: Duration = 0
    late: Duration = Field(default=0, description="how long after it happened the broker takes it")

    def lines(self, number: int) -> list[Line]:
        """The events as the broker takes them; their ids are new, their times real."""
        lines = []
        for index in range(self.repeat):
            at = NOON + self.at + index * self.every
            event = {"@timestamp": to_rfc3339(at), "event.id": f"{number}-{index}", **self.event}
            lines.append(Line(at + self.late, number, index, TOPIC_PREFIX + self.member, 0, orjson.dumps(event)))
        return lines


class Expected(_Part):
    """One settled alert; what is left out may be anything."""

    group_by: dict[str, str] | None = None
    members: list[str] | None = Field(default=None, description="in order of spread")
    groups: int | None = None
    events: int | None = None


class CorrelationCase(_Part):
    """A stream and its alerts, in the order in which they begin."""

    name: str
    events: list[Step] = Field(min_length=1)
    expect: list[Expected]

    @model_validator(mode="after")
    def _not_too_many(self) -> CorrelationCase:
        if sum(step.repeat for step in self.events) > MAX_EVENTS:
            raise ValueError(f"more than {MAX_EVENTS} events in the case {self.name!r}")
        return self

    def lines(self) -> list[Line]:
        """All events in the order in which the broker takes them."""
        return sorted(line for number, step in enumerate(self.events) for line in step.lines(number))


class DetectionCase(_Part):
    """One event and the verdict."""

    name: str
    event: dict[str, Any]
    matches: bool


def _kind_of(case: object) -> str:
    told = case.keys() if isinstance(case, dict) else vars(case)
    return "stream" if "events" in told or "expect" in told else "event"


Case = Annotated[
    Annotated[DetectionCase, Tag("event")] | Annotated[CorrelationCase, Tag("stream")], Discriminator(_kind_of)
]


class CaseFile(_Part):
    """The cases of one rule."""

    rule: str = Field(description="the rule's name or id")
    values: Any = Field(default=None, description="a place for YAML anchors")
    members: dict[str, str] = Field(default={}, description="member -> corporate group; empty: the registry given")
    cases: list[Case] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> CaseFile:
        names = [case.name for case in self.cases]
        if len(set(names)) != len(names):
            raise ValueError(f"two cases of {self.rule} have the same name")
        return self


def load_cases(path: Path) -> CaseFile:
    """Read one file of cases.

    Raises:
        ConfigError: the file is missing, not YAML, or not cases.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(str(path), "too large for a file of cases", expected=f"at most {MAX_FILE_BYTES} bytes")
        return CaseFile.model_validate(yaml.load(path.read_bytes(), yaml.CSafeLoader))
    except OSError as error:
        raise ConfigError(str(path), f"cannot read the cases: {error.strerror}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(str(path), f"not YAML: {str(error).splitlines()[0]}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{path}: {place}" if place else str(path),
            first["msg"],
            got=repr(first.get("input")),
            hint="jsoc rules new",
        ) from error


def case_files(paths: Sequence[Path]) -> list[Path]:
    """The files of cases that the paths name: files; `*.cases.yaml` in rule folders; in a mirror tree, all YAML.

    A folder is a mirror tree if it holds no `*.cases.yaml`.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_file():
            found[path] = None
            continue
        beside = sorted(path.rglob(f"*{CASES_SUFFIX}"))
        found.update(dict.fromkeys(beside or sorted(path.rglob("*.y*ml"))))
    return list(found)
