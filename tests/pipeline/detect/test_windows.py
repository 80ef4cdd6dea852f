from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.detect.windows import event_fields
from schemas.event import Fields, Refused
from schemas.logsource import PRODUCT, SERVICE, derive_logsource


def event(system: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    return {"Event": {"System": {"EventID": 7, **(system or {})}, **sections}}


def test_attributes_are_joined_and_the_time_is_the_events() -> None:
    system = {
        "Provider": {"#attributes": {"Name": "Sysmon", "Guid": "G"}},
        "EventID": {"#attributes": {"Qualifiers": 16384}, "#text": 7045},
        "TimeCreated": {"#attributes": {"SystemTime": "2026-04-17T05:24:53.092051Z"}},
        "Execution": {"#attributes": {"ProcessID": 3208}},
        "Correlation": None,
    }
    assert event_fields(event(system)) == {
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
        ({"EventData": {"Data": ["a", {"@Name": "x", "#text": "b"}]}}, {"Data": "a", "x": "b"}),
        ({"EventData": {"#attributes": {"Name": "n"}, "a": "b"}}, {"a": "b"}),
        ({"EventData": None}, {}),
        ({"EventData": "text"}, {"EventData": "text"}),
        ({"EventData": [1, {"a": 2}]}, {"EventData": 1, "a": 2}),
        ({"EventData": {"#attributes": None, "a": []}}, {"a": ()}),
        ({"UserData": {"RuleAndFile": {"#attributes": {"x": "y"}, "Policy": {"Name": "p"}}}}, {"Name": "p"}),
        ({"UserData": {"a": {"b": None}}}, {"b": None}),
        ({"RenderingInfo": {"Message": "m"}}, {"RenderingInfo.Message": "m"}),
    ],
)
def test_event_data_gives_its_innermost_names_without_spaces(sections: dict[str, Any], expected: Fields) -> None:
    assert event_fields(event(**sections)) == {"EventID": 7, **expected}


def test_the_channel_of_a_cleared_log_is_that_log_and_its_log_source_the_one_it_was_told_in() -> None:
    system = {"EventID": 104, "Channel": "System"}
    cleared = {"LogFileCleared": {"Channel": "Windows PowerShell", "BackupPath": ""}}
    fields = event_fields({"Event": {"System": system, "UserData": cleared}})
    assert fields["Channel"] == ("Windows PowerShell",)
    derive_logsource(fields)
    assert (fields[PRODUCT], fields[SERVICE]) == ("windows", "system")


def test_a_name_in_both_sections_keeps_both_values() -> None:
    assert event_fields(event({"Level": 4}, EventData={"Level": "x"}))["Level"] == (4, "x")


def test_what_a_collector_put_beside_the_event_is_kept() -> None:
    record = {**event(EventData={"a": "b"}), "jointsoc": {"logsource": {"product": "windows"}}}
    assert event_fields(record) == {"EventID": 7, "a": "b", "jointsoc.logsource.product": "windows"}


CHANNEL = "Microsoft-Windows-Sysmon/Operational"
XML_NAMES: list[tuple[str, Any]] = [
    ("Image", "C:\\a.exe"),
    ("CommandLine", "a <b> & c"),
    ("Empty", ""),
]
NAMED = dict(XML_NAMES)
XML_TEXT = (
    '<EventData xmlns="http://schemas.microsoft.com/win/2004/08/events/event">\r\n'
    '  <Data Name="Image">C:\\a.exe</Data>\n<Data Name="CommandLine">a &lt;b&gt; &amp; c</Data><Data Name="Empty"/>'
    "</EventData>"
)


def in_xml(provider: Any, code: Any, data: Any) -> dict[str, Any]:
    return {"Event": {"System": {"Provider": provider, "EventID": code, "Channel": CHANNEL}, "EventData": data}}


def flat(**fields: Any) -> dict[str, Any]:
    return {"Channel": CHANNEL, "EventID": 1, **fields}


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(in_xml({"#attributes": {"Name": "Sysmon"}}, 1, NAMED), id="evtx_dump"),
        pytest.param(
            {
                "Event": {
                    "System": {"Provider_attributes": {"Name": "Sysmon"}, "EventID": 1, "Channel": CHANNEL},
                    "EventData": NAMED,
                },
                "Event_attributes": {"xmlns": "http://schemas.microsoft.com/win/2004/08/events/event"},
            },
            id="evtx_dump with separate attributes",
        ),
        pytest.param(
            in_xml(
                {"@Name": "Sysmon"},
                "1",
                {"Data": [{"@Name": name, **({"#text": text} if text else {})} for name, text in XML_NAMES]},
            ),
            id="xmltodict",
        ),
        pytest.param(
            in_xml({"-Name": "Sysmon"}, "1", {"Data": [{"-Name": name, "#text": text} for name, text in XML_NAMES]}),
            id="mxj",
        ),
        pytest.param(
            {
                "Event": {
                    "$": {"xmlns": "x"},
                    "System": [{"Provider": [{"$": {"Name": "Sysmon"}}], "EventID": ["1"], "Channel": [CHANNEL]}],
                    "EventData": [{"Data": [{"_": text, "$": {"Name": name}} for name, text in XML_NAMES]}],
                }
            },
            id="xml2js",
        ),
        pytest.param(
            in_xml({"Name": "Sysmon"}, 1, {"Data": [{"Name": name, "content": text} for name, text in XML_NAMES]}),
            id="logstash",
        ),
        pytest.param(
            {
                "System": {
                    "Provider": {"Name": "Sysmon", "Guid": "{}"},
                    "EventID": {"Value": 1},
                    "Channel": CHANNEL,
                    "TimeCreated": {"SystemTime": 1776403493.09},
                },
                "EventData": NAMED,
                "Message": "Process Create",
            },
            id="Velociraptor",
        ),
        pytest.param(
            {
                "EventId": 1,
                "EventRecordId": "77",
                "Channel": CHANNEL,
                "Provider": "Sysmon",
                "ProcessId": 4,
                "PayloadData1": "ProcessID: 9",
                "Payload": json.dumps(
                    {"EventData": {"Data": [{"@Name": name, "#text": text} for name, text in XML_NAMES]}}
                ),
            },
            id="EvtxECmd",
        ),
        pytest.param(
            {
                "event": {"code": "1"},
                "winlog": {"channel": CHANNEL, "provider_name": "Sysmon", "event_data": NAMED},
            },
            id="Winlogbeat",
        ),
        pytest.param(
            {"log_name": CHANNEL, "event_id": 1, "source_name": "Sysmon", "event_data": NAMED},
            id="Winlogbeat 6",
        ),
        pytest.param(
            {
                "rule": {"id": "92000"},
                "data": {
                    "win": {
                        "system": {"channel": CHANNEL, "eventID": "1", "providerName": "Sysmon"},
                        "eventdata": {name[0].lower() + name[1:]: text for name, text in XML_NAMES},
                    }
                },
            },
            id="Wazuh",
        ),
        pytest.param(flat(SourceName="Sysmon", **NAMED), id="NXLog"),
        pytest.param(flat(Provider_Name="Sysmon", EventData=XML_TEXT), id="Sentinel"),
        pytest.param(flat(Provider_Name="Sysmon", **NAMED), id="Sigma's own names"),
    ],
)
def test_every_tools_export_of_an_event_has_the_same_fields(record: dict[str, Any]) -> None:
    fields = event_fields(record)
    assert {name: fields.get(name) for name in NAMED} == NAMED
    assert (fields["Channel"], str(fields["EventID"]), fields["Provider_Name"]) == (CHANNEL, "1", "Sysmon")


def test_event_data_without_names_says_what_to_export_instead() -> None:
    record = {"Id": 1, "LogName": CHANNEL, "ProviderName": "Sysmon", "Properties": [{"Value": "C:\\a.exe"}]}
    with pytest.raises(ValueError, match="export the log as EVTX"):
        event_fields(record)


@pytest.mark.parametrize("code", [4688, "4688"])
@pytest.mark.parametrize("flat", [False, True])
def test_a_security_process_start_has_the_names_sysmon_gives(code: object, *, flat: bool) -> None:
    data = {"NewProcessName": "C:\\a.exe", "ParentProcessName": "C:\\b.exe", "NewProcessId": "0x5", "ProcessId": "0x4"}
    system = {"Channel": "Security", "EventID": code}
    fields = event_fields({**system, **data} if flat else event(system, EventData=data))
    assert fields["Image"] == fields["NewProcessName"] == "C:\\a.exe"
    assert fields["ParentImage"] == "C:\\b.exe"
    assert (fields["ProcessId"], fields["ParentProcessId"]) == ("0x5", "0x4")


def test_names_that_are_sysmons_already_stay() -> None:
    record = {"Channel": "Security", "EventID": 4688, "Image": "a", "ProcessId": 5, "ParentProcessId": 4}
    assert event_fields(record) == record


@pytest.mark.parametrize(
    "record", [{"Event": "x"}, {"Event": {"System": 1}}, {"Event": {"id": 1}}, {"System": {"a": 1}}, {"EventData": "<"}]
)
def test_what_only_looks_like_a_windows_event_is_read_as_it_is(record: dict[str, Any]) -> None:
    assert not {"EventID", "Channel"} & event_fields(record).keys()
    assert len(event_fields(record)) == 1


def test_endless_nesting_and_huge_arrays_are_refused() -> None:
    deep: Any = "x"
    for _ in range(100):
        deep = {"a": deep}
    for record in (event(EventData=deep), event({"x": deep}), event(EventData=["x"] * 20_000), {"a": deep}):
        with pytest.raises(Refused, match=r"too-(deep|many-elements)"):
            event_fields(record)
