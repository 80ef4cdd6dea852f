"""Hunting queries on a real Elasticsearch: in the index layout, they find what the engine matches."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk
from sigma.backends.elasticsearch import LuceneBackend
from sigma.collection import SigmaCollection

from connectors.elasticsearch import open_client
from pipeline.workbench.hunting import hunting_pipeline
from schemas.event_index import TEMPLATE_NAME, event_template
from tests.local_centre import RULES
from tests.pipeline.workbench.hunting_events import judged_events, rule_files
from tests.running_stack import RunningStack

pytestmark = pytest.mark.stack

PATIENCE = 120
"""Seconds: a server that has just started on a busy machine."""


@pytest.fixture(scope="module")
def index(stack: RunningStack) -> str:
    """All events of all cases, in an index of their own."""
    name = f"events-hunted-{uuid4().hex[:8]}-2026.11.23"
    with open_client(stack.elasticsearch("collector"), request_timeout=PATIENCE) as client:
        client.indices.put_index_template(name=TEMPLATE_NAME, body=event_template())
        actions = ({"_index": name, "_id": str(event.number), "_source": event.document} for event in judged_events())
        written, refused = bulk(client, actions, refresh=True, raise_on_error=False)
        assert refused == []
        assert written == len(judged_events()) > 150
    return name


@pytest.fixture(scope="module")
def operator(stack: RunningStack) -> Iterator[Elasticsearch]:
    with open_client(stack.elasticsearch("operator"), request_timeout=PATIENCE) as client:
        yield client


def test_a_lucene_query_finds_the_events_that_the_engine_matches(operator: Elasticsearch, index: str) -> None:
    wrong = {}
    for rule, path in rule_files().items():
        collection = SigmaCollection.load_ruleset([path, *sorted((RULES / "filters").glob("*.yml"))])
        [query] = LuceneBackend(hunting_pipeline()).convert(collection, output_format="dsl_lucene")
        hits = operator.search(index=index, query=query["query"], size=10_000, source=False)["hits"]["hits"]
        found = {int(hit["_id"]) for hit in hits}
        expected = {event.number for event in judged_events() if rule in event.rules}
        assert expected, path
        if found != expected:
            wrong[path.stem] = {"missed": sorted(expected - found), "too many": sorted(found - expected)}
    assert wrong == {}
