"""What `docs/writing-rules.md` shows is what lies in the files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.detect.load import load_documents

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "writing-rules.md").read_text(encoding="utf-8")
EXAMPLES = [path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "examples" / "writing-rules").glob("*.y*ml")]


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_every_rule_that_is_shown_is_in_the_examples(block: str) -> None:
    assert any(block in text for text in EXAMPLES)


def test_the_table_names_every_correlation_and_no_other() -> None:
    table = PAGE.partition("## The rules that come with it")[2]
    shipped = {str(one.data["name"]) for one in load_documents([ROOT / "rules" / "sigma"]) if one.kind == "correlation"}
    assert set(re.findall(r"`([a-z0-9_]{8,})`", table)) == shipped
