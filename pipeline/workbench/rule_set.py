"""Rules as the bench takes them: one of them at a time, with what it builds on, and disabled ones too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from pipeline.correlate.chaining import referred_by
from pipeline.correlate.rule import Correlation, compile_correlations
from pipeline.detect.compile import compile_detections
from pipeline.detect.load import load_documents
from pipeline.detect.placeholders import Placeholders, with_lists
from pipeline.detect.plan import DetectionPlan
from pipeline.rulepack import RulePack, detection_ids
from schemas.errors import ConfigError, RuleError, printable
from schemas.member import MemberRegistry
from schemas.rule_document import RuleDocument
from schemas.suggest import did_you_mean


class RuleSet:
    """Every rule of some files and folders.

    Args:
        paths: rule files and folders.
        placeholders: values for `expand`.

    Raises:
        RuleError: the first rule that cannot be honoured.
        ConfigError: a path that is not there.
    """

    def __init__(self, paths: Sequence[Path], placeholders: Placeholders | None = None) -> None:
        self.documents = load_documents(paths)
        compiled = compile_detections(self.documents, placeholders=with_lists(paths, placeholders))
        if compiled.problems:
            raise compiled.problems[0]
        self.detections = {plan.id: plan for plan in compiled.plans}
        self._ids = detection_ids(compiled.plans)
        self._rules = {name: document for document in self.documents for name in names_of(document)}

    def find(self, name: str) -> RuleDocument:
        """The rule of this name or id.

        Raises:
            ConfigError: there is none.
        """
        document = self._rules.get(name)
        if document is None:
            hint = did_you_mean(name, self._rules)
            raise ConfigError(printable(name), "no such rule here", expected="a rule's name or id", hint=hint)
        return document

    def plan(self, document: RuleDocument) -> DetectionPlan:
        """A detection, compiled."""
        return self.detections[document.id]

    def pack_of(self, document: RuleDocument, registry: MemberRegistry, *, all_alert: bool = False) -> RulePack:
        """A correlation, whether enabled or not, with the correlations and detections it builds on; nothing else.

        Args:
            document: the correlation.
            registry: the members.
            all_alert: correlations that others build on alert too.

        Raises:
            RuleError: it cannot be honoured.
        """
        correlations = [one for one in self.documents if one.kind == "correlation"]
        detections = [one for one in self.documents if one.kind == "detection"]  # for their titles
        wanted = [*referred_by(document, correlations), *detections]
        # Without members: a rule may be tried before the federation is large enough for it.
        built = compile_correlations(wanted, self._ids, MemberRegistry())
        if all_alert:
            built = [msgspec.structs.replace(one, alerts=True) for one in built]
        used = {reference.id for one in built for reference in one.references}
        plans = [plan for plan in self.detections.values() if plan.id in used]
        return RulePack(plans, sorted(built, key=lambda one: one.id), registry)


def correlation_in(pack: RulePack, document: RuleDocument) -> Correlation:
    """The correlation that a document became."""
    return next(one for one in pack.correlations if one.id == document.id)


def names_of(document: RuleDocument) -> list[str]:
    """What a rule may be called by: its name, its id."""
    return [str(name) for name in (document.data.get("name"), document.data.get("id")) if name] or [document.id]


def require_correlation(document: RuleDocument) -> None:
    """See that a rule is a correlation.

    Raises:
        RuleError: it is not.
    """
    if document.kind != "correlation":
        raise RuleError(document.where(), f"this is a {document.kind}", expected="a correlation")
