"""Windows events as tools export them, to the field names Sigma's Windows rules use, the taxonomy `sigma`.

{"Event": {"System": {"EventID": 1, "Provider": {"#attributes": {"Name": "Sysmon"}}}, "EventData": {"Image": "a"}}}
    ->  {"EventID": 1, "Provider_Name": "Sysmon", "Image": "a"}

Two families: the event's XML turned into JSON (in each tool's own way of writing attributes and texts), and flat or
nested documents with names of their own (Winlogbeat, Wazuh, EvtxECmd, NXLog).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import unescape
from itertools import chain
from typing import Any, Final, NamedTuple

from pipeline.detect.envelopes import json_object
from schemas.event import MAX_DEPTH, MAX_ELEMENTS, MAX_FIELDS, Fields, Refused, Scalar, flatten
from schemas.logsource import derive_logsource

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


class _Document(NamedTuple):
    """How one kind of document names what the event's XML calls otherwise."""

    data: tuple[str, ...]
    """Prefixes of the names of `EventData`."""
    system: dict[str, str]
    """Its names for parts of `System`."""
    small: bool = False
    """Whether it writes the first letter of every name small."""


_WINLOGBEAT: Final = _Document(
    ("winlog.event_data.", "winlog.user_data."),
    {
        "winlog.channel": "Channel",
        "winlog.event_id": "EventID",
        "event.code": "EventID",
        "winlog.provider_name": "Provider_Name",
        "winlog.computer_name": "Computer",
        "winlog.record_id": "EventRecordID",
    },
)
_WAZUH: Final = {"eventID": "EventID", "channel": "Channel", "providerName": "Provider_Name", "computer": "Computer"}
# The field that tells a document's kind -> how to read it.
_DOCUMENTS: Final = {
    "winlog.channel": _WINLOGBEAT,
    "log_name": _Document(
        ("event_data.", "user_data."),
        {
            "log_name": "Channel",
            "event_id": "EventID",
            "source_name": "Provider_Name",
            "computer_name": "Computer",
        },
    ),
    **{
        f"{above}win.system.channel": _Document(
            (f"{above}win.eventdata.",),
            {f"{above}win.system.{name}": ours for name, ours in _WAZUH.items()},
            small=True,
        )
        for above in ("", "data.")
    },
    "EventRecordId": _Document((), {"EventId": "EventID", "Provider": "Provider_Name", "TimeCreated": "@timestamp"}),
    "SourceName": _Document((), {"SourceName": "Provider_Name", "Hostname": "Computer"}),
}
_MARKS: Final = frozenset({"EventData", *_DOCUMENTS})
_WITH_FIELDS: Final = frozenset({"Event", "System", "EventData", "UserData"})
"""Names of values that have fields in them."""
_WITH_FIELDS_BESIDE: Final = ({"Payload", "EventRecordId"}, {"Properties", "LogName", "ProviderName"})
"""The same, where the other names are there too."""
VALUED: Final = ("Channel", "EventID")
"""Fields whose values tell what others are called."""
_ATTRIBUTES: Final = frozenset({"#attributes", "@attributes", "_attributes", "$"})
_TEXTS: Final = frozenset({"#text", "_", "$t"})
_VALUES: Final = ("Value", "value", "content", "Content", "text")
_SECTIONS: Final = ("EventData", "UserData")
_XML_DATA: Final = re.compile(r"""<Data\s+Name=["']([^"']+)["']\s*(?:/>|>([^<]*)</Data>)""")


def event_fields(record: dict[str, Any]) -> Fields:
    """The fields of one record: of a Windows event with Sigma's names, of any other as they are.

    Raises:
        Refused: nested too deeply, too many fields or elements.
        ValueError: a Windows event whose data has no names.
    """
    if isinstance(record.get("Properties"), list) and "LogName" in record and "ProviderName" in record:
        raise ValueError("Get-WinEvent's Properties have no names; export the log as EVTX, or each event's ToXml()")
    event = _one(record.get("Event", record))
    system = _one(event.get("System")) if isinstance(event, dict) else None
    if isinstance(system, dict) and not system.keys().isdisjoint({"EventID", "Channel", "Provider"}):
        fields = _from_xml(event, system)
        if event is not record:
            # What a collector put beside the event.
            fields = flatten({key: value for key, value in record.items() if key != "Event"}) | fields
    else:
        fields = flatten(record)
        if not _MARKS.isdisjoint(fields):
            _from_document(fields)
    if "EventID" in fields:
        _add_sigma_names(fields)
    return fields


class _Named(str):
    """A value that knows under which name it came."""

    name: str


def renaming(names: Sequence[str], valued: Mapping[str, Any]) -> dict[str, str] | None:
    """What `event_fields` does to flat records of these names: each field, and the name of the value it gets.

    >>> renaming(["SourceName", "EventID"], {})
    {'SourceName': 'SourceName', 'EventID': 'EventID', 'Provider_Name': 'SourceName'}

    Args:
        names: of the record.
        valued: those of its values, by their names, that may be one of `VALUED`.

    Returns:
        None if it depends on more than that.
    """
    odd = any(isinstance(value, float) for value in valued.values())  # 4688.0 is 4688
    nested = not _WITH_FIELDS.isdisjoint(names) or any(beside.issubset(names) for beside in _WITH_FIELDS_BESIDE)
    if odd or nested or len(names) > MAX_FIELDS:
        return None
    record = {}
    for name in names:
        value = valued.get(name)
        record[name] = _Named("" if value is None or isinstance(value, bool | tuple) else value)
        record[name].name = name
    fields = event_fields(record)
    return {field: value.name for field, value in fields.items() if isinstance(value, _Named)}


def dotted_names() -> set[str]:
    """The dotted names that this module knows: a flat record may have them, a nested one the objects above them."""
    return {name for document in _DOCUMENTS.values() for name in (*document.data, *document.system) if "." in name}


def _from_xml(event: dict[str, Any], system: dict[str, Any]) -> Fields:
    """Names in `EventData` lose their spaces, attributes are joined with `_`, as Sigma's specification asks.

    Where `EventData` repeats a name of `System`, both values count.
    """
    data = (named for section in _SECTIONS for named in _section(section, event.get(section)))
    # RenderingInfo and the like.
    known = {"System", "xmlns", *_SECTIONS, *_ATTRIBUTES}
    rest = {key: value for key, value in event.items() if key not in known and key[:1] not in "@-"}
    fields = flatten(rest) | _united(chain(system.items(), data))
    stamp = fields.get("TimeCreated_SystemTime")
    if isinstance(stamp, str):
        fields["@timestamp"] = stamp
    return fields


def _united(named: Iterable[tuple[str, Any]]) -> Fields:
    found: dict[str, list[Scalar]] = {}
    for name, value in named:
        _add(found, name.replace(" ", ""), value, 0)
    return {name: values[0] if len(values) == 1 else tuple(values) for name, values in found.items()}


def _one(value: Any) -> Any:
    """The only element of a list: some XML readers make a list of everything."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


class _Element(NamedTuple):
    """An XML element in JSON, by whichever tool."""

    attributes: dict[str, Any]
    texts: list[Any]
    children: dict[str, Any]


def _element(node: dict[str, Any]) -> _Element:
    element = _Element({}, [], {})
    for key, value in node.items():
        if key in _ATTRIBUTES:
            element.attributes.update(value if isinstance(value, dict) else {})
        elif key in _TEXTS:
            element.texts.append(value)
        elif key[:1] in {"@", "-"} and key[1:]:
            element.attributes[key[1:]] = value
        else:
            element.children[key] = value
    return element


def _add(found: dict[str, list[Scalar]], name: str, value: Any, depth: int) -> None:
    """One part of `System`, or one value of `EventData`."""
    _check_depth(depth)
    if isinstance(value, dict):
        element = _element(value)
        texts = element.texts or [element.children.pop("Value")] if "Value" in element.children else element.texts
        for text in texts:
            _add(found, name, text, depth + 1)
        for inner, content in (element.attributes | element.children).items():
            _add(found, f"{name.removesuffix('_attributes')}_{inner}", content, depth + 1)
    elif isinstance(value, list):
        elements = found.setdefault(name, [])
        for content in value:
            _add(found, name, content, depth + 1)
        if len(elements) > MAX_ELEMENTS:
            raise Refused("too-many-elements", f"more than {MAX_ELEMENTS} elements in one field")
    else:
        found.setdefault(name, []).append(value)


def _section(name: str, section: Any) -> Iterator[tuple[str, Any]]:
    """The names and values of `EventData` and `UserData`, whatever they are wrapped in."""
    if isinstance(section, str) and "<" in section:
        yield from _data_of_xml(section)
    elif section is not None:
        yield from _leaves(name, section, 0)


def _data_of_xml(text: str) -> Iterator[tuple[str, str]]:
    for name, value in _XML_DATA.findall(text):
        yield unescape(name), unescape(value)


def _leaves(name: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    _check_depth(depth)
    if isinstance(value, dict):
        element = _element(value)
        label = element.attributes.get("Name", element.children.get("Name")) if name == "Data" else None
        if isinstance(label, str):
            values = [element.children[key] for key in _VALUES if key in element.children]
            yield label, (element.texts or values or [""])[0]
            return
        for text in element.texts:
            yield name, text
        for inner, content in element.children.items():
            yield from _leaves(inner, content, depth + 1)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for item in value:
            yield from _leaves(name, item, depth + 1)
    else:
        yield name, value


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Refused("too-deep", f"nested deeper than {MAX_DEPTH}")


def _from_document(fields: Fields) -> None:
    """Give a document of another tool the names of the event's XML as well; names it has already stay."""
    for marker, document in _DOCUMENTS.items():
        if marker in fields:
            for theirs, ours in document.system.items():
                if theirs in fields:
                    fields.setdefault(ours, fields[theirs])
            for theirs in [name for name in fields if name.startswith(document.data)] if document.data else ():
                ours = next(theirs.removeprefix(prefix) for prefix in document.data if theirs.startswith(prefix))
                fields.setdefault(ours, fields[theirs])
                if document.small:
                    fields.setdefault(ours[:1].upper() + ours[1:], fields[theirs])
    data, payload = fields.get("EventData"), fields.get("Payload")
    if isinstance(data, str) and data.startswith("<"):
        fields.update((name.replace(" ", ""), value) for name, value in _data_of_xml(data))
    elif isinstance(payload, str) and "EventRecordId" in fields:
        # EvtxECmd: the event's XML as JSON text.
        fields.update(_united(_leaves("Payload", json_object(payload) or {}, 0)))


def _add_sigma_names(fields: Fields) -> None:
    if fields.get("Channel") == "Security" and fields["EventID"] in (4688, "4688"):
        if "Image" not in fields:
            _rename(fields, _PROCESS_CREATED)
        return
    channel = fields.get("Channel")
    if fields["EventID"] in (104, "104") and isinstance(channel, tuple) and str(channel[0]).casefold() == "system":
        # A log was cleared: its rules mean that one by Channel, and exclude some. The log source is that of System.
        derive_logsource(fields)
        fields["Channel"] = channel[1:]
    if "Threat Name" in fields:
        fields.update((name.replace(" ", ""), value) for name, value in list(fields.items()) if " " in name)
    if "ThreatName" in fields:
        _rename(fields, _THREAT_NAMED)


def _rename(fields: Fields, names: dict[str, str]) -> None:
    """Give fields Sigma's names as well; the original name stays unless Sigma means something else by it."""
    original = dict(fields)
    for theirs, ours in names.items():
        if theirs in original:
            fields[ours] = original[theirs]
