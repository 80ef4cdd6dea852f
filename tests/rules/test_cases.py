"""Every rule does what its cases say, and every rule has cases."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploy.demo.institutions import load_institutions
from pipeline.detect.load import load_documents
from pipeline.workbench.cases import CorrelationCase, load_cases
from pipeline.workbench.check import check_rules
from pipeline.workbench.rule_set import RuleSet
from pipeline.workbench.run_cases import run_cases
from schemas.member import MemberRegistry
from schemas.rule_document import RuleDocument
from tests.local_centre import RULES

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


def test_rules_live_in_folders_by_kind(documents: list[RuleDocument]) -> None:
    for document in documents:
        folder = Path(document.path).relative_to(RULES).parts[0]
        assert folder == document.kind + "s", document.where()


def test_nothing_in_the_pack_looks_wrong() -> None:
    assert check_rules([RULES], MemberRegistry(), {}).findings == []
