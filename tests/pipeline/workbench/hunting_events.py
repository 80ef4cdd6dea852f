"""The events of all cases of the pack, with what the engine says of each: what hunting queries have to find."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.detect.evaluate import Detector
from pipeline.workbench.cases import DetectionCase, load_cases
from pipeline.workbench.rule_set import RuleSet
from schemas.event import Fields, flatten
from schemas.logsource import derive_logsource
from tests.local_centre import ROOT, RULES

CASES = ROOT / "tests" / "rules"


class Judged(NamedTuple):
    """One event, and the detections that match it."""

    number: int
    document: dict[str, Any]
    fields: Fields
    """The same, flat, as they were sent."""
    rules: frozenset[str]
    """Their ids."""


@cache
def pack() -> RuleSet:
    """The rules that come with the project."""
    return RuleSet([RULES])


def rule_files() -> dict[str, Path]:
    """Id of each detection -> its file."""
    return {one.id: Path(one.path) for one in pack().documents if one.kind == "detection"}


@cache
def judged_events() -> tuple[Judged, ...]:
    """Every different event of the cases."""
    plans = [*pack().detections.values()]
    detector = Detector(plans)
    seen: dict[str, dict[str, Any]] = {}
    for path in sorted(CASES.rglob("*.yml")):
        for case in load_cases(path).cases:
            for event in [case.event] if isinstance(case, DetectionCase) else [step.event for step in case.events]:
                seen.setdefault(repr(sorted(event.items(), key=str)), event)
    judged = []
    for number, event in enumerate(seen.values()):
        sent = flatten(event)
        fields = dict(sent)
        derive_logsource(fields)
        matched = frozenset(plans[index].id for index in detector.match(fields))
        judged.append(Judged(number, {"@timestamp": "2026-11-23T12:00:00.000Z", **event}, sent, matched))
    return tuple(judged)
