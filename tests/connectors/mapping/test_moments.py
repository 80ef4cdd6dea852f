from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from connectors.mapping.moments import FormatName, time_reader
from schemas.times import from_rfc3339, to_rfc3339

UTC, TAIPEI = ZoneInfo("UTC"), ZoneInfo("Asia/Taipei")


def read(name: FormatName, value: object, zone: ZoneInfo = UTC, now: str = "2026-12-01T00:00:00Z") -> str:
    return to_rfc3339(time_reader(name, zone, lambda: from_rfc3339(now))(value))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("rfc3339", "2026-11-23T10:00:00.1239+08:00", "2026-11-23T02:00:00.123Z"),
        ("rfc3339", "2026-11-23T02:00:00Z", "2026-11-23T02:00:00.000Z"),
        ("clf", "23/Nov/2026:10:00:00 +0800", "2026-11-23T02:00:00.000Z"),
        ("clf", "23/Nov/2026:10:00:00 -0330", "2026-11-23T13:30:00.000Z"),
        ("syslog", "Nov 23 02:00:00", "2026-11-23T02:00:00.000Z"),
        ("syslog", "Nov  3 02:00:00", "2026-11-03T02:00:00.000Z"),
        ("syslog", "2026-11-23T10:00:00.5+08:00", "2026-11-23T02:00:00.500Z"),
        ("cef", "1795399200123", "2026-11-23T02:00:00.123Z"),
        ("cef", "Nov 23 2026 02:00:00.250 UTC", "2026-11-23T02:00:00.250Z"),
        ("epoch_s", 1795399200, "2026-11-23T02:00:00.000Z"),
        ("epoch_s", "1795399200.5", "2026-11-23T02:00:00.500Z"),
        ("epoch_ms", 1795399200123, "2026-11-23T02:00:00.123Z"),
    ],
)
def test_times_are_read_as_logs_write_them(name: FormatName, value: object, expected: str) -> None:
    assert read(name, value) == expected


@pytest.mark.parametrize(("name", "value"), [("syslog", "Nov 23 10:00:00"), ("rfc3339", "2026-11-23T10:00:00")])
def test_a_time_without_a_zone_is_in_the_zone_of_the_input(name: FormatName, value: str) -> None:
    assert read(name, value, TAIPEI) == "2026-11-23T02:00:00.000Z"


@pytest.mark.parametrize(
    ("now", "text", "year"),
    [
        ("2027-01-01T00:00:05Z", "Dec 31 23:59:59", 2026),
        ("2026-12-31T23:59:59Z", "Jan  1 00:00:10", 2027),  # a clock a little ahead
        ("2026-06-01T00:00:00Z", "Nov 23 02:00:00", 2025),
        ("2026-06-01T00:00:00Z", "Feb 29 02:00:00", 2024),
    ],
)
def test_a_time_without_a_year_is_the_latest_that_can_be(now: str, text: str, year: int) -> None:
    assert read("syslog", text, now=now).startswith(str(year))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rfc3339", "yesterday"),
        ("rfc3339", ""),
        ("clf", "23/Nov/2026 10:00"),
        ("clf", "31/Feb/2026:10:00:00 +0800"),
        ("clf", "23/Nix/2026:10:00:00 +0800"),
        ("syslog", "Nov 31 02:00:00"),
        ("epoch_ms", "-5"),
        ("epoch_ms", 10**18),
        ("epoch_s", "nan"),
        ("epoch_s", "1e999"),
        ("epoch_s", "9" * 5000),
    ],
)
def test_what_is_no_time_is_refused(name: FormatName, value: object) -> None:
    with pytest.raises((ValueError, OverflowError)):
        read(name, value)


def test_times_with_the_month_in_words() -> None:
    zone = ZoneInfo("Asia/Taipei")
    assert time_reader("bind", zone, lambda: 0)("23-Nov-2026 10:00:00.123") == 1_795_399_200_123
    assert time_reader("ctime", zone, lambda: 0)("Mon Nov 23 10:00:00 2026") == 1_795_399_200_000
    for wrong in ("23-Nop-2026 10:00:00.123", "31-Feb-2026 10:00:00", "23-Nov-2026 25:00:00"):
        with pytest.raises(ValueError):  # noqa: PT011
            time_reader("bind", zone, lambda: 0)(wrong)
