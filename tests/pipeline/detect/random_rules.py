"""Hypothesis strategies: small random plans and events that often have something to do with each other."""

from __future__ import annotations

from hypothesis import strategies as st

from pipeline.detect.plan import (
    AllOf,
    AnyOf,
    Boolean,
    Cidr,
    DetectionPlan,
    Exists,
    Expression,
    LogSource,
    Not,
    Null,
    Number,
    Regex,
    SameAs,
    Selection,
    Text,
    TimePart,
)
from schemas.event import Fields
from schemas.logsource import CATEGORY, PRODUCT

NAMES = ("a", "b", "a.c")
SCRAPS = (
    "",
    "a",
    "B",
    "ab",
    "aBc",
    "1",
    "01",
    "1.0",
    "true",
    "10.1.2.3",
    "::1",
    "2026-04-17T23:59:53Z",
    "ß",
    "\ud800",
    "x\ny",
)

fields = st.sampled_from(NAMES)
scraps = st.sampled_from(SCRAPS)
scalars = st.one_of(
    scraps,
    st.text(max_size=4),
    st.integers(-3, 3),
    st.sampled_from([0.0, 1.0, 1.5, float("inf"), float("nan"), 10**400, 1_700_000_000]),
    st.booleans(),
    st.none(),
)
values = st.one_of(scalars, st.lists(scalars, max_size=3).map(tuple))
sources = st.sampled_from([None, "windows", "LINUX", ("linux", "x"), True, 1, ()])
events: st.SearchStrategy[Fields] = st.builds(
    lambda found, product, category: found | {PRODUCT: product, CATEGORY: category},
    st.dictionaries(fields, values, max_size=3),
    sources,
    sources,
)

keyword = st.none()
patterns = st.sampled_from(["*", "a*", "*b", "?", "a?c", "a*c*", r"\*", "*1*"])
hows = st.sampled_from(["equals", "contains", "startswith", "endswith"])
regexes = st.sampled_from(["a", "^b", "[0-9]+", "$", "a.c"])
networks = st.sampled_from(["10.0.0.0/8", "0.0.0.0/0", "::/0", "::1/128"])
comparisons = st.sampled_from(["==", ">"])
moments = st.sampled_from([("hour", 23), ("week", 16), ("year", 2023)])
leaves = st.one_of(
    st.builds(Text, fields | keyword, hows, scraps, st.booleans()),
    st.builds(Text, fields | keyword, st.just("like"), patterns, st.booleans()),
    st.builds(Number, fields, st.sampled_from(["==", "<", "<=", ">", ">="]), st.sampled_from([0, 1, 1.5, -2])),
    st.builds(Boolean, fields, st.booleans()),
    st.builds(Null, fields),
    st.builds(Exists, st.sampled_from(["a", "b", "a.c", "a.c.d"])),
    st.builds(Regex, fields | keyword, regexes, st.sampled_from(["", "i", "ims"])),
    st.builds(Cidr, fields | keyword, networks),
    st.builds(SameAs, fields, hows, fields, st.booleans()),
    st.builds(
        lambda name, op, part: TimePart(name, part[0], op, part[1]), fields, st.sampled_from(["==", ">"]), moments
    ),
)
expressions: st.SearchStrategy[Expression] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(AllOf, st.lists(inner, max_size=4).map(tuple)),
        st.builds(AnyOf, st.lists(inner, max_size=6).map(tuple)),
        st.builds(Not, inner),
        st.builds(Selection, st.just("sel"), inner),
    ),
    max_leaves=12,
)
plans = st.builds(
    lambda source, expression: DetectionPlan("id", "title", source, expression),
    st.sampled_from([LogSource("windows"), LogSource("linux"), LogSource(category="x"), LogSource("linux", "linux")]),
    expressions,
)
