"""Every rule does what its cases say, and every rule has cases."""

from __future__ import annotations

from functools import cache
from itertools import groupby
from pathlib import Path

import pytest

from deploy.demo.institutions import load_institutions
from pipeline.detect.evaluate import Detector
from pipeline.detect.load import load_documents
from pipeline.rulepack import RulePack
from schemas.event import Fields, flatten
from schemas.logsource import derive_logsource
from schemas.member import Member, MemberRegistry
from tests.local_centre import RULES, LocalCentre, build_our_pack
from tests.rules.cases import CASES, CaseFile, CorrelationCase, DetectionCase, Expected, case_files, load_cases

FILES = {path.relative_to(CASES).with_suffix("").as_posix(): load_cases(path) for path in case_files()}
DETECTION_CASES = [(f, c) for f in FILES.values() for c in f.cases if isinstance(c, DetectionCase)]
CORRELATION_CASES = [(f, c) for f in FILES.values() for c in f.cases if isinstance(c, CorrelationCase)]


def label(value: object) -> str | None:
    if isinstance(value, CaseFile):
        return value.rule
    return value.name.replace(" ", "-") if isinstance(value, DetectionCase | CorrelationCase) else None


@cache
def pack_for(members: tuple[tuple[str, str], ...]) -> RulePack:
    registry = [Member(id=member, name=member, group=group) for member, group in members]
    return build_our_pack(MemberRegistry(members=tuple(registry)))


def members_of(file: CaseFile) -> tuple[tuple[str, str], ...]:
    if file.members:
        return tuple(file.members.items())
    return tuple((institution.id, institution.member.group) for institution in load_institutions())


@pytest.mark.parametrize(("file", "case"), DETECTION_CASES, ids=label)
def test_a_detection_matches_what_it_should(file: CaseFile, case: DetectionCase) -> None:
    pack = pack_for(members_of(file))
    fields: Fields = flatten(case.event)
    derive_logsource(fields)
    matched = {pack.detections[index].name for index in Detector(pack.detections).match(fields)}
    assert (file.rule in matched) is case.matches


@pytest.mark.parametrize(("file", "case"), CORRELATION_CASES, ids=label)
def test_a_correlation_alerts_as_it_should(file: CaseFile, case: CorrelationCase) -> None:
    pack = pack_for(members_of(file))
    (rule,) = [correlation for correlation in pack.correlations if names()[correlation.id] == file.rule]
    centre = LocalCentre(pack)
    for appended, together in groupby(case.arrivals(), key=lambda arrival: arrival.appended):
        centre.tick(appended)
        centre.take(together)
    centre.settle()
    assert not centre.dead
    found = [
        Expected(
            group_by=alert.jointsoc.group_by,
            members=[member.id for member in alert.jointsoc.members],
            groups=alert.jointsoc.groups,
            events=alert.jointsoc.events,
        )
        for alert in centre.standing()
        if alert.rule.uuid == rule.id
    ]
    assert found == case.expect


@cache
def names() -> dict[str, str]:
    """Rule id -> rule name."""
    return {document.id: document.data["name"] for document in load_documents([RULES]) if document.kind != "filter"}


def test_every_rule_has_cases_in_the_same_place() -> None:
    rules = [path.relative_to(RULES) for path in sorted(RULES.rglob("*.yml")) if path.parts[-2] != "filters"]
    named = {path.with_suffix("").as_posix(): load_documents([RULES / path])[0].data["name"] for path in rules}
    assert named == {place: file.rule for place, file in FILES.items()}


def test_every_rule_says_who_wrote_it_and_why() -> None:
    wanted = {"title", "id", "status", "description", "author", "date", "license"}
    for document in load_documents([RULES]):
        more = set() if document.kind == "filter" else {"name", "references", "tags", "level", "falsepositives"}
        assert wanted | more <= set(document.data), document.where()
        assert document.data["license"] == "Apache-2.0", document.where("license")


def test_ids_and_names_are_unique() -> None:
    documents = load_documents([RULES])
    ids = [document.id for document in documents]
    titles = [document.data["title"] for document in documents]
    assert len(set(ids)) == len(ids)
    assert len(set(titles)) == len(titles)


def test_a_correlation_has_cases_that_alert_and_cases_that_do_not() -> None:
    for place, file in FILES.items():
        outcomes = {bool(case.expect) if isinstance(case, CorrelationCase) else case.matches for case in file.cases}
        assert outcomes == {True, False}, place


def test_rules_live_in_folders_by_kind() -> None:
    for document in load_documents([RULES]):
        folder = Path(document.path).relative_to(RULES).parts[0]
        assert folder == document.kind + "s", document.where()
