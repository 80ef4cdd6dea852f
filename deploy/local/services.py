"""The stack's processes, as a table: what each needs first, how it is started, and how to know that it is ready."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local import elasticsearch_node as elasticsearch
from deploy.local import flink_cluster as flink
from deploy.local import kafka_broker as kafka
from deploy.local.certificates import CertificateAuthority
from deploy.local.configuration import config_file
from deploy.local.flink_job import jobmanager_answers
from deploy.local.flink_rest import taskmanager_is_lost, taskmanager_is_registered
from deploy.local.processes import log_says, port_answers
from deploy.local.settings import LOOPBACK, StackSettings

TOPICS_STEP: Final = "topics"
JOB_STEP: Final = "job"
"""Two steps that are no process: topics with users and grants, and the Flink job."""


@dataclass(frozen=True, slots=True)
class Place:
    """What the starters below need to know."""

    settings: StackSettings
    java_home: Path
    authority: CertificateAuthority


@dataclass(frozen=True, slots=True)
class Service:
    """One process.

    Attributes:
        needs: steps that must be ready before it is started.
        ports: where it listens; nobody else may.
        prepare: writes its configuration; called just before it is started.
        ready: whether it does its work; asked again and again while it starts.
        lost: whether it lives, did its work once, and cannot any more: `up` starts it anew.
        limit: seconds it may take.
        address: where to reach it, for `jsoc status`.
    """

    name: str
    command: Callable[[Place], list[str]]
    ready: Callable[[StackSettings], bool]
    needs: tuple[str, ...] = ()
    environment: Callable[[Place], dict[str, str]] = lambda _: {}
    prepare: Callable[[Place], None] = lambda _: None
    lost: Callable[[StackSettings], bool] = lambda _: False
    ports: tuple[int, ...] = ()
    address: str = ""
    limit: float = 180.0


def services(settings: StackSettings) -> tuple[Service, ...]:
    """Every process, in the order of starting; `down` goes the other way."""

    def ports(*names: str) -> tuple[int, ...]:
        return tuple(settings.port(name) for name in names)

    return (
        Service(
            "kafka",
            command=lambda place: kafka.broker_command(place.settings, place.java_home),
            prepare=lambda place: kafka.prepare_broker(place.settings, place.authority, place.java_home),
            ready=kafka.broker_is_ready,
            ports=ports(*kafka.PORTS),
            address=settings.kafka_address,
        ),
        Service(
            "elasticsearch",
            command=lambda place: elasticsearch.elasticsearch_command(place.settings, place.java_home),
            environment=lambda place: elasticsearch.elasticsearch_environment(place.settings, place.java_home),
            prepare=lambda place: elasticsearch.prepare_elasticsearch(place.settings, place.authority),
            ready=elasticsearch.elasticsearch_is_ready,
            ports=ports(*elasticsearch.PORTS),
            address=settings.elasticsearch_url,
            limit=300.0,  # 15 s on an idle machine; slow disks and busy processors take long
        ),
        Service(
            "jobmanager",
            command=lambda place: flink.jobmanager_command(place.settings, place.java_home),
            environment=lambda place: flink.flink_environment(place.settings, place.java_home),
            prepare=lambda place: flink.prepare_flink(place.settings),
            ready=jobmanager_answers,
            ports=ports("flink-rest", "jobmanager-rpc", "jobmanager-blob", "jobmanager-metrics"),
            address=settings.flink_url,
        ),
        *(_taskmanager(settings, number) for number in range(1, settings.taskmanagers + 1)),
        _python_service("clock", needs=(TOPICS_STEP,), ready=_says("clock", "clock.started")),
        _python_service("indexer", needs=(TOPICS_STEP, "elasticsearch"), ready=_says("indexer", "indexer.started")),
        _python_service(
            "dashboard",
            needs=(TOPICS_STEP, "elasticsearch"),
            ready=lambda settings: port_answers(settings.port("dashboard")),
            ports=ports("dashboard"),
            address=settings.dashboard_url,
        ),
    )


def _taskmanager(settings: StackSettings, number: int) -> Service:
    name = f"taskmanager-{number}"
    began = _says(name, "Successful registration at resource manager")
    return Service(
        name,
        command=lambda place: flink.taskmanager_command(place.settings, place.java_home, number),
        environment=lambda place: flink.flink_environment(place.settings, place.java_home),
        prepare=lambda place: flink.prepare_flink(place.settings),
        ready=lambda settings: began(settings) and taskmanager_is_registered(settings, name),
        lost=lambda settings: began(settings) and taskmanager_is_lost(settings, name),
        ports=tuple(settings.taskmanager_port(kind, number) for kind in ("data", "metrics")),
        address=f"{LOOPBACK}:{settings.taskmanager_port('data', number)}",
    )


def _python_service(
    name: str,
    *,
    needs: tuple[str, ...],
    ready: Callable[[StackSettings], bool],
    ports: tuple[int, ...] = (),
    address: str = "",
) -> Service:
    def command(place: Place) -> list[str]:
        config = str(config_file(place.settings, name))
        return [sys.executable, "-m", "pipeline.cli", "serve", name, "--config", config]

    return Service(name, command=command, needs=needs, ready=ready, ports=ports, address=address, limit=120.0)


def _says(name: str, words: str) -> Callable[[StackSettings], bool]:
    return lambda settings: log_says(settings, name, words)
