from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import ConfigError
from schemas.event import Fields, Value
from schemas.logsource import (
    ATTRIBUTES,
    CATEGORY,
    CHANNEL_FIELDS,
    CODE_FIELDS,
    FIELDS,
    PRODUCT,
    SERVICE,
    deciding_fields,
    derive_logsource,
    load_table,
    read_table,
)

SYSMON = "Microsoft-Windows-Sysmon/Operational"


def derived(fields: Fields) -> tuple[object, object, object]:
    derive_logsource(fields)
    return fields.get(PRODUCT), fields.get(CATEGORY), fields.get(SERVICE)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"winlog.channel": SYSMON, "event.code": "1"}, ("windows", "process_creation", "sysmon")),
        ({"winlog.channel": SYSMON, "event.code": 11}, ("windows", "file_event", "sysmon")),
        ({"Channel": SYSMON, "EventID": 13}, ("windows", ("registry_event", "registry_set"), "sysmon")),
        ({"winlog.channel": SYSMON.upper(), "event.code": "22"}, ("windows", "dns_query", "sysmon")),
        ({"winlog.channel": "Security", "event.code": "4688"}, ("windows", "process_creation", "security")),
        ({"winlog.channel": "Security", "event.code": "4625"}, ("windows", None, "security")),
        ({"winlog.channel": "Security"}, ("windows", None, "security")),
        ({"Channel": "Windows PowerShell", "EventID": 400}, ("windows", "ps_classic_start", "powershell-classic")),
        (
            {"winlog.channel": "Microsoft-Windows-Windows Defender/Operational", "event.code": "1116"},
            ("windows", "antivirus", "windefend"),
        ),
        ({"winlog.channel": "Vendor-Product/Admin"}, ("windows", None, None)),
        ({"Channel": "Vendor-Product/Admin", "EventID": 7}, ("windows", None, None)),
        ({"Channel": "Vendor-Product/Admin"}, (None, None, None)),
        ({"Channel": "Microsoft-Windows-Hyper-V-Worker-Admin", "EventID": 1}, ("windows", None, "hyper-v-worker")),
        ({"event.dataset": "nginx.access"}, ("nginx", "webserver", "nginx")),
        ({"event.dataset": "apache.access"}, ("apache", "webserver", "apache")),
        ({"event.dataset": "squid.access"}, ("squid", "proxy", None)),
        ({"event.dataset": "firewall.cef"}, (None, "firewall", None)),
        ({"event.dataset": "portal.audit"}, ("portal", "application", "audit")),
        ({"event.dataset": "payments.transfer"}, ("payments", "application", "transfer")),
        ({"event.dataset": "system.auth", "process.name": "sudo"}, ("linux", None, ("auth", "sudo"))),
        ({"event.dataset": "system.auth", "event.action": "ssh_login"}, ("linux", None, ("auth", "sshd"))),
        ({"event.dataset": "auditd.log", "event.action": "executed"}, ("linux", "process_creation", "auditd")),
        ({"event.dataset": "aws.cloudtrail"}, ("aws", None, "cloudtrail")),
        ({"event.dataset": "azure.signinlogs"}, ("azure", None, "signinlogs")),
        ({"event.dataset": "gcp.audit"}, ("gcp", None, "gcp.audit")),
        ({"event.dataset": "o365.audit", "event.provider": "Exchange"}, ("m365", None, ("audit", "exchange"))),
        ({"event.dataset": "okta.system"}, ("okta", None, "okta")),
        ({"event.dataset": "zeek.dns"}, ("zeek", "dns", "dns")),
        (
            {"event.dataset": "windows.sysmon", "event.code": "12", "EventType": "CreateKey"},
            ("windows", ("registry_event", "registry_add"), "sysmon"),
        ),
        ({"event.dataset": "system.security", "event.code": 4688}, ("windows", "process_creation", "security")),
        (
            {"event.dataset": "endpoint.events.process", "event.type": ("start",), "host.os.type": "macos"},
            ("macos", "process_creation", None),
        ),
        ({"event.dataset": "zeek.connection"}, ("zeek", "network", "conn")),
        ({"event.module": "spring"}, ("spring", "application", None)),
        ({"winlog.channel": "Directory Service"}, ("windows", None, None)),
        ({"event.module": "nginx"}, ("nginx", None, "nginx")),
        ({"event.dataset": "unheard.of", "event.module": "zeek"}, ("zeek", None, None)),
        ({"event.dataset": "unheard.of"}, (None, None, None)),
        ({}, (None, None, None)),
    ],
)
def test_an_event_gets_the_log_source_its_channel_dataset_or_module_names(
    fields: Fields, expected: tuple[object, ...]
) -> None:
    assert derived(fields) == expected


@pytest.mark.parametrize(
    ("event_type", "category"),
    [("CreateKey", ("registry_event", "registry_add")), ("DeleteValue", ("registry_event", "registry_delete"))],
)
@pytest.mark.parametrize("field", ["EventType", "winlog.event_data.EventType"])
def test_sysmon_registry_events_are_told_apart_by_event_type(field: str, event_type: str, category: object) -> None:
    assert derived({"Channel": SYSMON, "EventID": 12, field: event_type})[1] == category


def test_what_the_event_states_itself_is_kept() -> None:
    fields: Fields = {"event.dataset": "nginx.access", PRODUCT: "openresty"}
    assert derived(fields) == ("openresty", "webserver", "nginx")


@pytest.mark.parametrize("code", [True, 1.0, None, ("x",), 10**5000, "\ud800"], ids=range(6))
def test_odd_event_codes_do_not_pass_for_another_code(code: object) -> None:
    assert derived({"winlog.channel": SYSMON, "event.code": code})[1] is None  # type: ignore[dict-item]


@pytest.mark.parametrize("value", [True, 7, None, (), ("nginx.access",)])
def test_a_dataset_that_is_no_text_is_unknown(value: object) -> None:
    assert derived({"event.dataset": value, "event.module": value, "winlog.channel": value}) == (None, None, None)  # type: ignore[dict-item]


def test_the_table_is_read_once() -> None:
    assert load_table() is load_table()


def test_a_damaged_table_names_its_entry() -> None:
    data = {"windows": {"product": "windows", "channels": {}}, "datasets": {"a.b": {"prodct": "x"}}, "modules": {}}
    with pytest.raises(ConfigError, match=r"logsources\.yml: a\.b: not a log source"):
        read_table(data)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"product": "windows", "category": "process_creation"}, ("windows", "process_creation", None)),
        ({"product": "aws", "service": "cloudtrail"}, ("aws", None, "cloudtrail")),
        ({"product": "Linux", "category": None}, ("linux", None, None)),
        ({"category": "webserver", "product": "shop"}, (None, "webserver", None)),
        ({"product": "windows", "service": "unheard-of"}, ("windows", None, None)),
        ({"service": "dns"}, (None, None, None)),
        ({"product": "shop", "category": "books", "service": "dns"}, (None, None, None)),
        ({"product": ("windows",), "category": 7}, (None, None, None)),
        ({"product": "windows", "event.dataset": "unheard.of"}, ("windows", None, None)),
        ({"product": "windows", "event.dataset": "zeek.dns"}, ("zeek", "dns", "dns")),
        ({"product": "linux", "Channel": SYSMON, "EventID": "11"}, ("windows", "file_event", "sysmon")),
    ],
)
def test_plain_names_count_as_the_last_resort(fields: Fields, expected: tuple[object, ...]) -> None:
    assert derived(fields) == expected


class Watched(dict[str, Value]):
    """An event that notes which fields are read."""

    def __init__(self, fields: Fields) -> None:
        super().__init__(fields)
        self.read: set[str] = set()

    def get(self, name: str, default: Value = None) -> Value:  # type: ignore[override]
        self.read.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> Value:
        self.read.add(name)
        return super().__getitem__(name)


def named_values() -> dict[str, list[Value]]:
    """Every field the table asks about, with the values it knows."""
    table = load_table()
    channels, codes = zip(*table.windows, strict=True)
    named: dict[str, list[Value]] = {
        "event.dataset": [*table.datasets],
        "event.module": [*table.modules],
        **{field: [*channels] for field in CHANNEL_FIELDS},
        **{field: [*codes, 1, 12] for field in CODE_FIELDS},
        **{attribute: sorted(known) for attribute, known in zip(ATTRIBUTES, table.names, strict=True)},
        **{field: ["x"] for field in FIELDS},
    }
    waiting = [*table.windows.values(), *table.datasets.values(), *table.modules.values()]
    for entry in waiting:
        for field, choices in entry.refine.items():
            named.setdefault(field, []).extend(choices)
            waiting += choices.values()
    return named


NAMED = named_values()
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        field: st.sampled_from(values) | st.sampled_from(["?", 7, None, True]) for field, values in NAMED.items()
    },
)


@settings(max_examples=500, deadline=None)
@given(EVENTS)
def test_deciding_fields_are_all_that_the_derivation_reads(event: Fields) -> None:
    watched = Watched(event)
    derive_logsource(watched)
    deciding = deciding_fields(event)
    assert watched.read & event.keys() <= set(deciding)
    reduced = {field: event[field] for field in deciding}
    derive_logsource(reduced)
    assert [reduced.get(field) for field in FIELDS] == [watched.get(field) for field in FIELDS]
