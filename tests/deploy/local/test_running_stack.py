"""The one-machine stack on the real servers: who may do what, and what a crash leaves behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from elasticsearch import AuthenticationException, AuthorizationException, Elasticsearch, TransportError
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from connectors.elasticsearch import open_client
from connectors.kafka import client_options, open_admin, open_consumer, open_producer
from deploy.local import stack as stack_module
from deploy.local.flink_job import newest_restore_point
from deploy.local.flink_rest import ask_flink
from deploy.local.kafka_access import password_file
from deploy.local.kafka_broker import open_broker_admin
from deploy.local.processes import find_leader, find_processes, stop_processes
from deploy.local.services import services
from deploy.local.settings import LOOPBACK, project_root
from pipeline.rulepack import read_pack
from schemas.errors import ConfigError, ConnectionError_
from schemas.member import Member
from tests.running_stack import RunningStack

pytestmark = pytest.mark.stack

PROCESSES = ("kafka", "elasticsearch", "jobmanager", "taskmanager-1", "clock", "indexer", "dashboard")


def send(stack: RunningStack, user: str, topic: str) -> None:
    producer = open_producer(stack.kafka(user), linger_ms=0)
    try:
        producer.send(topic, value=b"{}", partition=0).get(timeout=20)
    finally:
        producer.close(timeout=0)


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)


def test_a_member_writes_its_own_topic_and_its_heartbeat(stack: RunningStack) -> None:
    send(stack, "kestrel-bank", "events.kestrel-bank")
    send(stack, "kestrel-bank", "health.kestrel-bank")


@pytest.mark.parametrize("topic", ["events.heron-bank", "health.heron-bank", "health", "alerts", "dead-letters"])
def test_a_member_cannot_write_anything_else(stack: RunningStack, topic: str) -> None:
    with pytest.raises(KafkaError):
        send(stack, "kestrel-bank", topic)


@pytest.mark.parametrize(
    "topic", ["events.kestrel-bank", "events.heron-bank", "alerts", "health.kestrel-bank", "dead-letters"]
)
def test_a_member_reads_nothing_not_even_its_own(stack: RunningStack, topic: str) -> None:
    consumer = open_consumer(stack.kafka("kestrel-bank"), group_id=None, consumer_timeout_ms=2000)
    consumer.assign([TopicPartition(topic, 0)])
    try:
        consumer.seek(TopicPartition(topic, 0), 0)
        assert list(consumer) == []  # a topic it may not even describe is hidden, without an error
    except TopicAuthorizationFailedError:
        pass
    finally:
        consumer.close()


def test_a_member_joins_no_group(stack: RunningStack) -> None:
    consumer = open_consumer(stack.kafka("kestrel-bank"), "events.kestrel-bank", group_id="pipeline")
    with pytest.raises(GroupAuthorizationFailedError):
        consumer.poll(timeout_ms=10_000)
    consumer.close()


def test_a_member_sees_no_other_members_topic(stack: RunningStack) -> None:
    admin = open_admin(stack.kafka("kestrel-bank"))
    own = {f"{kind}.kestrel-bank" for kind in ("events", "health", "feedback", "findings")}
    assert set(admin.list_topics()) == own
    with pytest.raises((TopicAuthorizationFailedError, ClusterAuthorizationFailedError)):
        admin.create_topics({"events.mine": {}})
    admin.close()


@pytest.mark.parametrize(
    ("user", "topic"),
    [
        ("indexer", "alerts"),
        ("dashboard", "alerts"),
        ("dashboard", "events.kestrel-bank"),
        ("pipeline", "events.kestrel-bank"),
        ("clock", "alerts"),
    ],
)
def test_a_service_writes_only_what_it_must(stack: RunningStack, user: str, topic: str) -> None:
    with pytest.raises(KafkaError, match="Authorization"):
        send(stack, user, topic)


def test_the_dashboard_reads_events_and_alerts_but_no_dead_letters(stack: RunningStack) -> None:
    consumer = open_consumer(stack.kafka("dashboard"), group_id=None)
    assert {"events.kestrel-bank", "alerts", "health", "health.kestrel-bank"} <= set(consumer.topics())
    assert "dead-letters" not in consumer.topics()
    consumer.close()


def test_a_wrong_password_and_a_client_without_tls_get_nowhere(stack: RunningStack) -> None:
    options = client_options(stack.kafka("pipeline")) | {"bootstrap_timeout_ms": 3000, "group_id": None}
    for wrong in ({"sasl_plain_password": "guess"}, {"security_protocol": "SASL_PLAINTEXT"}):
        with pytest.raises(KafkaError):
            KafkaConsumer(**(options | wrong))


def test_the_broker_stamps_records_itself_whatever_the_producer_says(stack: RunningStack) -> None:
    producer = open_producer(stack.kafka("kestrel-bank"), linger_ms=0)
    sent = producer.send("events.kestrel-bank", value=b"{}", timestamp_ms=1000).get(timeout=20)
    producer.close()
    assert abs(sent.timestamp / 1000 - time.time()) < 60


def refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except AuthorizationException:
        return True
    return False


@pytest.fixture
def search_users(stack: RunningStack) -> Iterator[dict[str, Elasticsearch]]:
    clients = {
        user: open_client(stack.elasticsearch(user), request_timeout=60)
        for user in ("indexer", "dashboard", "operator")
    }
    yield clients
    for client in clients.values():
        client.close()


def test_the_indexer_writes_alerts_and_nothing_else(search_users: dict[str, Elasticsearch]) -> None:
    indexer = search_users["indexer"]
    indexer.index(index="alerts-test-1999.01", id="x", document={}, refresh=True)
    assert refused(lambda: indexer.index(index="workflow-test", document={}))
    assert refused(lambda: indexer.index(index="other", document={}))
    assert refused(lambda: indexer.search(index="workflow-test"))
    assert refused(lambda: indexer.indices.delete(index="alerts-test-1999.01"))


def test_the_dashboard_reads_alerts_and_writes_workflow_only(search_users: dict[str, Elasticsearch]) -> None:
    dashboard = search_users["dashboard"]
    dashboard.search(index="alerts-*")
    dashboard.index(index="workflow-test", id="x", document={})
    assert refused(lambda: dashboard.index(index="alerts-test-1999.01", document={}))
    assert refused(lambda: dashboard.indices.delete(index="workflow-test"))
    assert refused(lambda: dashboard.cluster.put_settings(persistent={"action.destructive_requires_name": "true"}))


def test_the_operator_only_reads(search_users: dict[str, Elasticsearch]) -> None:
    operator = search_users["operator"]
    operator.search(index="alerts-*")
    assert refused(lambda: operator.index(index="alerts-test-1999.01", document={}))
    assert refused(lambda: operator.index(index="workflow-test", document={}))
    assert refused(lambda: operator.security.get_user())


def test_elasticsearch_lets_nobody_in_without_a_password_or_a_trusted_certificate(stack: RunningStack) -> None:
    url, ca = stack.settings.elasticsearch_url, str(stack.settings.secrets / "ca.crt")
    for credentials in (None, ("operator", "guess"), ("elastic", "changeme")):
        with Elasticsearch(url, ca_certs=ca, basic_auth=credentials) as client, pytest.raises(AuthenticationException):
            client.cluster.health()
    with Elasticsearch(url, max_retries=0) as client, pytest.raises(TransportError):
        client.cluster.health()


def test_elasticsearch_does_not_run_as_root(stack: RunningStack) -> None:
    pids = [running.pid for running in find_processes(stack.settings, "elasticsearch")]
    assert pids
    assert all(psutil.Process(pid).uids().effective != 0 for pid in pids)


def test_every_port_is_on_loopback_only(stack: RunningStack) -> None:
    pids = {running.pid for running in find_processes(stack.settings)}
    listening = [each for each in psutil.net_connections("inet") if each.status == "LISTEN" and each.pid in pids]
    assert len(listening) >= 12
    assert {each.laddr[0] for each in listening} <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def test_no_password_is_in_a_command_line_an_environment_or_a_log(stack: RunningStack) -> None:
    words = [path.read_bytes() for path in stack.settings.secrets.rglob("*.password")]
    places = {path.name: path.read_bytes() for path in stack.settings.logs.glob("*.log")}
    for running in find_processes(stack.settings):
        for name in ("cmdline", "environ"):
            places[f"{running.name} {name}"] = Path(f"/proc/{running.pid}/{name}").read_bytes()
    assert len(words) > 8
    assert [place for place, content in places.items() if any(word in content for word in words)] == []


def test_a_second_up_starts_nothing(stack: RunningStack) -> None:
    before = {running.pid for running in find_processes(stack.settings)}
    job = stack.job()
    stack.up()
    assert {running.pid for running in find_processes(stack.settings)} >= before
    now = stack.job()
    assert job is not None
    assert now is not None
    assert (now.id, now.started) == (job.id, job.started)


def test_status_shows_all_running_with_a_lag_for_those_that_read(stack: RunningStack) -> None:
    rows = stack.status()
    assert {row.state for row in rows.values()} == {"running"}
    until(lambda: stack.status()["indexer"].lag == 0)
    until(lambda: (stack.status()["job"].lag or 0) < 100)
    assert rows["kafka"].address == stack.settings.kafka_address


@pytest.mark.parametrize("name", PROCESSES)
def test_up_mends_what_was_killed(stack: RunningStack, name: str) -> None:
    killed = stack.kill(name)
    assert killed
    assert stack.status()[name].state == "dead"
    stack.up()
    rows = stack.status()
    assert rows[name].pid not in killed
    assert {row.state for row in rows.values()} == {"running"}


def test_a_taskmanager_started_anew_talks_from_another_port(stack: RunningStack) -> None:
    """The JobManager may be calling the old one just then, and the two would not understand each other."""

    def address() -> str:
        (taskmanager,) = ask_flink(stack.settings, "/taskmanagers")["taskmanagers"]
        return str(taskmanager["path"])

    before = address()
    stack.kill("taskmanager")
    stack.start("taskmanager")
    assert address() != before


def test_up_mends_a_taskmanager_that_was_suspended_for_too_long(stack: RunningStack) -> None:
    suspended = psutil.Process(stack.status()["taskmanager-1"].pid)
    suspended.suspend()
    until(lambda: stack.status()["taskmanager-1"].state == "lost", 120)
    suspended.resume()
    stack.up()
    assert {row.state for row in stack.status().values()} == {"running"}


def test_up_ends_a_taskmanager_that_does_not_wake_up(stack: RunningStack) -> None:
    suspended = psutil.Process(stack.status()["taskmanager-1"].pid)
    suspended.suspend()
    until(lambda: stack.status()["taskmanager-1"].state == "lost", 120)
    stack.up()
    assert not suspended.is_running()
    assert {row.state for row in stack.status().values()} == {"running"}


def test_up_starts_a_taskmanager_anew_that_ends_before_the_job_runs(stack: RunningStack) -> None:
    stack.kill("jobmanager")
    killed: list[int] = []

    def end_it_once(name: str, progress: str, _words: str) -> None:
        if name == "taskmanager-1" and progress != "starts" and not killed:
            killed.extend(stack.kill("taskmanager-1"))

    stack_module.up(stack.settings, end_it_once)
    assert killed
    assert {row.state for row in stack.status().values()} == {"running"}


def test_a_killed_up_leaves_nothing_that_keeps_the_next_one_from_working(stack: RunningStack) -> None:
    stack.kill("clock")
    stack.kill("taskmanager")
    environ = os.environ | {
        "JSOC_HOME": str(stack.settings.home),
        "JSOC_JVM_HOME": str(stack.settings.jvm_home),
    }
    first = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "up"], env=environ, cwd=project_root(), stderr=subprocess.DEVNULL
    )
    until(lambda: find_leader(stack.settings, "taskmanager-1") is not None)
    first.kill()
    first.wait()
    stack.up()
    assert {row.state for row in stack.status().values()} == {"running"}
    assert len([each for each in find_processes(stack.settings, "taskmanager-1") if each.leads]) == 1


def test_the_running_job_learns_of_a_new_member_without_a_restart(stack: RunningStack) -> None:
    before, version = stack.job(), read_pack(stack.settings.pack_file).version
    stack.add_members([Member(id="merlin-pay", name="Merlin Pay", kind="payments")])
    assert stack.job() == before
    assert read_pack(stack.settings.pack_file).version != version


def test_a_new_member_of_a_running_stack_can_write_and_a_removed_one_cannot(stack: RunningStack) -> None:
    send(stack, "merlin-pay", "events.merlin-pay")
    connection = stack.kafka("merlin-pay")
    admin = open_broker_admin(stack.settings)
    try:
        word = password_file(stack.settings, "merlin-pay").read_text()
        from deploy.local.kafka_access import revoke_member

        revoke_member(stack.settings, admin, "merlin-pay")
        assert not connection.password_file.exists()
        connection.password_file.write_text(word)
        connection.password_file.chmod(0o600)
        with pytest.raises((KafkaError, ConnectionError_)):
            open_producer(connection, bootstrap_timeout_ms=3000).send("events.merlin-pay", b"{}").get(timeout=5)
    finally:
        admin.close()
    stack.up()  # grants it anew: it is still in the registry
    send(stack, "merlin-pay", "events.merlin-pay")


def test_a_foreign_process_on_a_port_is_named_and_nothing_else_is_touched(stack: RunningStack) -> None:
    stack.stop("clock")
    stack.stop("dashboard")
    with (
        socket.create_server((LOOPBACK, stack.settings.port("dashboard"))),
        pytest.raises(ConfigError, match=rf"the port is in use by .* \(pid {os.getpid()}\)"),
    ):
        stack.up()
    assert find_leader(stack.settings, "kafka") is not None
    assert find_leader(stack.settings, "clock") is None
    stack.up()


def test_down_leaves_no_process_and_up_continues_from_the_savepoint(stack: RunningStack) -> None:
    stack.kill("taskmanager")  # its Python workers are orphans now
    stack.down()
    assert find_processes(stack.settings) == []
    assert {row.state for row in stack.status().values()} == {"stopped"}
    assert newest_restore_point(stack.settings) is not None
    stack.up()
    assert {row.state for row in stack.status().values()} == {"running"}


def test_a_process_that_dies_while_starting_is_told_with_its_last_words(stack: RunningStack) -> None:
    stack.stop("kafka")
    config = stack.settings.home / "kafka" / "data" / "meta.properties"
    saved = config.read_text()
    config.write_text(saved.replace("node.id=1", "node.id=7"))
    try:
        with pytest.raises(ConfigError, match="died while starting"):
            stack.start("kafka")
    finally:
        config.write_text(saved)
        stack.up()


def test_the_table_names_every_process_that_runs(stack: RunningStack) -> None:
    names = {running.name for running in find_processes(stack.settings)}
    assert names == {service.name for service in services(stack.settings)}
    assert stop_processes(stack.settings, "nobody") == []
    assert stack_module.JOB_STEP not in names
