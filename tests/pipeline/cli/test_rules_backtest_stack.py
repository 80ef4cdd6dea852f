"""`jsoc rules backtest --kafka`: a rule tried on what real members sent."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import orjson
import pytest

from connectors.kafka import open_producer
from deploy.local.configuration import config_file
from pipeline.cli.main import main
from schemas.times import now_ms, to_rfc3339
from tests.running_stack import RunningStack

pytestmark = pytest.mark.stack

RULES = """\
title: Seen
id: 00000001-0000-4000-8000-000000000000
name: seen
logsource: {product: portal}
detection:
  sel: {jointsoc.verdict: MARK}
  condition: sel
---
title: Seen at two
id: 00000002-0000-4000-8000-000000000000
name: seen_at_two
correlation: {type: event_count, rules: [seen], group-by: [source.ip], timespan: 5m, condition: {gte: 3}}
federation: {min_organizations: 2}
"""


def test_a_rule_is_tried_on_what_members_sent(
    stack: RunningStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = f"backtest-{uuid4().hex}"
    event = {"event.dataset": "portal.audit", "jointsoc.verdict": mark, "source.ip": "203.0.113.9"}
    for member, times in {"kestrel-bank": 2, "heron-bank": 1}.items():
        lines = [orjson.dumps(event | {"@timestamp": to_rfc3339(now_ms() - number)}) for number in range(times)]
        producer = open_producer(stack.kafka(member))
        producer.send(f"events.{member}", b"\n".join(lines)).get(60)
        producer.close()
    (tmp_path / "rules.yml").write_text(RULES.replace("MARK", mark))
    reading = ("--kafka", config_file(stack.settings, "operator"), "--members", stack.settings.members_file)
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in ("rules", "backtest", "seen_at_two", "-r", tmp_path, *reading, "--format", "json")])
    found = json.loads(capsys.readouterr().out)
    assert ended.value.code == 1
    assert found["matched"] == {"Seen": 3}
    assert found["members"] == {"kestrel-bank": 2, "heron-bank": 1}
    assert [alert["group_by"] for alert in found["alerts"]] == [{"source.ip": "203.0.113.9"}]
