"""The checks that need one rule alone: what the build refuses, unknown fields, and pySigma's own validators."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from sigma.correlations import SigmaCorrelationRule
from sigma.rule import SigmaDetectionItem, SigmaRule
from sigma.validators.base import SigmaRuleValidator, SigmaValidationIssue
from sigma.validators.core import validators

from pipeline.detect.compile import compile_detection
from pipeline.detect.load import read_documents
from pipeline.detect.parse import PARSER_FAULTS
from pipeline.detect.placeholders import Placeholders
from pipeline.detect.plan import DetectionPlan, fields_of
from pipeline.workbench.attack import ATTACK_RELEASE, is_strange
from pipeline.workbench.field_names import doubt_about
from pipeline.workbench.findings import Finding, Summary, error, warning
from schemas.errors import RuleError
from schemas.logsource import ATTRIBUTES, load_table
from schemas.rule_document import RuleDocument
from schemas.suggest import nearest

NOT_OURS: Final = frozenset({
    "attacktag",  # loads ATT&CK from the network; the form of tags is checked here
    "d3_fendtag",  # loads D3FEND from the network
    "duplicate_filename",  # needs all rules at once; ids and titles are compared in check_all
    "duplicate_title",
    "identifier_uniqueness",
    "identifier_existence",  # `_metadata` says it of correlations too
    "custom_attributes",  # `federation` is one
    "tlpv1_tag",  # TLP 2 is what alerts carry
    "filename_length",
})  # fmt: skip


_ALIKE: Final = 0.8
KEYS: Final = frozenset({
    "title", "id", "name", "related", "taxonomy", "status", "description", "references", "author", "date", "modified",
    "license", "tags", "scope", "fields", "falsepositives", "level", "logsource", "detection", "correlation",
    "generate", "filter", "federation",
})  # fmt: skip
"""What a rule may have at its top."""


class FileReport(msgspec.Struct, frozen=True):
    """What one file holds and what is wrong with it."""

    findings: list[Finding]
    detections: list[Summary]
    others: bool
    """Whether there are correlations or filters in it, which are checked together."""
    documents: int


def check_file(path: Path, placeholders: Placeholders) -> FileReport:
    """Check the rules of one file, each by itself. Never raises for what a rule says."""
    findings: list[Finding] = []
    summaries: list[Summary] = []
    documents: list[RuleDocument] = []
    try:
        documents += read_documents(path)
    except RuleError as problem:
        findings.append(error(problem))
    for document in documents:
        findings += _metadata(document)
        if document.kind == "correlation":
            findings += _validated(document)
        if document.kind != "detection":
            continue
        try:
            plan = compile_detection(document, placeholders, "both")
        except RuleError as problem:
            findings.append(error(problem))
            continue
        summaries.append(Summary(plan.id, plan.name, plan.title, document.where(), plan.logsource, plan.alerts))
        findings += _logsource(document, plan)
        findings += _fields(document, sorted(fields_of(plan.expression)))
        findings += _validated(document)
    return FileReport(findings, summaries, any(one.kind != "detection" for one in documents), len(documents))


def _metadata(document: RuleDocument) -> Iterator[Finding]:
    for key in document.data:
        # Sigma allows keys of one's own; a misspelt `federation` would quietly be no block at all.
        if key not in KEYS and (meant := nearest(key, KEYS, alike=_ALIKE)):
            yield warning("unknown_key", document.where(key), f'unknown key {key}; did you mean "{meant}"?')
    if document.data.get("id") in (None, ""):
        yield warning("identifier_existence", document.where(), "the rule has no id; alerts name rules by their ids")
    tags = document.data.get("tags")
    for number, tag in enumerate(tags if isinstance(tags, list) else ()):
        if is_strange(str(tag)):
            what = f"no tactic or technique of ATT&CK {ATTACK_RELEASE}: {tag}"
            yield warning("attack_tag", document.where("tags", number), what)


def _logsource(document: RuleDocument, plan: DetectionPlan) -> Iterator[Finding]:
    for attribute, name, known in zip(ATTRIBUTES, plan.logsource.attributes(), load_table().names, strict=True):
        if name is not None and name.lower() not in known:
            meant = nearest(name, known)
            hint = f'; did you mean "{meant}"?' if meant else ""
            what = f"no event has the {attribute} {name} unless it says so in `jointsoc.logsource.{attribute}`{hint}"
            yield warning("unknown_logsource", document.where("logsource", attribute), what)


def _fields(document: RuleDocument, fields: list[str]) -> Iterator[Finding]:
    for field in fields:
        doubt = doubt_about(field)
        if doubt is not None:
            yield warning("unknown_field", _place_of(document, field), f"{field}: {doubt}")


def _place_of(document: RuleDocument, field: str) -> str:
    for place in document.lines:
        if isinstance(place[-1], str) and place[0] == "detection" and place[-1].partition("|")[0] == field:
            return document.where(*place)
    return document.where("detection")


def _validated(document: RuleDocument) -> Iterator[Finding]:
    try:
        # Read by pySigma's own parser: the validators know its modifiers, not ours.
        rule = (SigmaRule if document.kind == "detection" else SigmaCorrelationRule).from_dict(document.data)
        issues = [issue for one in _validators() for issue in one.validate(rule)]
    except PARSER_FAULTS:  # where it is stricter than the build, it is not a doubt about the rule
        return
    # Two validators may say the same: one class of theirs inherits from another.
    yield from dict.fromkeys(
        warning(_name_of(issue), _place_of_issue(document, issue), _told(issue)) for issue in issues
    )


@cache
def _validators() -> list[SigmaRuleValidator]:
    chosen = (validator for name, validator in sorted(validators.items()) if name not in NOT_OURS)
    return [validator() for validator in chosen if not getattr(validator, "__abstractmethods__", None)]


def _name_of(issue: SigmaValidationIssue) -> str:
    name = type(issue).__name__.removesuffix("Issue")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _place_of_issue(document: RuleDocument, issue: SigmaValidationIssue) -> str:
    match vars(issue):
        case {"detection_item": SigmaDetectionItem(field=str(field))}:
            return _place_of(document, field)
        case {"detection_name": str(name)}:
            return document.where("detection", name)
        case {"tag": tag}:
            tags = document.data.get("tags")
            return document.where(
                "tags", *([tags.index(str(tag))] if isinstance(tags, list) and str(tag) in tags else [])
            )
    return document.where("detection")


def _told(issue: SigmaValidationIssue) -> str:
    own = {key: value for key, value in vars(issue).items() if key not in ("rules", "severity", "description")}
    shown = ", ".join(_shown(key, value) for key, value in own.items())
    return f"{issue.description.rstrip('.')}" + (f": {shown[:160]}" if shown else "")


def _shown(key: str, value: object) -> str:
    if isinstance(value, SigmaDetectionItem):
        return f"{value.field or 'keywords'}: {', '.join(map(str, value.value))}"
    return f"{key.replace('_', ' ')} {value}"
