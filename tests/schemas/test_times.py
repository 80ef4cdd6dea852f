import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.times import from_rfc3339, to_rfc3339


@given(st.integers(min_value=-62_135_596_800_000, max_value=253_402_300_799_999))
def test_every_millisecond_survives_the_round_trip(milliseconds: int) -> None:
    text = to_rfc3339(milliseconds)
    assert from_rfc3339(text) == from_rfc3339(text.replace("Z", "000+00:00")) == milliseconds


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T08:00:00+08:00", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("1970-01-01T00:00:00.0019Z", 1),
    ],
)
def test_zones_and_digits_are_understood(text: str, milliseconds: int) -> None:
    assert from_rfc3339(text) == milliseconds


LOOK_RIGHT = [
    "2026-11-23T10:00:00.\u0661\u0662\u0663Z",
    "2026-11-23T10:00:00.1_3Z",
    "2026-11-23T10:00:61.123Z",
    "2026-11-23T10+00:00.123Z",
]


@pytest.mark.parametrize("text", ["", "2026-11-23", "2026-11-23T10:00:00", "noon", "2026-13-01T00:00:00Z", *LOOK_RIGHT])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_rfc3339(text)
