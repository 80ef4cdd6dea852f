"""Rules written as their detection section alone, judged in every way the engine has, which must agree."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

from pipeline.detect.compile import compile_detection
from pipeline.detect.evaluate import Detector
from pipeline.detect.explain import explain
from pipeline.detect.load import documents_in
from pipeline.detect.placeholders import Placeholders
from pipeline.detect.plain import compile_test
from pipeline.detect.plan import DetectionPlan
from pipeline.detect.view import EventView
from schemas.event import Fields
from schemas.rule_document import RuleDocument

HEAD = """\
title: A sample
id: 11111111-1111-4111-8111-111111111111
logsource: {product: windows}
"""


def document(detection: str, head: str = HEAD) -> RuleDocument:
    text = head + "detection:\n" + indent(dedent(detection), "  ")
    return next(documents_in(text, Path("sample.yml")))


def plan(detection: str, placeholders: Placeholders | None = None, head: str = HEAD) -> DetectionPlan:
    return compile_detection(document(detection, head), placeholders or {})


def selection(body: str, placeholders: Placeholders | None = None) -> DetectionPlan:
    """A rule whose one selection has this body."""
    return plan("sel:\n" + indent(dedent(body), "  ") + "\ncondition: sel", placeholders)


def verdict(subject: DetectionPlan, fields: Fields) -> bool:
    """Whether the rule matches, its log source aside: plain, fast and explained agree."""
    plain = compile_test(subject.expression)(EventView(fields))
    detector = Detector([subject], routed=False)
    assert (detector.match(fields) == (0,)) is plain, "the fast engine differs from the plain one"
    assert (detector.match(fields) == (0,)) is plain, "the second, remembered answer differs from the first"
    assert explain(subject, fields, routed=False).matched is plain, "explain differs from match"
    return plain
