"""Hunting queries, word by word; what they find is tried in test_hunting_stack.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from sigma.backends.elasticsearch import ESQLBackend, LuceneBackend
from sigma.collection import SigmaCollection
from sigma.exceptions import SigmaConversionError, SigmaTransformationError

from pipeline.workbench.esql_text import exact_esql
from pipeline.workbench.hunting import hunting_pipeline, logsource_conditions
from pipeline.workbench.lucene_regex import lucene_regex
from schemas.event_index import INDEX_PATTERN, event_template, kind_of
from tests.local_centre import RULES
from tests.pipeline.workbench.esql_reading import finds
from tests.pipeline.workbench.hunting_events import judged_events, rule_files

RULE = """\
title: A
id: 00000001-0000-4000-8000-000000000000
logsource: {category: process_creation, product: windows}
detection:
  sel:
    Image|endswith: '\\CMD.exe'
    EventID: 1
    DestinationPort: 443
    User|cased: Kim
  condition: sel
"""


def test_values_are_as_the_index_holds_them(tmp_path: Path) -> None:
    (tmp_path / "r.yml").write_text(RULE)
    [query] = LuceneBackend(hunting_pipeline()).convert(SigmaCollection.load_ruleset([tmp_path]))
    assert r"process.executable:*\\cmd.exe AND event.code:1 AND destination.port:443" in query
    assert "user.name:kim" in query
    [query] = ESQLBackend(hunting_pipeline()).convert(SigmaCollection.load_ruleset([tmp_path]))
    assert query.startswith(f"from {INDEX_PATTERN} ")
    assert 'event.code=="1" and destination.port==443' in query  # a keyword beside a number is an error there


def test_every_detection_of_the_pack_becomes_a_query_and_a_correlation_with_its_detections() -> None:
    detections = sorted((RULES / "detections").rglob("*.yml"))
    filters = sorted((RULES / "filters").glob("*.yml"))
    for backend in (ESQLBackend, LuceneBackend):
        queries = backend(hunting_pipeline()).convert(SigmaCollection.load_ruleset([*detections, *filters]))
        assert len(queries) == len(detections)
    many = RULES / "correlations" / "web_shell_spread.yml"
    *_, query = ESQLBackend(hunting_pipeline()).convert(SigmaCollection.load_ruleset([*detections, many]))
    assert query.endswith("stats event_count=count() by timebucket, file.hash.sha256\n| where event_count >= 2")


def test_the_whole_pack_becomes_queries_and_one_that_is_wider_than_its_rule_says_so() -> None:
    queries = ESQLBackend(hunting_pipeline()).convert(SigmaCollection.load_ruleset([RULES]))
    correlations = len(list((RULES / "correlations").glob("*.yml")))
    assert len(queries) >= correlations
    told = {query.splitlines()[0].removeprefix("// ") for query in queries if query.startswith("//")}
    assert "Preparation of a payment heist: wider than the rule, without the order" in told
    [spread] = [query for query in queries if query.startswith("// The same intrusion chain")]
    assert "without what counts in Web shell, then no antivirus, then remote control" in spread
    assert spread.endswith("stats event_count=count() by timebucket\n| where event_count >= 2")
    [spray] = [query for query in queries if query.startswith("// Password spraying of remote access, then a login")]
    assert '"vpn_login_failed"' in spray
    assert '"vpn_login_succeeded"' in spray


LOGIN = """\
title: A login failed
id: 00000001-0000-4000-8000-000000000000
name: failed
logsource: {product: portal}
detection: {sel: {event.outcome: failure}, condition: sel}
---
title: Many
id: 00000002-0000-4000-8000-000000000000
name: many
correlation: {type: event_count, rules: [failed], group-by: [source.ip], timespan: 1h, condition: {gte: 9}}
---
title: Few
id: 00000003-0000-4000-8000-000000000000
correlation: {type: event_count, rules: [many], group-by: [source.ip], timespan: 1h, condition: {lt: 2}}
"""


def test_a_correlation_whose_wider_query_would_miss_something_is_refused() -> None:
    with pytest.raises(SigmaConversionError, match=r"Few: .* has no query for a correlation over correlations"):
        ESQLBackend(hunting_pipeline()).convert(SigmaCollection.from_yaml(LOGIN))


def test_read_by_the_rules_of_esql_a_query_finds_the_events_that_the_engine_matches() -> None:
    wrong = {}
    several = {event.number for event in judged_events() if any(_is_several(value) for value in event.fields.values())}
    for rule, path in rule_files().items():
        collection = SigmaCollection.load_ruleset([path, *sorted((RULES / "filters").glob("*.yml"))])
        [query] = ESQLBackend(hunting_pipeline()).convert(collection)
        found = {event.number for event in judged_events() if finds(query, event.fields)} - several
        expected = {event.number for event in judged_events() if rule in event.rules} - several
        if found != expected:
            wrong[path.stem] = {"missed": sorted(expected - found), "too many": sorted(found - expected)}
    assert wrong == {}
    assert len(several) < len(judged_events()) / 10


def _is_several(value: object) -> bool:
    return isinstance(value, tuple) and len(value) > 1


def test_a_log_source_becomes_what_its_events_hold() -> None:
    found = logsource_conditions(("windows", "process_creation", None))
    assert {"winlog.channel": "security", "event.code": "4688"} in found
    assert {"jointsoc.logsource.product": "windows", "jointsoc.logsource.category": "process_creation"} in found
    assert logsource_conditions(("nobody's", None, None)) == [{"jointsoc.logsource.product": "nobody's"}]


@pytest.mark.parametrize(
    ("query", "mended"),
    [
        (r'a like "*\\b\\*"', r'a like "*\\\\b\\\\*"'),
        (r'a like "*\*\"x"', r'a like "*\\*\"x"'),
        ('not a=="x" and b==1', 'not coalesce(a=="x", false) and b==1'),
        ('not (a=="x" or not c like "y*")', 'not coalesce((a=="x" or not coalesce(c like "y*", false)), false)'),
        ('(not f(a, "not ) x")) and b is not null', '(not coalesce(f(a, "not ) x"), false)) and b is not null'),
        ('not a in ("x", "y")\n| where n >= 2', 'not coalesce(a in ("x", "y"), false)\n| where n >= 2'),
    ],
)  # fmt: skip
def test_esql_says_what_the_rule_says_of_absent_fields_and_backslashes(query: str, mended: str) -> None:
    head = "from events-* metadata _id | where "
    assert exact_esql(head + query) == head + mended
    assert exact_esql({"query": [head + query, query]}) == {"query": [head + mended, query]}


@pytest.mark.parametrize(
    ("pattern", "lucene"),
    [
        (r"(?i)^C:\\Tmp\\[A-Z]+\.exe$", r"c:\\tmp\\[a-z]+\.exe"),
        (r"evil\d{3}", ".*evil[0-9]{3}.*"),
        (r"^a|b", None),
        (r"a|b", ".*(a|b).*"),
        (r"^(?:a|b)$", "(a|b)"),
        (r"[\w.]@\S", r".*[a-z0-9_.]\@[^ " + "\t\r\n" + "].*"),
        (r"cost\$$", r".*cost\$"),
        (r"a+?b{2,}?", ".*a+b{2,}.*"),
        (r"a++", None),
        (r"\bword", None),
        (r"(?=a)", None),
    ],
)
def test_a_regular_expression_is_put_in_lucenes_words_or_refused(pattern: str, lucene: str | None) -> None:
    if lucene is None:
        with pytest.raises(SigmaTransformationError):
            lucene_regex(pattern)
    else:
        assert lucene_regex(pattern) == lucene


def test_the_template_has_every_known_field_by_its_kind() -> None:
    mappings = event_template()["template"]["mappings"]
    assert mappings["properties"]["source"]["properties"]["ip"]["type"] == "ip"
    assert mappings["properties"]["@timestamp"]["type"] == "date"
    assert [kind_of(name) for name in ("http.response.status_code", "dns.resolved_ip", "file.mtime", "user.name")] == [
        *("long", "ip", "date", "keyword"),
    ]
