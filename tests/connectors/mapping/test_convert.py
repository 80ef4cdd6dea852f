from __future__ import annotations

import time
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.forwarder.settings import INTERNAL_NETWORKS
from connectors.mapping.convert import ConversionName, conversion

HASH = "00112233445566778899aabbccddeeff" * 2


def convert(name: ConversionName, value: object) -> object:
    return conversion(name, INTERNAL_NETWORKS)(value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("text", 5, "5"),
        ("text", True, "true"),
        ("text", ["a", 1], ["a", "1"]),
        ("lower", "TCP", "tcp"),
        ("account", r"CORP\bob", "bob"),
        ("account", "bob@corp.example", "bob"),
        ("integer", "42", 42),
        ("integer", "0x1a2c", 6700),
        ("integer", 7, 7),
        ("severity", "Very-High", 10),
        ("severity", "3", 3),
        ("ip", "203.0.113.9", "203.0.113.9"),
        ("ip", "::ffff:203.0.113.9", "203.0.113.9"),
        ("ip", "[2001:DB8::1]", "2001:db8::1"),
        ("ip", "100.64.7.1", "100.64.7.1"),  # a carrier's: rules know what to make of it
        ("domain", "C2.Example.", "c2.example"),
        ("domain", "host.example:8443", "host.example"),
        ("url_path", "/a/b?token=1#x", "/a/b"),
        ("url_path", "http://h.example/a?b", "/a"),
        ("url_path", "http://h.example", "/"),
        ("url_path", "/login;JSESSIONID=9F", "/login"),
        ("url_path", "/%2e%2e/etc/passwd", "/%2e%2e/etc/passwd"),
        ("path", r"C:\Users\bob\AppData\x.exe", r"C:\Users\*\AppData\x.exe"),
        ("path", r"C:\Users\Public\x.exe", r"C:\Users\Public\x.exe"),
        ("path", "/home/bob/.ssh/id", "/home/*/.ssh/id"),
        ("threat_path", r"file:_C:\inetpub\a.aspx; process:_pid:5", r"C:\inetpub\a.aspx"),
        ("file_name", r"C:\Windows\System32\net.exe", "net.exe"),
        ("sha256", f"MD5={HASH[:32]},SHA256={HASH.upper()}", HASH),
        ("sha256", HASH.upper(), HASH),
        ("imphash", f"SHA256={HASH},IMPHASH={HASH[:32]}", HASH[:32]),
    ],
)
def test_values_come_out_in_one_form(name: ConversionName, value: object, expected: object) -> None:
    assert convert(name, value) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ip", "10.21.3.4"),
        ("ip", "::ffff:10.0.0.1"),
        ("ip", "192.168.1.1"),
        ("ip", "fe80::1%eth0"),
        ("ip", "127.0.0.1"),
        ("sha256", "MD5=" + HASH[:32]),
        ("sha256", "0" * 64),
        ("domain", "."),
    ],
)
def test_what_must_not_or_cannot_leave_becomes_nothing(name: ConversionName, value: object) -> None:
    assert convert(name, value) is None


def test_an_institution_names_its_own_networks() -> None:
    own = conversion("ip", [ip_network("198.51.100.0/24")])
    assert own("198.51.100.7") is None
    assert own("10.1.2.3") == "10.1.2.3"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ip", "host.example"),
        ("integer", "many"),
        ("integer", "9" * 1_000_000),
        ("integer", 2**63),
        ("integer", ["1"]),
        ("severity", "11"),
        ("sha256", "xyz"),
        ("text", {"a": 1}),
        ("text", ["a"] * 101),
        ("lower", None),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(name: ConversionName, value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        convert(name, value)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("net user eve Winter2026! /add", "net user eve *** /add"),
        ("net user eve /delete", "net user eve /delete"),
        ("x --password=hunter2 -v", "x --password=*** -v"),
        ('x -DbPassword "two words" -v', "x -DbPassword *** -v"),
        ("curl -u bob:hunter2 https://h.example", "curl -u bob:*** https://h.example"),
        ("git clone https://bob:hunter2@h.example/r", "git clone https://bob:***@h.example/r"),
        ("schtasks /create /ru bob /rp:x /p:hunter2", "schtasks /create /ru bob /rp:x /p:***"),
        ("app api_key=abc token: def", "app api_key=*** token: ***"),
        (r"C:\Users\bob\x.exe /q", r"C:\Users\*\x.exe /q"),
        ("powershell -EncodedCommand AAAA", "powershell -EncodedCommand AAAA"),
    ],
)
def test_secrets_in_command_lines_are_masked(line: str, expected: str) -> None:
    assert convert("command_line", line) == expected


@pytest.mark.parametrize("hostile", ["-" * 16_384, "a-" * 8_192, " -p" * 5_000, "://" * 5_000, "\\Users" * 2_700])
def test_a_hostile_command_line_is_masked_in_no_time(hostile: str) -> None:
    began = time.process_time()
    convert("command_line", hostile)
    assert time.process_time() - began < 1.0


def test_an_address_among_other_things_leaves_if_it_is_one_and_not_ours() -> None:
    convert = conversion("any_ip", INTERNAL_NETWORKS)
    shown = ["203.0.113.9", "203.0.113.9:443", "[2001:db8::7]:443", "10.0.0.1", "10.0.0.1:80", "cloud.example", ""]
    assert [convert(value) for value in shown] == ["203.0.113.9", "203.0.113.9", "2001:db8::7", None, None, None, None]
    assert convert(["10.0.0.1", "203.0.113.9", "alias.example"]) == ["203.0.113.9"]
    assert convert(["10.0.0.1"]) is None


def test_an_internal_address_in_place_of_a_name_does_not_leave() -> None:
    convert = conversion("domain", INTERNAL_NETWORKS)
    assert [convert(name) for name in ("Web.Example:80", "10.0.0.1:80", "203.0.113.9", "fd00::1")] == [
        "web.example",
        None,
        "203.0.113.9",
        None,
    ]


def test_of_a_mail_address_the_domain_leaves() -> None:
    convert = conversion("email_domain", INTERNAL_NETWORKS)
    assert [convert(one) for one in ("<Alice@Bank.Example>", "a@b@c.example", "alice")] == [
        "bank.example",
        "c.example",
        None,
    ]


def test_secrets_in_audited_arguments_are_masked() -> None:
    assert conversion("audit_args", ())('a0="curl" a1="--token" a2="abc"') == "curl --token ***"


@given(st.one_of(st.ip_addresses(v=4).map(str), st.text("0123456789.", max_size=16)))
def test_ipv4_addresses_are_read_as_the_standard_library_reads_them(shown: str) -> None:
    try:
        address = ip_address(shown)
        expected = None if any(address in network for network in INTERNAL_NETWORKS) else str(address)
    except ValueError:
        expected = "refused"
    try:
        found = conversion("ip", INTERNAL_NETWORKS)(shown)
    except ValueError:
        found = "refused"
    assert found == expected
