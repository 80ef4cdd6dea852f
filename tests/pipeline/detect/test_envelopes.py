from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.detect.envelopes import events_in

ONE, TWO = {"eventName": "a", "requestParameters": {"x": 1}}, {"eventName": "b"}


@pytest.mark.parametrize(
    "record",
    [
        pytest.param({"Records": [ONE, TWO]}, id="CloudTrail"),
        pytest.param({"records": [ONE, TWO]}, id="Azure diagnostics"),
        pytest.param({"value": [ONE, TWO], "@odata.context": "https://graph"}, id="Microsoft Graph"),
        pytest.param(
            {"Events": [{"EventId": "1", "CloudTrailEvent": json.dumps(one)} for one in (ONE, TWO)]},
            id="aws cloudtrail lookup-events",
        ),
        pytest.param(
            {"took": 1, "_shards": {}, "hits": {"hits": [{"_index": "i", "_source": one} for one in (ONE, TWO)]}},
            id="Elasticsearch search",
        ),
    ],
)
def test_an_envelope_gives_each_of_its_events(record: dict[str, Any]) -> None:
    assert list(events_in(record)) == [ONE, TWO]


@pytest.mark.parametrize(
    "record",
    [
        pytest.param({"_index": "i", "_source": ONE}, id="elasticdump"),
        pytest.param({"preview": False, "result": ONE}, id="Splunk"),
        pytest.param({"Operations": "a", "AuditData": json.dumps(ONE)}, id="Microsoft 365"),
    ],
)
def test_a_wrapped_event_is_unwrapped(record: dict[str, Any]) -> None:
    assert list(events_in(record)) == [ONE]


@pytest.mark.parametrize(
    "record",
    [
        ONE,
        {},
        {"Records": []},
        {"Records": ["a"]},
        {"records": [ONE], "id": {"time": 1}},
        {"value": 5},
        {"_source": ONE},
        {"hits": 5},
        {"Operations": "a", "AuditData": "not JSON"},
        {"Operations": "a", "AuditData": "[1]"},
        {"Operations": "a", "AuditData": "\ud800"},
        [ONE],
        "text",
        None,
    ],
)
def test_any_other_value_is_passed_on_as_it_is(record: Any) -> None:
    assert list(events_in(record)) == [record]
