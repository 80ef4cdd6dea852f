from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from connectors.alert_index import AlertIndex, read_alert
from connectors.alert_query import MAX_FOUND, AlertQuery, counts_request, search_request
from connectors.settings import ElasticsearchConnection
from schemas.errors import ConnectionError_, EventError
from tests.alert_samples import make_alert
from tests.connectors.elasticsearch_double import api_error


def test_an_alert_is_read_alike_from_kafka_and_from_the_index() -> None:
    alert = make_alert()
    assert read_alert(alert.to_json(), "x") == alert == read_alert(orjson.loads(alert.to_json()), "x")


@pytest.mark.parametrize(
    ("document", "fault"), [(b"{", "JSON"), ({"message": 5}, "@timestamp"), (b"[]", "object"), (b"", "JSON")]
)
def test_what_is_no_alert_is_told_with_its_place_and_first_fault(document: bytes, fault: str) -> None:
    with pytest.raises(EventError, match=f"alerts/0/7: not an alert of this version.*{fault}"):
        read_alert(document, "alerts/0/7")


def test_an_empty_question_asks_for_everything() -> None:
    request = search_request(AlertQuery())
    assert request["query"] == {"bool": {"filter": [], "must_not": [], "should": []}}


def test_hostile_search_text_is_only_ever_a_value() -> None:
    text = '"}]}} OR *:* /a+/ ' + "x" * 5000
    request = search_request(AlertQuery(text=text))
    clauses = request["query"]["bool"]["filter"][0]["bool"]["should"]
    assert {next(iter(clause)) for clause in clauses} == {"multi_match", "prefix"}
    assert clauses[0]["multi_match"]["query"] == text[:200]


def test_nobody_can_ask_for_more_than_the_most() -> None:
    assert search_request(AlertQuery(limit=10**9))["size"] == MAX_FOUND


def test_each_facet_counts_what_the_other_filters_leave() -> None:
    query = AlertQuery(states=("open",), levels=("high",))
    request = counts_request(query)
    state, level = {"terms": {"jointsoc.alert.state": ["open"]}}, {"terms": {"jointsoc.alert.level": ["high"]}}
    assert request["aggs"]["levels"]["filter"] == {"bool": {"filter": [state]}}
    assert request["aggs"]["states"]["filter"] == {"bool": {"filter": [level]}}
    assert request["aggs"]["rules"]["filter"] == {"bool": {"filter": [state, level]}}
    assert (request["size"], request["query"]["bool"]["filter"]) == (0, [])
    assert search_request(query)["query"]["bool"]["filter"] == [level, state]


def test_more_ids_than_one_clause_takes_are_asked_for_in_several_each_in_its_own_month(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("connectors.alert_query._MAX_TERMS", 2)
    ids = [f"2026{month}-{number:024x}" for month, count in (("10", 1), ("11", 3)) for number in range(count)]
    (clause,) = search_request(AlertQuery(without=frozenset(ids)))["query"]["bool"]["must_not"]
    asked = [one["bool"]["filter"] for one in clause["bool"]["should"]]
    found = [(index["term"]["_index"], len(terms["terms"]["event.id"])) for index, terms in asked]
    assert sorted(found) == [("alerts-centre-2026.10", 1), ("alerts-centre-2026.11", 1), ("alerts-centre-2026.11", 2)]
    assert sorted(one for _, terms in asked for one in terms["terms"]["event.id"]) == sorted(ids)


def test_every_filter_narrows_and_an_empty_list_of_ids_finds_nothing() -> None:
    query = AlertQuery(
        hit=("kestrel-bank",), rules=("u",), tactics=("impact",), since="S", made_since="M",
        key=("source.ip", "192.0.2.1"), only=frozenset(), without=frozenset({"x"}), order="made",
    )  # fmt: skip
    request = search_request(query)
    assert request["query"]["bool"]["filter"] == [
        {"range": {"event.end": {"gte": "S"}}},
        {"range": {"event.created": {"gte": "M"}}},
        {"term": {"jointsoc.group_by.source.ip": "192.0.2.1"}},
        {"terms": {"organization.id": ["kestrel-bank"]}},
        {"terms": {"rule.uuid": ["u"]}},
        {"terms": {"threat.tactic.name": ["impact"]}},
        {"terms": {"event.id": []}},
    ]
    assert request["query"]["bool"]["must_not"] == [{"terms": {"event.id": ["x"]}}]
    assert request["sort"][0] == {"event.created": "asc"}


class SearchDouble:
    """Fails as told, then finds one alert and one document of another version."""

    def __init__(self, failures: list[Exception]) -> None:
        self.failures, self.searches = failures, 0

    def options(self, **_: Any) -> SearchDouble:
        return self

    def search(self, **_: Any) -> SimpleNamespace:
        self.searches += 1
        if self.failures:
            raise self.failures.pop(0)
        hits = [
            {"_index": "i", "_id": str(number), "_source": source}
            for number, source in enumerate((orjson.loads(make_alert().to_json()), {"version": 2}))
        ]
        return SimpleNamespace(body={"hits": {"hits": hits, "total": {"value": 2}}})


def index_over(double: SearchDouble | PagesDouble, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AlertIndex:
    monkeypatch.setattr("connectors.alert_index.open_client", lambda *_, **__: double)
    monkeypatch.setattr("connectors.alert_index.time.sleep", lambda seconds: None)
    return AlertIndex(ElasticsearchConnection(url="http://es", username="operator", password_file=folder))


def test_documents_of_another_version_are_counted_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = index_over(SearchDouble([]), tmp_path, monkeypatch).find(AlertQuery())
    assert (found.alerts, found.total, found.unreadable) == ([make_alert()], 2, 1)


def test_an_index_that_is_just_being_made_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    double = SearchDouble([api_error(503), api_error(503)])
    assert index_over(double, tmp_path, monkeypatch).find(AlertQuery()).total == 2
    assert double.searches == 3


@pytest.mark.parametrize(("failures", "tries"), [([api_error(503)] * 9, 4), ([api_error(403)] * 9, 1)])
def test_other_failures_and_lasting_ones_are_told(
    failures: list[Exception], tries: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    double = SearchDouble(list(failures))
    with pytest.raises(ConnectionError_):
        index_over(double, tmp_path, monkeypatch).find(AlertQuery())
    assert double.searches == tries


def ids_in(clause: dict[str, Any]) -> list[str]:
    """The ids that a clause for one month's index asks for."""
    ids: list[str] = clause["bool"]["filter"][1]["terms"]["event.id"]
    return ids


class PagesDouble:
    """Finds as many of the alerts as asked for, newest first, and leaves out those it is told to."""

    def __init__(self, count: int) -> None:
        alerts = [make_alert(str(number), level=("high", "low")[number % 2]) for number in range(count)]
        self.alerts, self.asked = alerts, list[dict[str, Any]]()
        self.gone: set[str] = set()
        """Ids of those that are removed after they were found."""

    def options(self, **_: Any) -> PagesDouble:
        return self

    def search(self, **request: Any) -> SimpleNamespace:
        self.asked.append(request)
        clauses = request["query"]["bool"]
        without = ids_in(clauses["must_not"][0]) if clauses["must_not"] else []
        only = [ids_in(clause) for clause in clauses["filter"] if "bool" in clause]
        terms = {name: values for clause in clauses["filter"] for name, values in clause.get("terms", {}).items()}
        levels = terms.get("jointsoc.alert.level", ("high", "low"))
        hits = [
            {"_index": "i", "_id": alert.id, "sort": [place]}
            | ({"_source": orjson.loads(alert.to_json())} if request.get("source", True) else {})
            for place, alert in enumerate(self.alerts)
            if alert.id not in without
            and alert.jointsoc.alert.level in levels
            and all(alert.id in ids for ids in only)
            and place > request.get("search_after", [-1])[0]
        ]
        return SimpleNamespace(body={"hits": {"hits": hits[: request["size"]]}})

    def mget(self, docs: list[dict[str, str]]) -> SimpleNamespace:
        self.asked.append({"mget": len(docs)})
        alerts = {alert.id: alert for alert in self.alerts if alert.id not in self.gone}
        found = [
            doc
            | {"found": doc["_id"] in alerts}
            | ({"_source": orjson.loads(alerts[doc["_id"]].to_json())} if doc["_id"] in alerts else {})
            for doc in docs
        ]
        return SimpleNamespace(body={"docs": found})


@pytest.mark.parametrize(("closed", "requests"), [(0, 1), (50, 1), (60, 3), (400, 4), (595, 4), (600, 3)])
def test_rows_leave_out_what_is_closed_without_telling_the_index_all_ids(
    closed: int, requests: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.alert_index._WINDOWS", (200, 400))
    double = PagesDouble(600)
    index = index_over(double, tmp_path, monkeypatch)
    ids = [alert.id for alert in double.alerts]
    found = index.find(AlertQuery(without=frozenset(ids[:closed]), limit=20, brief=True))
    assert [alert.id for alert in found.alerts] == ids[closed : closed + 20]
    assert (found.total, found.more) == (len(found.alerts), closed + 20 < 600)
    assert len(double.asked) == requests
    searches = [request for request in double.asked if "mget" not in request]
    assert not any(request["track_total_hits"] or request["query"]["bool"]["must_not"] for request in searches)


def test_the_index_is_told_the_ids_where_few_of_very_many_alerts_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.alert_index._WINDOWS", (100,))
    double = PagesDouble(600)
    index = index_over(double, tmp_path, monkeypatch)
    ids = [alert.id for alert in double.alerts]
    found = index.find(AlertQuery(without=frozenset(ids[:590]), limit=20, brief=True))
    assert [alert.id for alert in found.alerts] == ids[590:]
    assert double.asked[-1]["query"]["bool"]["must_not"]


@pytest.mark.parametrize("wanted", [range(0, 600, 3), range(599, 400, -1)], ids=["every third", "the last"])
def test_rows_of_many_wanted_alerts_are_picked_here_and_of_few_by_the_index(
    wanted: range, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.alert_index._WINDOWS", (200, 400))
    double = PagesDouble(600)
    index = index_over(double, tmp_path, monkeypatch)
    expected = [double.alerts[place].id for place in sorted(wanted)]
    for few in (10, 1000):
        monkeypatch.setattr("connectors.alert_index._FEW_IDS", few)
        found = index.find(AlertQuery(only=frozenset(expected), limit=40, brief=True))
        assert [alert.id for alert in found.alerts] == expected[:40]
        assert found.more
    assert len(ids_in(double.asked[-1]["query"]["bool"]["filter"][0])) == len(expected)


def test_an_alert_that_is_gone_before_it_is_read_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    double = PagesDouble(200)
    index = index_over(double, tmp_path, monkeypatch)
    ids = [alert.id for alert in double.alerts]
    double.gone = {ids[150]}
    found = index.find(AlertQuery(without=frozenset(ids[:149]), limit=20, brief=True))
    assert [alert.id for alert in found.alerts] == [ids[149], *ids[151:170]]


def test_rows_by_level_are_read_level_by_level_until_there_are_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    double = PagesDouble(60)
    index = index_over(double, tmp_path, monkeypatch)
    high, low = double.alerts[::2], double.alerts[1::2]
    assert index.find(AlertQuery(order="level", limit=40, brief=True)).alerts == high + low[:10]
    double.asked.clear()
    found = index.find(AlertQuery(order="level", limit=7, levels=("high", "low"), brief=True))
    assert (found.alerts, found.more, len(double.asked)) == (high[:7], True, 1)
