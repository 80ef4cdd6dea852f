from __future__ import annotations

from typing import Any

import pytest

from pipeline.detect.windows import is_windows_event, windows_fields
from schemas.event import Fields


def event(system: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    return {"Event": {"System": system or {}, **sections}}


def test_attributes_are_joined_and_the_time_is_the_events() -> None:
    system = {
        "Provider": {"#attributes": {"Name": "Sysmon", "Guid": "G"}},
        "EventID": {"#attributes": {"Qualifiers": 16384}, "#text": 7045},
        "TimeCreated": {"#attributes": {"SystemTime": "2026-04-17T05:24:53.092051Z"}},
        "Execution": {"#attributes": {"ProcessID": 3208}},
        "Correlation": None,
    }
    assert windows_fields(event(system)) == {
        "Provider_Name": "Sysmon",
        "Provider_Guid": "G",
        "EventID": 7045,
        "EventID_Qualifiers": 16384,
        "TimeCreated_SystemTime": "2026-04-17T05:24:53.092051Z",
        "@timestamp": "2026-04-17T05:24:53.092051Z",
        "Execution_ProcessID": 3208,
        "Correlation": None,
    }


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"EventData": {"Threat Name": "X"}}, {"ThreatName": "X", "Signature": "X"}),
        ({"EventData": {"Data": {"#text": ["a", "b"]}}}, {"Data": ("a", "b")}),
        ({"EventData": {"Data": ["a", 1]}}, {"Data": ("a", 1)}),
        ({"EventData": {"#attributes": {"Name": "n"}, "a": "b"}}, {"a": "b"}),
        ({"EventData": None}, {}),
        ({"EventData": "text"}, {}),
        ({"UserData": {"RuleAndFile": {"#attributes": {"x": "y"}, "Policy": {"Name": "p"}}}}, {"Name": "p"}),
        ({"UserData": {"a": {"b": None}}}, {"b": None}),
    ],
)
def test_event_data_gives_its_innermost_names_without_spaces(sections: dict[str, Any], expected: Fields) -> None:
    assert windows_fields(event(**sections)) == expected


def test_a_name_in_both_sections_keeps_both_values() -> None:
    assert windows_fields(event({"Level": 4}, EventData={"Level": "x"}))["Level"] == (4, "x")


def test_a_security_process_start_has_the_names_sysmon_gives() -> None:
    data = {"NewProcessName": "C:\\a.exe", "ParentProcessName": "C:\\b.exe", "NewProcessId": "0x5", "ProcessId": "0x4"}
    fields = windows_fields(event({"Channel": "Security", "EventID": 4688}, EventData=data))
    assert fields["Image"] == fields["NewProcessName"] == "C:\\a.exe"
    assert fields["ParentImage"] == "C:\\b.exe"
    assert (fields["ProcessId"], fields["ParentProcessId"]) == ("0x5", "0x4")


def test_only_an_evtx_record_is_taken_for_one() -> None:
    assert is_windows_event(event())
    assert not is_windows_event({"Event": "x"})
    assert not is_windows_event({"Event": {"System": 1}})
    assert not is_windows_event({"EventID": 1})


def test_endless_nesting_is_refused() -> None:
    deep: Any = "x"
    for _ in range(100):
        deep = {"a": deep}
    with pytest.raises(ValueError, match="nested deeper"):
        windows_fields(event(EventData=deep))
    with pytest.raises(ValueError, match="nested deeper"):
        windows_fields(event({"x": deep}))
