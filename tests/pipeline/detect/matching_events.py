"""For a rule an event that it matches, made from the rule's own condition; and that event as Windows would log it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_network
from random import Random
from typing import Any, Final

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import strategies as st

from pipeline.detect.plain import compile_test
from pipeline.detect.plan import (
    AllOf,
    AnyOf,
    Boolean,
    Cidr,
    DetectionPlan,
    Exists,
    Expression,
    Leaf,
    Not,
    Null,
    Number,
    Regex,
    SameAs,
    Selection,
    Text,
    TimePart,
)
from pipeline.detect.view import EventView
from schemas.event import Fields, Scalar

TRIES: Final = 200
KEYWORDS: Final = "Message"
"""The field that keywords are put into."""
Wanted = dict[str, list[Leaf]]
"""What the chosen branches ask of each field."""


def matching_event(plan: DetectionPlan) -> Fields | None:
    """Fields with which the plan's expression is true, or None if none was found."""
    test = compile_test(plan.expression)
    random = Random(plan.id)
    for _ in range(TRIES):
        wanted: Wanted = {}
        for leaf in _chosen(plan.expression, random, sign=True):
            wanted.setdefault(leaf.field or KEYWORDS, []).append(leaf)
        fields: Fields = {}
        for field, leaves in wanted.items():
            value = _value(leaves, fields, random)
            if value is not None:
                fields[field] = value
        if fields and test(EventView(fields)):
            return fields
    return None


def _chosen(expression: Expression, random: Random, *, sign: bool) -> Iterator[Leaf]:
    """The leaves of one way to make the expression true; what must be false is left out."""
    match expression:
        case Selection(_, part):
            yield from _chosen(part, random, sign=sign)
        case Not(part):
            yield from _chosen(part, random, sign=not sign)
        case AllOf(parts) | AnyOf(parts):
            everything = isinstance(expression, AllOf) == sign
            for part in parts if everything else random.sample(parts, min(1, len(parts))):
                yield from _chosen(part, random, sign=sign)
        case _:
            if sign:
                yield expression
            elif isinstance(expression, Null):
                yield Exists(expression.field)


def _value(leaves: list[Leaf], fields: Fields, random: Random) -> Scalar:
    begin, middle, end = "", list[str](), ""
    for leaf in leaves:
        match leaf:
            case Null():
                return None
            case Number(_, op, number):
                return number + {"<": -1, ">": 1}.get(op, 0)
            case Boolean(_, truth):
                return truth
            case Cidr(_, network):
                return str(ip_network(network).network_address)
            case SameAs(_, _, other):
                return str(fields.setdefault(other, "same"))
            case TimePart():
                raise AssertionError("no public rule asks for a part of a time")
            case Regex(_, pattern, flags):
                middle.append(_text_of_regex(pattern, flags))
            case Exists():
                middle.append("x")
            case Text(_, "equals", text):
                return text
            case Text(_, "startswith", text):
                begin = begin or text
            case Text(_, "endswith", text):
                end = end or text
            case Text(_, "contains", text):
                middle.append(text)
            case Text(_, "like", pattern):
                middle.append(_text_of_like(pattern))
    random.shuffle(middle)
    return begin + random.choice(["", " "]).join(middle) + end


def _text_of_like(pattern: str) -> str:
    return re.sub(r"\\(.)|([*?])", lambda found: found[1] or ("x" if found[2] == "?" else ""), pattern, flags=re.S)


def _text_of_regex(pattern: str, flags: str) -> str:
    compiled = re.compile((f"(?{flags})" if flags else "") + pattern)
    quick = settings(database=None, max_examples=200, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    return find(st.from_regex(compiled, alphabet=st.characters(codec="utf-8")), lambda _: True, settings=quick)


_SYSTEM: Final = ("EventID", "Provider_Name", "Computer", "Level")


def as_windows_logs_it(fields: Fields, channel: str, code: int) -> dict[str, Any]:
    """The event's XML as JSON, as evtx_dump writes it; a channel in the fields is one that the event tells about."""
    system: dict[str, Any] = {
        "Provider": {"#attributes": {"Name": fields.get("Provider_Name", "Any")}},
        "EventID": {"#attributes": {"Qualifiers": 0}, "#text": fields.get("EventID", code)},
        "Channel": channel,
        "Computer": fields.get("Computer", "host.example"),
        "Level": fields.get("Level", 2),
        "TimeCreated": {"#attributes": {"SystemTime": "2026-03-01T10:00:00.000000Z"}},
    }
    data = {name: value for name, value in fields.items() if name not in _SYSTEM}
    if (channel.casefold(), fields.get("EventID")) == ("system", 104):
        data.setdefault("Channel", "Application")  # the log that was cleared
    return {"Event": {"#attributes": {"xmlns": "x"}, "System": system, "EventData": data}}
