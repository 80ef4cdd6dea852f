"""Correlation rules for tests, written as their authors would."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent
from typing import Any

from pipeline.correlate.correlation import Correlation
from pipeline.correlate.rule import compile_correlations
from pipeline.detect.load import load_documents
from schemas.member import Member, MemberRegistry

DETECTIONS = {"login_failed": "id-1", "id-1": "id-1", "login": "id-2", "id-2": "id-2", "transfer": "id-3"}
THREE_GROUPS = MemberRegistry(
    members=(
        Member(id="ash-bank", name="Ash Bank", group="ash"),
        Member(id="ash-broker", name="Ash Broker", group="ash"),
        Member(id="birch", name="Birch"),
        Member(id="cedar", name="Cedar"),
    )
)


def compile_text(
    folder: Path, text: str, registry: MemberRegistry = THREE_GROUPS, detections: dict[str, str] = DETECTIONS
) -> list[Correlation]:
    """Compile the documents of a rule file `rule.yml`."""
    path = folder / "rule.yml"
    path.write_text(dedent(text).lstrip(), encoding="utf-8")
    return compile_correlations(load_documents([path]), detections, registry)


def compile_block(folder: Path, block: str, more: str = "", **options: Any) -> Correlation:
    """Compile one rule with this `correlation:` block, which begins in line 3, and more keys after it."""
    text = f"title: A rule\nid: c-1\ncorrelation:\n{indent(dedent(block).strip(), '  ')}\n{dedent(more).strip()}\n"
    [correlation] = compile_text(folder, text, **options)
    return correlation
