"""Rules compiled, as a JSON document for people and other tools; a worker reads the same from a rule pack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from pipeline.correlate.rule import compile_correlations
from pipeline.rulepack import detection_ids
from pipeline.workbench.lists_beside import lists_beside
from pipeline.workbench.rule_set import RuleSet
from schemas.member import MemberRegistry

FORMAT: Final = "jointsoc-plan 1"


def plan_document(files: Sequence[Path]) -> str:
    """The plan of every detection and correlation of rule files, indented JSON, in the order of their ids.

    Args:
        files: detections, correlations, filters; the lists beside them fill placeholders.

    Raises:
        RuleError: the first rule that cannot be honoured.
        ConfigError: a file that is not there.
    """
    rules = RuleSet(files, lists_beside(files))
    plans = sorted(rules.detections.values(), key=lambda plan: plan.id)
    correlations = compile_correlations(rules.documents, detection_ids(plans), MemberRegistry())
    content = {"format": FORMAT, "detections": plans, "correlations": sorted(correlations, key=lambda one: one.id)}
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()
