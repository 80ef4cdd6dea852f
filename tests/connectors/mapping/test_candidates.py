from __future__ import annotations

from typing import Any

import orjson
import pytest

from connectors.mapping.compiled import CompiledMapping, Surroundings
from connectors.mapping.document import MappingDocument
from connectors.mapping.samples import SAMPLE_KEYS


def rule(name: str, **match: Any) -> dict[str, Any]:
    return {"name": name, "match": match, "set": {"event.action": name}}


RULES = [
    rule("logon", channel="Security", id=4624),
    rule("failed", channel="Security", id=[4625, 4776], status={"regex": "^0xc"}),
    rule("any security", channel="Security"),
    rule("true", channel="Other", id=True),
    rule("one", channel="Other", id=1),
    rule("named like a file", channel={"regex": "^(?P<stem>[a-z]+)\\.log$"}, id=7),
    rule("rest"),
]


@pytest.fixture(scope="module")
def mapping() -> CompiledMapping:
    document = {
        "name": "door-control",
        "version": 1,
        "description": "x",
        "parse": {"kind": "json"},
        "time": {"from": "t", "as": "rfc3339"},
        "rules": RULES,
        "samples": [{"line": "x", "dead": "not-json"}],
    }
    return CompiledMapping(MappingDocument.model_validate(document), Surroundings(SAMPLE_KEYS))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"channel": "Security", "id": 4624}, "logon"),
        ({"channel": "Security", "id": "4624"}, "logon"),
        ({"channel": "Security", "id": 4776, "status": "0xc1"}, "failed"),
        ({"channel": "Security", "id": 4776, "status": "0x0"}, "any security"),
        ({"channel": ["x", "Security"], "id": [1, 4624]}, "logon"),  # a list matches by any item
        ({"channel": "Other", "id": True}, "true"),  # true is not 1, though Python says so
        ({"channel": "Other", "id": 1}, "one"),
        ({"channel": "access.log", "id": 7}, "named like a file"),
        ({"channel": "Security" + "x" * 100, "id": 4624}, "rest"),
        ({"channel": {"a": 1}}, "rest"),
        ({}, "rest"),
    ],
)
def test_the_first_rule_that_matches_decides_however_few_are_looked_at(
    mapping: CompiledMapping, fields: dict[str, Any], expected: str
) -> None:
    line = orjson.dumps({"t": "2026-11-23T02:00:00Z", **fields})
    for _ in range(2):  # the second time from what is remembered
        outcome = mapping.apply(line)
        assert isinstance(outcome, dict)
        assert outcome["event.action"] == expected
