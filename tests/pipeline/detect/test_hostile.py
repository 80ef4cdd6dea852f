"""Any event and any rule file, however broken: a defined result or a reason, never another exception."""

from __future__ import annotations

import copy
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.detect.compile import compile_detections
from pipeline.detect.evaluate import Detector
from pipeline.detect.explain import explain
from pipeline.detect.load import load_documents, read_documents
from pipeline.detect.records import read_stream
from schemas.errors import RuleError
from schemas.event import Event, Origin, Rejected, read_line
from schemas.logsource import derive_logsource
from tests.pipeline.detect.samples import selection

ROOT = Path(__file__).parents[3]
SIGMAHQ = ROOT.parent / "shared" / "corpora" / "sigmahq"
EXAMPLES = int(os.environ.get("JSOC_EXAMPLES", "200"))
ORIGIN = Origin("events.bank-a", 0, 0, 1_790_000_000_000)

# --- events

EVERY_KIND: Final = """\
EventID: [1, 1.5, true, null, '1*', '?']
Image|re: '^a.*z$'
a.b|cidr: [10.0.0.0/8, '::/0']
CommandLine|fieldref|contains: Image
t|hour|gte: 5
n|lt: 5
o|exists: true
p|neq: x
q|base64offset|contains: ab
"""


@pytest.fixture(scope="module")
def detectors() -> tuple[Detector, Detector]:
    """With and without routing: the project's rules, a sample of SigmaHQ's where they are, every kind of test."""
    documents = load_documents([ROOT / "rules" / "sigma"])
    if SIGMAHQ.is_dir():
        documents += load_documents([SIGMAHQ / "rules"])[::40]
    kinds = [selection(line) for line in EVERY_KIND.splitlines()] + [selection("'': [a, 1]")]
    plans = (*compile_detections(documents).plans, *kinds)
    return Detector(plans), Detector(plans, routed=False)


names = st.one_of(
    st.sampled_from(
        ["EventID", "Image", "CommandLine", "a", "b", "a.b", "Channel", "t", "n", "q", "jointsoc", "event"]
    ),
    st.sampled_from(["", ".", "a.", "a b", "\u202e", "logsource", "product", "organization", "id", "@timestamp"]),
    st.text(max_size=3),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["1", "true", "a\nz", "10.1.1.1", "::ffff:10.0.0.1", "2026-01-01T05:00:00Z", "x" * 5_000]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)),
    max_leaves=12,
)
objects = st.dictionaries(names, values, max_size=6)


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=objects, stamped=st.booleans())
@example(data={"EventID": [True, 1, 1.0, "1"]}, stamped=True)
@example(data={"a": {"b": 1}, "a.b": [None, {"c": 2}]}, stamped=True)
@example(data={"jointsoc": {"logsource": {"product": [["windows"], {}, 1, None]}}}, stamped=True)
def test_no_event_makes_the_engine_raise(
    detectors: tuple[Detector, Detector], data: dict[str, Any], *, stamped: bool
) -> None:
    raw = json.dumps({**data, **({"@timestamp": "2026-09-01T00:00:00Z"} if stamped else {})}).encode()
    found = read_line(raw, ORIGIN, 0, 10**9)
    if isinstance(found, Rejected):
        assert found.reason
        assert found.raw == raw
        return
    derive_logsource(found.fields)
    routed, unrouted = detectors
    for detector in detectors:
        assert detector.match(found.fields) == detector.match(found.fields)
    everything = unrouted.match(found.fields)
    assert set(routed.match(found.fields)) <= set(everything)
    for index in everything[:2]:
        assert explain(unrouted.plans[index], found.fields, routed=False).matched


LINE = '{"@timestamp": "2026-09-01T00:00:00Z", %s}'


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        pytest.param('"EventID": true', (), id="true is not 1"),
        pytest.param('"EventID": 1', (0,), id="1 after true is not true"),
        pytest.param('"EventID": 1.0', (0,), id="1.0 is 1"),
        pytest.param('"EventID": 5, "EventID": 1', (0,), id="of a key that is there twice the last counts"),
        pytest.param('"EventID": {"a": 1}', (), id="an object"),
        pytest.param('"EventID": [[1]]', (0,), id="an array in an array"),
        pytest.param('"EventID": ' + "9" * 20, (), id="beyond 64 bits"),
        pytest.param('"EventID": "1", "x": "' + "y" * 1_000_000 + '"', "too-long", id="a value of 1 MB"),
        pytest.param('"EventID": NaN', "not-json", id="NaN"),
        pytest.param('"EventID": ' + "9" * 400, "not-json", id="400 digits"),
        pytest.param('"EventID": 1, "x": "\\ud800"', (0,), id="half a surrogate pair"),
        pytest.param('"\\ud800": 1, "EventID": 1', (0,), id="half a surrogate pair in a key"),
        pytest.param('"EventID": ' + "[" * 40 + "1" + "]" * 40, "too-deep", id="deep"),
        pytest.param('"EventID": ' + "[" * 5_000 + "]" * 5_000, "not-json", id="endless"),
        pytest.param('"EventID": [' + "1," * 20_000 + "1]", "too-many-elements", id="a huge array"),
        pytest.param('"x": [' + '{"y":1},' * 100_000 + "1]", "too-many-elements", id="a huge array of objects"),
    ],
)
def test_an_odd_event_is_a_dead_letter_or_has_a_defined_result(inside: str, expected: object) -> None:
    detector = Detector([selection("EventID: 1")], routed=False)
    detector.match({"EventID": True})
    found = read_line((LINE % inside).encode(), ORIGIN, 0, 10**9)
    assert (detector.match(found.fields) if isinstance(found, Event) else found.reason) == expected


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.one_of(values.map(json.dumps), st.text(max_size=9)), max_size=4), st.sampled_from(["", "\n", ","]))
@example(['{"Event": {"System": {"EventID": 1, "x": {"#attributes": 5}}, "EventData": [[null]]}}'], "")
@example(['{"Event": [{"System": [{"Channel": null, "EventID": {"Value": {"Value": 1}}}]}]}'], "")
@example(['{"hits": {"hits": [1, {"_index": "", "_source": {}}]}}'], "")
def test_no_file_makes_the_reader_raise(parts: list[str], between: str) -> None:
    data = between.join(parts).encode("utf-8", "surrogatepass")
    for text in (False, True):
        for record in read_stream(io.BytesIO(data), text=text):
            assert (record.fields is None) is bool(record.problem)


# --- rules

ODD: Final[list[Any]] = [
    *(None, True, False, 0, -1, 1.5, float("nan"), float("inf"), 10**25, "", " ", "*", "\\", "%a%", "\x1b[31m", [], {}),
    *([[]], [None], [{}], {"a": {}}, ["a", None], [1, "a"], "a" * 20_000, "1 of", "not", "(((", "1 of x*", "them"),
    *("|", "a|b|c", ["x"] * 3_000, {"x": ["y"]}, {"condition": "x"}, b"\xff", "- -a -b -c -d -e -f"),
]
CHAINS: Final = (
    *("re", "all", "contains", "cidr", "gt", "hour", "neq", "exists", "base64", "windash", "wide", "fieldref", "i"),
    *("expand", "cased", "foo", "", "windash|windash", "base64offset|base64offset", "re|i|m|s", "wide|base64|wide"),
)
SCRAPS: Final = (
    *(
        b"\n\t",
        b"&a ",
        b"*a ",
        b"!!python/name:os ",
        b"---\n",
        b"<<: ",
        b"\xef\xbb\xbf",
        b"? ",
        b"|\n",
        b"...\n",
        b"\r",
    ),
    *(
        b"\xe2\x80\xa8",
        b"!!binary ",
        b"!!set ",
        b"!!int x",
        b"!!bool ",
        b"!!timestamp ",
        b"\x00",
        b"\xff",
        b"0x",
        b": ",
    ),
)


def places(data: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inner:
        yield (*place, key)
        yield from places(value, (*place, key))


def mutated(data: dict[str, Any], random: Random) -> bytes:
    """A rule with one to three of its parts taken away, replaced or renamed."""
    data = copy.deepcopy(data)
    for _ in range(random.choice([1, 1, 2, 3])):
        found = list(places(data))
        place = random.choice([one for one in found if one[0] == "detection"] or found or [("x",)])
        parent: Any = data
        for key in place[:-1]:
            parent = parent[key]
        change = random.random()
        if place == ("x",) or change < 0.2:
            parent.pop(place[-1], None) if isinstance(parent, dict) else parent.pop(place[-1])
        elif change < 0.5 and isinstance(parent, dict):
            parent[f"{place[-1]}|{random.choice(CHAINS)}"] = parent.pop(place[-1])
        else:
            parent[place[-1]] = copy.deepcopy(random.choice(ODD))
    return yaml.safe_dump(data, allow_unicode=True).encode()


def scrambled(raw: bytes, random: Random) -> bytes:
    """A rule file with bytes lost, doubled and put in."""
    changed = bytearray(raw)
    for _ in range(random.choice([1, 1, 2, 5])):
        at, change = random.randrange(len(changed)), random.random()
        if change < 0.3:
            del changed[at : at + random.randrange(1, 20)]
        elif change < 0.5:
            changed[at:at] = changed[random.randrange(len(changed)) :][: random.randrange(60)]
        else:
            changed[at:at] = random.choice(SCRAPS)
        changed = changed or bytearray(b"x")
    return bytes(changed)


def rule_texts() -> list[bytes]:
    folders = [ROOT / "rules" / "sigma", *sorted(SIGMAHQ.glob("rules*"))]
    return [path.read_bytes() for folder in folders for path in sorted(folder.rglob("*.yml"))]


def test_a_broken_rule_is_a_plan_or_a_rule_error_with_its_line(tmp_path: Path) -> None:
    path, random, texts = tmp_path / "r.yml", Random(20_261_124), rule_texts()
    outcomes = {"plan": 0, "error": 0}
    for number in range(EXAMPLES):
        text = random.choice(texts)
        raw = scrambled(text, random) if number % 2 else mutated(next(yaml.safe_load_all(text)), random)
        path.write_bytes(raw)
        try:
            compiled = compile_detections(list(read_documents(path)))
        except RuleError as problem:
            problems = [problem]
        except Exception as error:  # noqa: BLE001 - that is the test
            pytest.fail(f"{error!r} from the rule\n{raw.decode('utf-8', 'replace')}")
        else:
            problems = compiled.problems
            Detector(compiled.plans, routed=False).match({"Image": "x", "EventID": 1})
            outcomes["plan"] += len(compiled.plans)
        outcomes["error"] += len(problems)
        for problem in problems:
            line = re.fullmatch(re.escape(str(path)) + r":([0-9]+)", problem.where)
            assert line, problem
            assert 1 <= int(line[1]) <= len((raw + b" ").decode("utf-8", "replace").splitlines()), problem
            assert str(problem).isprintable()
    assert min(outcomes.values()) > EXAMPLES / 10


SELECTION: Final = "title: A\nlogsource: {product: windows}\ndetection:\n  sel:\n    %s\n  condition: sel\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            SELECTION % "Image|contians: x",
            "r.yml:5: unknown modifier `contians`; got Image|contians; expected all, base64, ",
        ),
        (SELECTION % "Image|contians: x", "year. Try: `contains`"),
        (SELECTION % "' a|contains': x", "r.yml:5: a blank before or after a field's name; got  a|contains. Try: a"),
        (
            SELECTION % "a|re: '('",
            "r.yml:5: not a regular expression Sigma allows: missing ): (; got (; expected PCRE without look-around",
        ),
        (
            SELECTION % "a|re: '(?=x)'",
            "got (?=x); expected PCRE without look-around and back-references",
        ),
        (SELECTION % f"a: '{'a?' * 100_000}*b'", "r.yml:5: not a pattern that can be searched for: pattern too large"),
        (SELECTION % ("a|windash: [" + "' -a -b -c -d -e', " * 20 + "x]"), "too many alternatives; at most 50,000"),
        (
            SELECTION % ("a|" + "base64|" * 60 + "contains: xxxxxxxxxx"),
            "r.yml:5: pySigma refuses it: a value too long to encode; at most 1,048,576 bytes",
        ),
        (
            SELECTION.replace("windows}", "windows, servise: x}") % "a: b",
            "r.yml:2: events have no log source attribute `servise`; got x; expected product, category, service. Try: ",
        ),
        (
            SELECTION.replace("windows", "7") % "a: b",
            "r.yml:2: a log source is named by text; got 7; expected such as windows",
        ),
        (
            SELECTION.replace("windows", "''") % "a: b",
            "r.yml:2: a log source is named by text; got ; expected such as windows",
        ),
        (SELECTION % "a: b\n    a: c", "r.yml:6: this key is there twice; got a; expected each key once"),
        (
            SELECTION.replace(": sel\n", ": 1 of filter_*\n") % "a: b",
            "r.yml:6: `1 of filter_*` selects nothing; got 1 of filter_*; expected sel",
        ),
        (
            SELECTION.replace("tion: sel\n", "tion: '" + "1 of s* or " * 20_001 + "sel'\n") % "a: b",
            "r.yml:6: the condition names too many selections",
        ),
        (
            SELECTION.replace(": sel\n", ": '" + "sel or " * 500 + "sel'\n") % ("a: [" + "x, " * 500 + "x]"),
            "r.yml:6: the conditions repeat too many values; got 251001; expected at most 200000",
        ),
        (
            SELECTION % "\ta: b",
            "r.yml:5: not YAML: found character that cannot start any token. Try: blanks in the place of the tab",
        ),
        (SELECTION % "a: !!bool x", "r.yml:5: not a value: 'x'; got x"),
        (SELECTION % "!!int x: b", "r.yml:5: not a value: invalid literal"),
    ],
)
def test_a_bad_rule_is_told_with_place_fault_and_way_out(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.yml"
    path.write_text(text)
    try:
        [told] = map(str, compile_detections(list(read_documents(path))).problems)
    except RuleError as problem:
        told = str(problem)
    assert message in told


def test_five_thousand_patterns_are_one_plan() -> None:
    values = ", ".join(f"'*value-{number}*'" for number in range(5_000))
    plan = selection(f"f: [{values}]")
    assert Detector([plan], routed=False).match({"f": "a VALUE-4999 b"}) == (0,)
