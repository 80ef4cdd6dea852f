from __future__ import annotations

from pathlib import Path

import pytest

from dashboard.rule_book import RuleBook
from pipeline.rulepack import build_pack
from schemas.member import MemberRegistry

RULE = """\
title: Log-in failed
id: 5b1c9d1e-0f6e-4a55-9b2e-2c1d6f6e0a01
logsource:
  category: authentication
detection:
  failed:
    event.outcome: failure
  condition: failed
"""


@pytest.fixture
def book(tmp_path: Path) -> RuleBook:
    rule = tmp_path / "rules" / "a.yml"
    rule.parent.mkdir()
    rule.write_text(RULE)
    build_pack([rule.parent], MemberRegistry()).write(tmp_path / "rules.pack")
    return RuleBook([rule.parent], tmp_path / "rules.pack")


def test_a_rules_text_is_found_by_its_id(book: RuleBook) -> None:
    assert book.text("5B1C9D1E-0f6e-4a55-9b2e-2c1d6f6e0a01") == RULE
    assert book.text("00000000-0000-0000-0000-000000000000") is None
    assert book.text("../../etc/passwd") is None


def test_each_condition_is_told_with_the_events_own_value(book: RuleBook) -> None:
    (why,) = book.why(
        ["Log-in failed"], {"event.outcome": "failure\x1b", "jointsoc.logsource.category": "authentication"}
    )
    assert "event.outcome equals" in why
    assert "failure\\x1b" in why
    assert "\x1b" not in why
    assert book.why(["Unknown"], {}) == []


def test_without_a_pack_or_with_a_broken_one_nothing_is_explained(book: RuleBook, tmp_path: Path) -> None:
    assert RuleBook([], None).why(["Log-in failed"], {}) == []
    (tmp_path / "broken.pack").write_bytes(b"x")
    assert RuleBook([], tmp_path / "broken.pack").pack() is None
    assert RuleBook([], tmp_path / "missing.pack").pack() is None
