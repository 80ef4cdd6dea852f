"""Rules compiled, as a JSON document for people and other tools; a worker reads the same from a rule pack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from pipeline.correlate.rule import compile_correlations
from pipeline.detect.load import LISTS_SUFFIX
from pipeline.detect.placeholders import load_placeholders
from pipeline.rulepack import detection_ids
from pipeline.workbench.rule_set import RuleSet
from schemas.member import MemberRegistry

FORMAT: Final = "jointsoc-plan 1"


def plan_document(files: Sequence[Path]) -> str:
    """The plan of every detection and correlation of rule files, indented JSON, in the order of their ids.

    Args:
        files: detections, correlations, filters; the lists of their folders and of those above fill placeholders.

    Raises:
        RuleError: the first rule that cannot be honoured.
        ConfigError: a file that is not there.
    """
    folders = {parent for file in files for parent in file.resolve().parents}
    lists = {
        name: values
        for folder in sorted(folders)
        for path in sorted(folder.glob(f"*{LISTS_SUFFIX}"))
        for name, values in load_placeholders(path).items()
    }
    rules = RuleSet(files, lists)
    plans = sorted(rules.detections.values(), key=lambda plan: plan.id)
    correlations = compile_correlations(rules.documents, detection_ids(plans), MemberRegistry())
    content = {"format": FORMAT, "detections": plans, "correlations": sorted(correlations, key=lambda one: one.id)}
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode()
