"""Raw Windows events (EVTX as JSON) to the field names Sigma's Windows rules use, the taxonomy `sigma`.

{"Event": {"System": {"EventID": 1, "Provider": {"#attributes": {"Name": "Sysmon"}}}, "EventData": {"Image": "a"}}}
    ->  {"EventID": 1, "Provider_Name": "Sysmon", "Image": "a"}
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from schemas.event import MAX_DEPTH, Fields, Scalar, flatten

# Security 4688 is the other witness of a process start; Sigma's rules know it by Sysmon's names.
_PROCESS_CREATED: Final = {
    "NewProcessName": "Image",
    "ParentProcessName": "ParentImage",
    "NewProcessId": "ProcessId",
    "ProcessId": "ParentProcessId",
    "MandatoryLabel": "IntegrityLevel",
    "SubjectUserName": "User",
    "SubjectUserSid": "UserSid",
}
# Defender's names for what Sigma's antivirus rules call otherwise.
_THREAT_NAMED: Final = {"ThreatName": "Signature", "Path": "Filename"}


def is_windows_event(record: dict[str, Any]) -> bool:
    """Whether a record is an EVTX event as JSON."""
    event = record.get("Event")
    return isinstance(event, dict) and isinstance(event.get("System"), dict)


def windows_fields(record: dict[str, Any]) -> Fields:
    """The fields of one raw event.

    Names in `EventData` lose their spaces, attributes are joined with `_`, as Sigma's specification asks. Where
    `EventData` repeats a name of `System`, both values count.

    Raises:
        ValueError: nested deeper than events are.
    """
    event = record["Event"]
    fields: Fields = {}
    for name, value in event["System"].items():
        _add(fields, name, value, 0)
    for section in ("EventData", "UserData"):
        data = event.get(section)
        if isinstance(data, dict):
            for name, value in _leaves(data, 0):
                _add(fields, name, value, 0)
    stamp = fields.get("TimeCreated_SystemTime")
    if isinstance(stamp, str):
        fields["@timestamp"] = stamp
    _add_sigma_names(fields)
    return fields


def plain_fields(record: dict[str, Any]) -> Fields:
    """The fields of any other record: nested or dotted names as they are."""
    return flatten(record)


def _add_sigma_names(fields: Fields) -> None:
    code, channel = fields.get("EventID"), fields.get("Channel")
    if channel == "Security" and code == 4688:
        _rename(fields, _PROCESS_CREATED)
    elif "ThreatName" in fields:
        _rename(fields, _THREAT_NAMED)


def _rename(fields: Fields, names: dict[str, str]) -> None:
    """Give fields Sigma's names as well; the original name stays unless Sigma means something else by it."""
    original = dict(fields)
    for theirs, ours in names.items():
        if theirs in original:
            fields[ours] = original[theirs]


def _leaves(data: dict[str, Any], depth: int) -> Iterator[tuple[str, Any]]:
    """The innermost names of `EventData` and `UserData`, whatever they are wrapped in."""
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    for name, value in data.items():
        if name == "#attributes":
            continue
        if isinstance(value, dict) and "#text" not in value and "#attributes" not in value:
            yield from _leaves(value, depth + 1)
        elif isinstance(value, dict) and "#text" not in value:
            inner = {key: entry for key, entry in value.items() if key != "#attributes"}
            yield from _leaves(inner, depth + 1)
        else:
            yield name.replace(" ", ""), value


def _add(fields: Fields, name: str, value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        for key, inner in value.get("#attributes", {}).items():
            _add(fields, f"{name}_{key}", inner, depth + 1)
        if "#text" in value:
            _add(fields, name, value["#text"], depth + 1)
        elif "#attributes" not in value:
            for key, inner in value.items():
                _add(fields, f"{name}_{key}", inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _add(fields, name, inner, depth + 1)
    else:
        _unite(fields, name, value)


def _unite(fields: Fields, name: str, value: Scalar) -> None:
    if name not in fields:
        fields[name] = value
        return
    known = fields[name]
    fields[name] = (*(known if isinstance(known, tuple) else (known,)), value)
