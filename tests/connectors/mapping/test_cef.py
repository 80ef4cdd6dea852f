from __future__ import annotations

import pytest

from connectors.mapping.cef import MAX_KEYS, parse_cef


def test_header_and_extension_become_fields() -> None:
    fields = parse_cef("CEF:0|Palisade|EdgeGuard|7.2|deny|Connection denied|3|src=192.0.2.7 dst=198.51.100.1 act=deny")
    assert fields == {
        "cef.version": "0",
        "cef.vendor": "Palisade",
        "cef.product": "EdgeGuard",
        "cef.device_version": "7.2",
        "cef.signature": "deny",
        "cef.name": "Connection denied",
        "cef.severity": "3",
        "src": "192.0.2.7",
        "dst": "198.51.100.1",
        "act": "deny",
    }


@pytest.mark.parametrize(
    ("extension", "key", "value"),
    [
        ("msg=two words here src=1", "msg", "two words here"),
        (r"msg=a\=b \\ c src=1", "msg", r"a=b \ c"),
        (r"msg=line\nnext src=1", "msg", "line\nnext"),
        ("msg= src=1", "msg", ""),
        ("src=1 msg=last one ", "msg", "last one"),
        ("src=first src=second", "src", "first"),
        ("cs1Label=rule cs1=a=b", "cs1", "a=b"),
    ],
)
def test_values_may_hold_spaces_and_escapes(extension: str, key: str, value: str) -> None:
    assert parse_cef("CEF:0|v|p|1|s|n|3|" + extension)[key] == value


def test_bars_and_backslashes_in_the_header_are_escaped() -> None:
    assert parse_cef(r"CEF:0|v\|w\\|p|1|s|n|3|")["cef.vendor"] == "v|w\\"


@pytest.mark.parametrize(
    ("line", "time", "host"),
    [
        ("<134>Nov 23 02:00:02 fw-1 CEF:0|v|p|1|s|n|3|", "Nov 23 02:00:02", "fw-1"),
        ("<134>1 2026-11-23T02:00:02.123Z fw-1 - - - - CEF:0|v|p|1|s|n|3|", "2026-11-23T02:00:02.123Z", "fw-1"),
        ("2026-11-23T02:00:02+08:00 fw-1 CEF:0|v|p|1|s|n|3|", "2026-11-23T02:00:02+08:00", "fw-1"),
    ],
)
def test_a_syslog_header_before_it_is_read_too(line: str, time: str, host: str) -> None:
    fields = parse_cef(line)
    assert (fields["syslog.time"], fields["syslog.host"]) == (time, host)


@pytest.mark.parametrize("line", ["", "CEF:0|v|p", "no cef", "CEF:0|" + "\\" * 100_000])
def test_what_is_not_cef_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"CEF:0|header ends"):
        parse_cef(line)


def test_an_extension_of_ever_more_keys_is_refused() -> None:
    extension = " ".join(f"k{number}=1" for number in range(MAX_KEYS + 1))
    with pytest.raises(ValueError, match="more than"):
        parse_cef("CEF:0|v|p|1|s|n|3|" + extension)
