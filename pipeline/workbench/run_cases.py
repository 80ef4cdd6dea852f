"""Runs cases: the production code's verdict beside the expected one, and the reason where they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from pipeline.detect.explain import explain, lines_of
from pipeline.jobs.local_job import LocalJob
from pipeline.rulepack import RulePack
from pipeline.workbench.cases import CaseFile, CorrelationCase, DetectionCase, Expected
from pipeline.workbench.rule_set import RuleSet, correlation_in
from schemas.alert import Alert, alert_from_json
from schemas.dead_letter import DeadLetter
from schemas.errors import ConfigError, RuleError
from schemas.event import flatten
from schemas.logsource import derive_logsource
from schemas.member import Member, MemberRegistry
from schemas.rule_document import RuleDocument

LATENESS: Final = 3_600_000
"""ms an event of a case may be late."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one case."""

    path: Path
    rule: str
    case: str
    passed: bool
    reasons: tuple[str, ...] = ()
    """Why it failed, one line each."""


def run_cases(
    rules: RuleSet,
    files: Mapping[Path, CaseFile],
    registry: MemberRegistry,
    wanted: Callable[[str], bool] = lambda _: True,
) -> Iterator[Outcome]:
    """Run every case of every file.

    Args:
        rules: where the files' rules are.
        files: by their paths.
        registry: members of files that name none.
        wanted: told `rule: case`; says whether to run it.

    Raises:
        ConfigError: a file for a rule that is not there, or with members that cannot be.
        RuleError: a rule that cannot be honoured.
    """
    for path, file in files.items():
        document = rules.find(file.rule)
        cases = [case for case in file.cases if wanted(f"{file.rule}: {case.name}")]
        if not cases:
            continue
        pack = None
        if document.kind == "correlation":
            pack = rules.pack_of(document, _registry(file, path) or registry)
        for case in cases:
            if isinstance(case, DetectionCase) and pack is None:
                reasons = _try_event(rules, document, case)
            elif isinstance(case, CorrelationCase) and pack is not None:
                reasons = _try_stream(pack, document, case)
            else:
                wants = "`events` and `expect`" if pack else "`event` and `matches`"
                raise ConfigError(f"{path}: {case.name}", f"the rule is a {document.kind}", expected=wants)
            yield Outcome(path, file.rule, case.name, not reasons, tuple(reasons))


def _registry(file: CaseFile, path: Path) -> MemberRegistry | None:
    if not file.members:
        return None
    try:
        members = tuple(Member(id=one, name=one, group=group) for one, group in file.members.items())
        return MemberRegistry(members=members)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{path}: members", first["msg"], got=repr(first["input"])) from error


def _try_event(rules: RuleSet, document: RuleDocument, case: DetectionCase) -> list[str]:
    if document.kind != "detection":
        raise RuleError(document.where(), "a filter has no cases of its own", hint="test the rules that it is for")
    fields = flatten(case.event)
    derive_logsource(fields)
    explained = explain(rules.plan(document), fields)
    if explained.matched is case.matches:
        return []
    return [f"expected {'a match' if case.matches else 'no match'}", *lines_of(explained)]


def _try_stream(pack: RulePack, document: RuleDocument, case: CorrelationCase) -> list[str]:
    refused: list[DeadLetter] = []
    alerts = run_stream(pack, case, refused.append)
    identity = correlation_in(pack, document).id
    found = [alert for alert in alerts if alert.rule.uuid == identity]
    reasons = [f"refused: {letter.reason}: {letter.detail}" for letter in refused]
    matching = len(found) == len(case.expect) and all(map(_fits, case.expect, found))
    if not matching:
        reasons += [f"expected {_shown(one)}" for one in case.expect] or ["expected no alert"]
        reasons += [f"found    {_shown(_seen(alert))}" for alert in found] or ["found    no alert"]
    return reasons


def run_stream(pack: RulePack, case: CorrelationCase, on_refused: Callable[[DeadLetter], None]) -> list[Alert]:
    """The settled alerts of a stream, in the order in which they begin."""
    job = LocalJob(pack, LATENESS, on_refused, settled_only=True)
    batches = groupby(case.lines(), key=lambda line: line.append_time)
    passings = [passing for _, together in batches for passing in job.feed(together)]
    alerts = {passing.key: alert_from_json(passing.value) for passing in [*passings, *job.finish()]}
    return sorted(alerts.values(), key=lambda alert: (alert.event.start, alert.id))


def _seen(alert: Alert) -> Expected:
    part = alert.jointsoc
    members = [member.id for member in part.members]
    return Expected(group_by=part.group_by, members=members, groups=part.groups, events=part.events)


def _fits(expected: Expected, alert: Alert) -> bool:
    seen = _seen(alert).model_dump()
    return all(seen[key] == value for key, value in expected.model_dump(exclude_none=True).items())


def _shown(one: Expected) -> str:
    parts = one.model_dump(exclude_none=True)
    parts["group_by"] = ", ".join(f"{field}={value}" for field, value in (one.group_by or {}).items())
    parts["members"] = " > ".join(one.members or ())
    return "an alert: " + "; ".join(f"{key} {value}" for key, value in parts.items() if value not in ("", None))
