"""The alert indices made anew from Kafka, on the real servers."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from elasticsearch import ApiError

from connectors.alert_index import AlertIndex
from connectors.documents import ElasticsearchDocuments
from connectors.elasticsearch import open_client
from connectors.kafka import open_producer
from dashboard.desk import Desk
from dashboard.triage import Wish
from deploy.local.configuration import config_file
from pipeline.cli.index import index as index_command
from schemas.alert import Alert, SharePolicy
from schemas.errors import ConnectionError_
from schemas.index_template import index_of, shared_index_of
from schemas.shared_part import SharedPart, shared_part_of
from schemas.times import now_ms
from tests.alert_samples import make_alert
from tests.conditions import eventually
from tests.running_stack import RunningStack

pytestmark = pytest.mark.stack


def send(stack: RunningStack, *values: bytes) -> None:
    producer = open_producer(stack.kafka("pipeline"))
    for value in values:
        producer.send("alerts", key=b"x", value=value).get(30)
    producer.close()


def now_in(index: AlertIndex, alert: Alert) -> Alert | None:
    """The alert as it stands; None while its index is being made."""
    try:
        return index.get(alert.id)
    except ConnectionError_:
        return None


def test_a_lost_or_wrongly_mapped_index_comes_back_and_what_people_wrote_stays(stack: RunningStack) -> None:
    word, start = f"rebuild {now_ms()}", now_ms() - 60_000
    alert, other = make_alert(f"{word} a", start=start), make_alert(f"{word} b", start=start)
    alert.jointsoc.share, alert.jointsoc.groups = SharePolicy(k=2, tlp="green"), 2
    grown = alert.model_copy(deep=True)
    grown.jointsoc.alert.revision, grown.message = 505, "grown"
    garbage = f'{{"no alert": "{word}"}}'.encode()
    send(stack, alert.to_json(), garbage, grown.to_json(), other.to_json())
    index, documents = (
        AlertIndex(stack.elasticsearch("dashboard"), request_timeout=30),
        ElasticsearchDocuments(stack.elasticsearch("dashboard"), request_timeout=30),
    )
    desk = Desk(documents, index)
    eventually(lambda: now_in(index, other))
    closed = desk.grant(alert, Wish("close", value="false_positive", why="a load test"), "mei")
    eventually(lambda: [letter for letter in stack.dead_letters() if letter.raw_bytes() == garbage])
    letters = len(stack.dead_letters())

    with open_client(stack.elasticsearch("rebuilder"), request_timeout=30) as client:
        client.indices.delete(index=index_of(alert.id))
        client.indices.delete(index=shared_index_of(alert.id))
        client.indices.create(index=index_of(alert.id), mappings={"properties": {"message": {"type": "keyword"}}})
        with pytest.raises(ApiError) as refused:
            client.indices.delete(index="workflow-alerts")
        assert refused.value.meta.status == 403
    config = str(config_file(stack.settings, "rebuild"))
    done = CliRunner().invoke(index_command, ["rebuild", "--yes", "--config", config], standalone_mode=False)
    assert done.exception is None, done.exception
    assert f"made anew     {index_of(alert.id)}" in done.stdout

    found = eventually(lambda: now_in(index, alert))
    assert (found.jointsoc.alert.revision, found.message) == (505, "grown")
    assert index.get(other.id) == other
    assert desk.of(grown) == closed
    with open_client(stack.elasticsearch("operator")) as client:
        mapping = client.indices.get_mapping(index=index_of(alert.id))[index_of(alert.id)]["mappings"]
        shared = client.get(index=shared_index_of(alert.id), id=f"{alert.id}.shared")["_source"]
    assert mapping["properties"]["message"]["type"] == "text"
    assert mapping["dynamic"] == "false"
    assert SharedPart.model_validate(shared) == shared_part_of(grown)
    assert len(stack.dead_letters()) == letters, "what was refused is not refused a second time"
    later = make_alert(f"{word} c", start=start)
    send(stack, later.to_json())
    eventually(lambda: now_in(index, later))
    index.close()
    documents.close()
