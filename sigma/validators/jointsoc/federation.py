"""Validators for `sigma check`: field names that nobody writes, and the `federation:` block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from sigma.correlations import SigmaCorrelationRule
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaRule
from sigma.validators.base import SigmaRuleValidator, SigmaValidationIssue, SigmaValidationIssueSeverity

from pipeline.correlate.correlation_block import read_correlation
from pipeline.correlate.federation_block import read_federation
from pipeline.workbench.field_names import doubt_about
from schemas.errors import RuleError
from schemas.member import MemberRegistry
from schemas.rule_document import RuleDocument


@dataclass
class UnknownFieldIssue(SigmaValidationIssue):
    """A field that no event has."""

    description: ClassVar[str] = "Field name that looks like a mistake for one of ECS"
    severity: ClassVar[SigmaValidationIssueSeverity] = SigmaValidationIssueSeverity.MEDIUM
    field: str
    doubt: str


class UnknownFieldValidator(SigmaRuleValidator):
    """Find field names that look like mistakes for fields of ECS."""

    def validate(self, rule: SigmaRule | SigmaCorrelationRule) -> list[SigmaValidationIssue]:
        """One issue for each such field of a detection."""
        if not isinstance(rule, SigmaRule):
            return []
        fields = {item.field for part in rule.detection.detections.values() for item in _items(part) if item.field}
        doubts = ((field, doubt_about(field)) for field in sorted(fields))
        return [UnknownFieldIssue([rule], field, doubt) for field, doubt in doubts if doubt]


@dataclass
class FederationBlockIssue(SigmaValidationIssue):
    """A block that the federation's engine refuses."""

    description: ClassVar[str] = "The engine refuses the correlation or its `federation` block"
    severity: ClassVar[SigmaValidationIssueSeverity] = SigmaValidationIssueSeverity.HIGH
    reason: str


class FederationBlockValidator(SigmaRuleValidator):
    """Check correlations and their `federation` blocks as the engine reads them."""

    def validate(self, rule: SigmaRule | SigmaCorrelationRule) -> list[SigmaValidationIssue]:
        """One issue for a correlation that the engine refuses."""
        if not isinstance(rule, SigmaCorrelationRule):
            return []
        data = rule.to_dict() | (rule.custom_attributes or {})
        path = Path(str(rule.source.path)) if rule.source else Path("rule")
        document = RuleDocument(path, 1, "correlation", data)
        try:
            block = read_correlation(document)
            read_federation(document, block.kind, block.timespan, MemberRegistry())
        except RuleError as error:
            return [FederationBlockIssue([rule], error.what)]
        return []


def _items(part: SigmaDetection | SigmaDetectionItem) -> Iterator[SigmaDetectionItem]:
    if isinstance(part, SigmaDetectionItem):
        yield part
        return
    for inner in part.detection_items:
        yield from _items(inner)
