"""Every rule does what its cases say, and every rule has cases."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploy.demo.institutions import load_institutions
from pipeline.detect.load import load_documents
from pipeline.workbench.attack import techniques_of
from pipeline.workbench.cases import CorrelationCase, load_cases
from pipeline.workbench.check import check_rules
from pipeline.workbench.rule_set import RuleSet, correlation_in
from pipeline.workbench.run_cases import run_cases
from schemas.member import MemberRegistry
from schemas.rule_document import RuleDocument
from tests.local_centre import ROOT, RULES

CASES = Path(__file__).parent
FILES = {path: load_cases(path) for path in sorted(CASES.rglob("*.yml"))}
PLACES = {path.relative_to(CASES).with_suffix("").as_posix(): file for path, file in FILES.items()}
SIX = MemberRegistry(members=tuple(institution.member for institution in load_institutions()))


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return RuleSet([RULES])


@pytest.fixture(scope="module")
def documents() -> list[RuleDocument]:
    return load_documents([RULES])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_rule_does_what_its_cases_say(rules: RuleSet, path: Path) -> None:
    outcomes = list(run_cases(rules, {path: FILES[path]}, SIX))
    assert len(outcomes) == len(FILES[path].cases)
    assert [(outcome.case, outcome.reasons) for outcome in outcomes if not outcome.passed] == []


def is_rule(path: Path) -> bool:
    return path.parent.name != "filters" and not path.name.endswith(".lists.yaml")


def test_every_rule_has_cases_in_the_same_place() -> None:
    rules = [path.relative_to(RULES) for path in sorted(RULES.rglob("*.yml")) if is_rule(path)]
    named = {path.with_suffix("").as_posix(): load_documents([RULES / path])[0].data["name"] for path in rules}
    assert named == {place: file.rule for place, file in PLACES.items()}


def test_every_rule_says_who_wrote_it_and_why(documents: list[RuleDocument]) -> None:
    wanted = {"title", "id", "status", "description", "author", "date", "license"}
    for document in documents:
        more = set() if document.kind == "filter" else {"name", "references", "tags", "level", "falsepositives"}
        assert wanted | more <= set(document.data), document.where()
        assert document.data["license"] == "Apache-2.0", document.where("license")
        for link in document.data.get("references", ()):
            assert urlsplit(link).scheme == "https", document.where("references")


def test_a_correlation_says_how_it_may_be_shared_and_which_technique_it_sees(documents: list[RuleDocument]) -> None:
    for document in documents:
        if document.kind == "correlation":
            assert "share" in document.data["federation"], document.where()
            assert any(tag.startswith("attack.t") for tag in document.data["tags"]), document.where("tags")


def test_ids_and_names_are_unique(documents: list[RuleDocument]) -> None:
    for key in ("id", "title", "name"):
        values = [document.data[key] for document in documents if key in document.data]
        assert len(set(values)) == len(values), key


def test_a_rule_has_cases_that_fire_and_cases_that_do_not() -> None:
    for place, file in PLACES.items():
        outcomes = {bool(case.expect) if isinstance(case, CorrelationCase) else case.matches for case in file.cases}
        assert outcomes == {True, False}, place


@pytest.mark.parametrize(
    "document", [one for one in load_documents([RULES]) if one.kind == "correlation"], ids=lambda one: one.data["name"]
)
def test_a_correlation_is_tried_at_its_boundaries(rules: RuleSet, document: RuleDocument) -> None:
    """Those that it has: one alone, or a member of a group, says nothing about a rule within one institution."""
    rule = correlation_in(rules.pack_of(document, SIX), document)
    file = next(file for file in FILES.values() if file.rule == document.data["name"])
    assert isinstance(file.cases[0], CorrelationCase)
    cases = [case for case in file.cases if isinstance(case, CorrelationCase)]
    spans = [{later - earlier for earlier in at(case) for later in at(case)} for case in cases]
    assert any(rule.timespan + 1 in span and not case.expect for span, case in zip(spans, cases, strict=True))
    assert any(arrives_out_of_order(case) for case in cases)
    if rule.min_organizations > 1:
        members = [{step.member for step in case.events} for case in cases]
        groups = [{SIX.groups()[one] for one in each} for each in members]
        silent = [number for number, case in enumerate(cases) if not case.expect]
        assert any(len(groups[number]) == rule.min_organizations - 1 for number in silent)
        assert any(len(groups[number]) < len(members[number]) for number in silent)


def at(case: CorrelationCase) -> set[int]:
    """When the first and the last event of each step happen."""
    return {step.at + step.every * count for step in case.events for count in (0, step.repeat - 1)}


def arrives_out_of_order(case: CorrelationCase) -> bool:
    arrivals = [step.at + step.late for step in sorted(case.events, key=lambda step: step.at)]
    return arrivals != sorted(arrivals)


def test_rules_live_in_folders_by_kind(documents: list[RuleDocument]) -> None:
    for document in documents:
        folder = Path(document.path).relative_to(RULES).parts[0]
        assert folder == document.kind + "s", document.where()


def test_nothing_in_the_pack_looks_wrong() -> None:
    assert check_rules([RULES], MemberRegistry(), {}).findings == []


NOT_AT_SIGMAHQ = {"T1110.003", "T1110.004", "T1583.001", "T1595.003", "T1657"}
"""Techniques of ATT&CK 19 that none of its rules has: looked up by hand."""
SIGMAHQ = ROOT.parent / "shared" / "corpora" / "sigmahq"


@pytest.mark.skipif(not SIGMAHQ.is_dir(), reason="SigmaHQ's rules are not beside this project")
def test_references_to_sigmahq_resolve_and_techniques_are_of_the_same_release(documents: list[RuleDocument]) -> None:
    text = "\n".join(path.read_text() for folder in SIGMAHQ.glob("rules*") for path in folder.rglob("*.yml"))
    ids = set(re.findall(r"^id: ([0-9a-f-]{36})", text, re.MULTILINE))
    techniques = set(techniques_of(re.findall(r"attack\.t[\d.]+", text)))
    named = {related["id"] for document in documents for related in document.data.get("related", ())}
    assert len(named) > 20
    assert named <= ids
    ours = {one for document in documents for one in techniques_of(document.data.get("tags", ()))}
    assert ours - techniques == NOT_AT_SIGMAHQ
