"""Satisfied times compared with an independent judge: pySigma's SQLite backend on the same rule files and events.

The judge reads the rule with pySigma and answers with SQL; it shares neither our parser nor our definitions. Left out
are the deliberate differences: ranges and floats in thresholds, weights, groups of members, text that folds outside
ASCII.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from sigma.backends.sqlite import sqliteBackend
from sigma.collection import SigmaCollection

from pipeline.correlate.project import Projector
from schemas.event import Event, Fields, Origin
from schemas.hit import Hit
from tests.pipeline.correlate.naive import naive_instants, naive_referral
from tests.pipeline.correlate.rule_files import compile_text
from tests.pipeline.correlate.streams import EXAMPLES

pytestmark = pytest.mark.timeout(900 + EXAMPLES)
Row = dict[str, Any]
COLUMNS = ("ts", "r0", "r1", "r2", "g", "h", "who", "n", "v")
NAMES = ("r0", "r1", "r2")
DETECTIONS = [
    {
        "title": name,
        "name": name,
        "id": f"00000000-0000-4000-8000-00000000000{number}",
        "logsource": {"category": "test"},
        "detection": {"selection": {name: "yes"}, "condition": "selection"},
    }
    for number, name in enumerate(NAMES)
]
IDS = {str(one["name"]): str(one["id"]) for one in DETECTIONS}
OPERATORS = ["gt", "gte", "lt", "lte", "eq", "neq"]
BOOLEAN = [
    "r0 and r1",
    "r0 and not r1",
    "(r0 or r1) and r2",
    "r0 and r1 and not r2",
    "r0 or (r1 and not r2)",
    "r2 and not (r0 or r1)",
]


def _rule(kind: str, random: Random) -> Row:
    """A random correlation rule, as data."""
    block: Row = {"type": kind, "timespan": f"{random.choice((3, 6, 10))}s"}
    block["group-by"] = random.choice((["g"], ["g", "h"], ["who"]))
    if block["group-by"] == ["who"]:
        block["aliases"] = {"who": {"r0": "g", "r1": "h"}}
    if kind.endswith("extended"):
        block["type"] = kind.removesuffix("_extended")
        block["condition"] = random.choice(BOOLEAN)
        used = [name for name in NAMES if name in block["condition"]]
        block["rules"] = used
        if "aliases" in block:
            block["aliases"]["who"] = {name: field for name, field in block["aliases"]["who"].items() if name in used}
        return _wrapped(block)
    block["rules"] = list(NAMES) if kind.startswith("temporal") else ["r0", "r1"]
    block["condition"] = {random.choice(OPERATORS): random.choice((1, 2, 3))}
    if kind == "value_count":
        block["condition"]["field"] = "v"
    elif kind.startswith("value_"):
        block["condition"]["field"] = "n"
    if kind == "value_percentile":
        block["condition"]["percentile"] = random.choice((25, 50, 75))
    return _wrapped(block)


def _wrapped(block: Row) -> Row:
    return {"title": "Correlated", "id": "00000000-0000-4000-8000-0000000000ff", "correlation": block}


def _rows(random: Random, most: int = 25) -> list[Row]:
    return [
        {
            "ts": random.randint(0, 30),
            **{name: "yes" if random.random() < 0.5 else None for name in NAMES},
            "g": random.choice(("a", "A", "b", None)),
            "h": random.choice(("a", "b")),
            "who": random.choice((None, "a")),
            "n": random.choice((None, 0, 1, 2, 5, -1)),
            "v": random.choice((None, "x", "X", "y", "z")),
        }
        for _ in range(random.randint(0, most))
    ]


def _oracle(rules: list[Row], rows: list[Row]) -> set[tuple[tuple[str, ...], int]]:
    backend = sqliteBackend(timestamp_field="ts", timestamp_format="unix", observation_end=10_000)
    query = backend.convert(SigmaCollection.from_dicts([*DETECTIONS, *rules]))[-1]
    with sqlite3.connect(":memory:") as database:
        database.execute(f"CREATE TABLE logs ({', '.join(f'`{column}`' for column in COLUMNS)})")
        marks = ", ".join(f":{column}" for column in COLUMNS)
        database.executemany(f"INSERT INTO logs VALUES ({marks})", rows)
        cursor = database.execute(query)
        names = [column[0] for column in cursor.description]
        found = [dict(zip(names, row, strict=True)) for row in cursor]
    return {
        (tuple(str(value) for value in json.loads(row["group_keys"]).values()), round(row["occurrence_time"] * 1000))
        for row in found
    }


def _ours(folder: Path, rules: list[Row], rows: list[Row]) -> set[tuple[tuple[str, ...], int]]:
    correlations = compile_text(folder, yaml.safe_dump_all(rules), detections=IDS)
    projector = Projector(correlations)
    found: dict[str, dict[tuple[str, ...], list[Hit]]] = {one.id: {} for one in correlations}
    for number, row in enumerate(rows):
        fields: Fields = {name: value for name, value in row.items() if value is not None}
        time = row["ts"] * 1000
        event = Event(fields, Origin("events.ash", 0, number, time), 0, "ash", str(number), time, "on_time")
        matched = [IDS[name] for name in NAMES if row[name]]
        for _, one in projector.hits(event, projector.wanted(matched)):
            found[one.correlation].setdefault(one.group, []).append(one.hit)
    satisfied: set[tuple[tuple[str, ...], int]] = set()
    for correlation in correlations:
        satisfied = set()
        for group, hits in found[correlation.id].items():
            for time in naive_instants(correlation, hits, {}):
                satisfied.add((group, time))
                window = [hit for hit in hits if time - correlation.timespan <= hit.time <= time]
                for parent in correlations:
                    for one in naive_referral(correlation, parent, group, time, window):
                        found[parent.id].setdefault(one.group, []).append(one.hit)
    return satisfied


KINDS = [
    "event_count",
    "value_count",
    "value_sum",
    "value_avg",
    "value_median",
    "value_percentile",
    "temporal",
    "temporal_ordered",
    "temporal_extended",
    "temporal_ordered_extended",
]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_times_satisfy_a_rule_as_in_sqlite(tmp_path: Path, kind: str) -> None:
    satisfied = 0
    for seed in range(EXAMPLES // 2):
        random = Random(f"{kind}{seed}")
        rule, rows = _rule(kind, random), _rows(random)
        try:
            ours = _ours(tmp_path, [rule], rows)
        except Exception as refused:
            if "always holds" in str(refused) or "never holds" in str(refused):
                continue
            raise
        assert ours == _oracle([rule], rows), (rule, rows)
        satisfied += bool(ours)
    assert satisfied > EXAMPLES // 8


LOWER: list[Row] = [
    {"type": "event_count", "rules": ["r0"], "condition": {"gte": 2}},
    {"type": "event_count", "rules": ["r0"], "condition": {"lt": 3}},
    {"type": "value_count", "rules": ["r0"], "condition": {"gte": 2, "field": "v"}},
    {"type": "temporal", "rules": ["r0", "r1"]},
    {"type": "temporal_ordered", "rules": ["r0", "r1"]},
    {"type": "temporal", "rules": ["r0", "r1"], "condition": "r0 and not r1"},
]
UPPER: list[Row] = [
    {"type": "event_count", "rules": ["lower"], "condition": {"gte": 2}},
    {"type": "value_count", "rules": ["lower"], "condition": {"gte": 2, "field": "h"}},
    {"type": "temporal", "rules": ["lower", "r2"]},
    {"type": "temporal_ordered", "rules": ["r2", "lower"]},
    {"type": "temporal_ordered", "rules": ["lower", "r2"]},
    {"type": "temporal", "rules": ["lower", "r2"], "condition": "r2 and not lower"},
    {"type": "temporal", "rules": ["lower", "r2"], "condition": "lower and not r2"},
]


@pytest.mark.parametrize("upper", range(len(UPPER)))
def test_chains_hold_at_the_same_times_as_in_sqlite(tmp_path: Path, upper: int) -> None:
    satisfied = 0
    for seed in range(EXAMPLES // 2):
        random = Random(f"{upper}{seed}")
        below = {**random.choice(LOWER), "group-by": ["g", "h"], "timespan": f"{random.choice((3, 6))}s"}
        above = {**UPPER[upper], "timespan": f"{random.choice((3, 10))}s"}
        above |= random.choice(({"group-by": ["g"]}, {"group-by": ["g", "h"]}, {}))
        lower = _wrapped(below) | {"name": "lower", "id": "00000000-0000-4000-8000-0000000000fe"}
        rules, rows = [lower, _wrapped(above)], _rows(random, 60)
        ours = _ours(tmp_path, rules, rows)
        assert ours == _oracle(rules, rows), (rules, rows)
        satisfied += bool(ours)
    assert satisfied > EXAMPLES // 10
