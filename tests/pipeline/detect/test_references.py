"""What SigmaHQ's rules never use, against references written by hand from the specification's words.

pySigma's parser is part of the engine and of the SQLite oracle; these references share nothing with it.
"""

from __future__ import annotations

import json
import os
from base64 import b64encode
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import cache
from ipaddress import IPv6Address
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.detect.samples import selection, verdict

EXAMPLES = int(os.environ.get("JSOC_EXAMPLES", "150"))
examples = settings(max_examples=EXAMPLES, deadline=None)

DASHES = "-/\u2013\u2014\u2015"


def item(key: str, value: object) -> str:
    return yaml.safe_dump({key: value}, default_flow_style=True, width=10_000)


def matches(key: str, value: object, **fields: Any) -> bool:
    return verdict(selection(item(key, value)), fields)


def tokens(pattern: str) -> list[str]:
    r"""A value's characters; `many` and `one` for wildcards. Backslashes by the specification's table of examples."""
    found, place = [], 0
    while place < len(pattern):
        char, after = pattern[place], pattern[place + 1 : place + 2]
        if char == "\\" and after in {"\\", "*", "?"} and after:
            found.append(after)
            place += 2
            continue
        found.append({"*": "many", "?": "one"}.get(char, char))
        place += 1
    return found


def glob(pattern: list[str], text: str) -> bool:
    @cache
    def rest(i: int, j: int) -> bool:
        if i == len(pattern):
            return j == len(text)
        if pattern[i] == "many":
            return rest(i + 1, j) or (j < len(text) and rest(i, j + 1))
        return j < len(text) and pattern[i] in {"one", text[j]} and rest(i + 1, j + 1)

    return rest(0, 0)


@examples
@given(pattern=st.text("\\*?ab[\n", max_size=7), text=st.text("\\*?ab[\n", max_size=7))
def test_wildcards_and_backslashes(pattern: str, text: str) -> None:
    assert matches("f|cased", pattern, f=text) is glob(tokens(pattern), text)
    assert matches("f", pattern, f=text.upper()) is glob(tokens(pattern), text)
    assert matches("f|contains", pattern, f=text) is glob(["many", *tokens(pattern), "many"], text)
    assert matches("f|startswith", pattern, f=text) is glob([*tokens(pattern), "many"], text)
    assert matches("f|endswith", pattern, f=text) is glob(["many", *tokens(pattern)], text)


@examples
@given(text=st.text(" -/ab_", min_size=1, max_size=8), data=st.data())
def test_windash_takes_each_dash_at_the_start_of_a_word_for_any_other(text: str, data: st.DataObject) -> None:
    def starts_word(place: int) -> bool:
        before, after = text[place - 1 : place] if place else "", text[place + 1 : place + 2]
        return text[place] in "-/" and not (before.isalnum() or before == "_") and (after.isalnum() or after == "_")

    replaced = "".join(
        data.draw(st.sampled_from(DASHES)) if starts_word(place) else char for place, char in enumerate(text)
    )
    assert matches("f|windash", text, f=replaced)
    other = data.draw(st.text(" -/ab_" + DASHES, max_size=8))
    same = len(other) == len(text) and all(
        mine == theirs or (starts_word(place) and theirs in DASHES)
        for place, (mine, theirs) in enumerate(zip(text, other, strict=True))
    )
    assert matches("f|windash|cased", text, f=other) is same


CODECS = {"wide": "utf-16-le", "utf16le": "utf-16-le", "utf16be": "utf-16-be", "utf16": "utf-16-le"}


@examples
@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="*?\\"), min_size=2, max_size=6),
    before=st.binary(max_size=4),
    after=st.binary(max_size=4),
    modifier=st.sampled_from(["", *CODECS]),
)
def test_encoded_text_is_found_wherever_it_stands(text: str, before: bytes, after: bytes, modifier: str) -> None:
    raw = text.encode(CODECS.get(modifier, "utf-8"))
    raw = b"\xff\xfe" + raw if modifier == "utf16" else raw
    chain = f"f|{modifier + '|' if modifier else ''}"
    assert matches(chain + "base64offset|contains", text, f=b64encode(before + raw + after).decode())
    assert matches(chain + "base64", text, f=b64encode(raw).decode())
    assert not matches(chain + "base64|cased", text, f=b64encode(raw + b"x").decode())


@examples
@given(
    base=st.integers(0, 2**128 - 1),
    prefix=st.integers(0, 128),
    flipped=st.integers(0, 127),
    low=st.integers(0, 2**32 - 1),
    form=st.sampled_from(["compressed", "exploded"]),
)
def test_a_network_is_its_first_bits(base: int, prefix: int, flipped: int, low: int, form: str) -> None:
    network = base >> (128 - prefix) << (128 - prefix)
    address = (base ^ low ^ (1 << flipped)) & (2**128 - 1)
    text = getattr(IPv6Address(address), form).upper()
    inside = address >> (128 - prefix) == base >> (128 - prefix)
    assert matches("f|cidr", f"{IPv6Address(network)}/{prefix}", f=text) is inside


numbers = st.one_of(
    st.integers(-20, 20),
    st.integers(-(2**63), 2**64 - 1),
    st.decimals(-20, 20, places=2).map(float),
)
COMPARED = {
    "gt": lambda mine, theirs: mine > theirs,
    "gte": lambda mine, theirs: mine >= theirs,
    "lt": lambda mine, theirs: mine < theirs,
    "lte": lambda mine, theirs: mine <= theirs,
}


@examples
@given(mine=numbers, theirs=numbers, as_text=st.booleans())
def test_numbers_are_compared_exactly_however_the_event_writes_them(
    mine: float, theirs: float, *, as_text: bool
) -> None:
    written: Any = format(Decimal(repr(mine)), "f") if as_text else mine
    left, right = Decimal(repr(mine)), Decimal(repr(theirs))
    for modifier, holds in COMPARED.items():
        assert matches(f"f|{modifier}", theirs, f=written) is holds(left, right)
        assert matches(f"f|{modifier}|neq", theirs, f=written) is not holds(left, right)
    assert matches("f", theirs, f=written) is (left == right)
    assert matches("f|neq", [theirs, theirs], f=written) is (left != right)


@examples
@given(
    moment=st.datetimes(datetime.fromisoformat("1975-01-01"), datetime.fromisoformat("2100-01-01")),
    hours=st.integers(-12, 14),
    wanted=st.sampled_from([0, 1, 2, 12, 23, 52, 53, 2026]),
)
def test_parts_of_a_time_are_those_that_are_written(moment: datetime, hours: int, wanted: int) -> None:
    written = moment.replace(tzinfo=timezone(timedelta(hours=hours))).isoformat()
    parts = {
        "year": int(written[:4]),
        "month": int(written[5:7]),
        "day": int(written[8:10]),
        "hour": int(written[11:13]),
        "minute": int(written[14:16]),
        "week": int(moment.strftime("%V")),
    }
    seconds = int(moment.replace(tzinfo=UTC).timestamp())
    for unit, part in parts.items():
        assert matches(f"f|{unit}", part, f=written)
        assert matches(f"f|{unit}", part, f=seconds)
        assert matches(f"f|{unit}", part, f=seconds * 1000)
        assert matches(f"f|{unit}", wanted, f=written) is (part == wanted)
        assert matches(f"f|{unit}|gte", wanted, f=written) is (part >= wanted)


words = st.one_of(st.text("aAbB\nß", max_size=3), st.integers(-2, 2), st.booleans(), st.none())
arrays = st.one_of(words, st.lists(words, max_size=4).map(tuple))
RELATED = {
    "": str.__eq__,
    "|contains": str.__contains__,
    "|startswith": str.startswith,
    "|endswith": str.endswith,
}


@examples
@given(mine=arrays, theirs=arrays, cased=st.booleans())
def test_fieldref_holds_if_some_pair_of_values_is_so_related(mine: Any, theirs: Any, *, cased: bool) -> None:
    def texts(value: Any) -> list[str]:
        elements = value if isinstance(value, tuple) else (value,)
        found = [json.dumps(one) if not isinstance(one, str) else one for one in elements if one is not None]
        return found if cased else [text.casefold() for text in found]

    for chain, related in RELATED.items():
        holds = any(related(left, right) for left in texts(mine) for right in texts(theirs))
        key = f"f{'|cased' if cased else ''}|fieldref{chain}"
        assert matches(key, "g", f=mine, g=theirs) is holds
        assert matches(key + "|neq", "g", f=mine, g=theirs) is not holds


@examples
@given(text=st.text("aAbBß", max_size=4), value=st.text("aAbBßSs", max_size=4))
def test_cased_compares_characters_and_nothing_else_does(text: str, value: str) -> None:
    assert matches("f|cased", text, f=value) is (text == value)
    assert matches("f", text, f=value) is (text.casefold() == value.casefold())
    assert matches("f|cased|contains", text, f=value) is (text in value)
    assert matches("f|re", f"^{text}$", f=value) is (text == value)


@examples
@given(fields=st.dictionaries(st.sampled_from(["f", "f.g", "fg"]), arrays))
def test_exists_looks_at_presence_alone(fields: dict[str, Any]) -> None:
    present = "f" in fields or "f.g" in fields
    assert matches("f|exists", True, **fields) is present
    assert matches("f|exists", False, **fields) is not present
