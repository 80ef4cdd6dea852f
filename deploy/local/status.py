"""What runs, where, and how far behind."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from elasticsearch import ApiError, TransportError
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from connectors.elasticsearch import abilities, open_client
from connectors.kafka_admin import group_lag, topic_partitions
from deploy.local.elasticsearch_users import elasticsearch_connection
from deploy.local.flink_job import find_job, restarts_of
from deploy.local.job_reports import Accounts, Reports, counted, newest_of_all
from deploy.local.kafka_broker import open_broker_admin
from deploy.local.processes import find_leader, was_started
from deploy.local.services import JOB_STEP, services
from deploy.local.settings import StackSettings
from schemas.errors import ConnectionError_
from schemas.member import TOPIC_PREFIX

State = Literal["running", "stopped", "dead", "lost", "failed", "restarting"]


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One row of `jsoc status`.

    Attributes:
        state: `dead` was started and is gone; `lost` lives, but Flink does not count on it any more; `failed` and
            `restarting` are said of the job only.
        uptime: whole seconds.
        lag: records not yet read, where the process reads any and the broker tells.
        restarts: how often the job failed and was restarted since it was submitted; of the job only, as what follows.
        packs: versions of the rule packs its workers use: one, but for the moment of a change.
        problem: why it restarts, or why the newest pack is not in force.
        counted: lines the job read, and what it did not use of them, by reason; since it first started.
        abilities: of Elasticsearch only: what full distributions have, and whether this one has it.
    """

    process: str
    state: State
    address: str = ""
    pid: int | None = None
    uptime: int | None = None
    lag: int | None = None
    restarts: int | None = None
    packs: tuple[str, ...] = ()
    problem: str = ""
    counted: Mapping[str, int] = field(default_factory=dict)
    abilities: dict[str, bool] = field(default_factory=dict)


def stack_status(settings: StackSettings) -> list[ProcessStatus]:
    """Every process of the stack and the job, in the order of starting."""
    rows = []
    lags = _lags(settings)
    for service in services(settings):
        leader = find_leader(settings, service.name)
        if leader is None:
            state: State = "dead" if was_started(settings, service.name) else "stopped"
            rows.append(ProcessStatus(service.name, state, service.address))
        else:
            uptime = int(time.time() - leader.started)
            lag = lags.get(service.name)
            state = "lost" if service.lost(settings) else "running"
            able = _abilities(settings) if service.name == "elasticsearch" else {}
            rows.append(ProcessStatus(service.name, state, service.address, leader.pid, uptime, lag, abilities=able))
    rows.append(_job_status(settings, lags.get(JOB_STEP)))
    return rows


def all_run(rows: list[ProcessStatus]) -> bool:
    """Whether nothing is missing."""
    return all(row.state == "running" for row in rows)


def _job_status(settings: StackSettings, lag: int | None) -> ProcessStatus:
    if find_leader(settings, "jobmanager") is None:
        return ProcessStatus(JOB_STEP, "stopped")
    try:
        job = find_job(settings)
    except ConnectionError_:
        return ProcessStatus(JOB_STEP, "failed")
    if job is None or job.state == "FINISHED":
        return ProcessStatus(JOB_STEP, "stopped")
    if not job.lives:
        return ProcessStatus(JOB_STEP, "failed")
    try:
        restarts, problem = restarts_of(settings, job)
    except ConnectionError_:
        return ProcessStatus(JOB_STEP, "failed")
    reports, accounts = _told(settings)
    refused = next((f"the newest pack is refused: {each.refused}" for each in reports.values() if each.refused), "")
    return ProcessStatus(
        JOB_STEP,
        "running" if job.state == "RUNNING" and not problem else "restarting",
        f"{settings.flink_url}/#/job/{job.id}",
        uptime=int(time.time() - job.started),
        lag=lag,
        restarts=restarts,
        packs=tuple(sorted({report.version for report in reports.values()})),
        problem=problem or refused,
        counted=counted(accounts),
    )


def _abilities(settings: StackSettings) -> dict[str, bool]:
    """What its Elasticsearch can do; empty while it does not answer."""
    with open_client(elasticsearch_connection(settings, "operator"), request_timeout=5) as client:
        try:
            return abilities(client)
        except (ApiError, TransportError):
            return {}


def _told(settings: StackSettings) -> tuple[Reports, Accounts]:
    if find_leader(settings, "kafka") is None:
        return {}, {}
    try:
        return newest_of_all(settings)
    except (ConnectionError_, KafkaError):
        return {}, {}


def _lags(settings: StackSettings) -> dict[str, int]:
    if find_leader(settings, "kafka") is None:
        return {}
    try:
        admin = open_broker_admin(settings)
    except ConnectionError_:
        return {}
    try:
        return _ask_lags(admin)
    except KafkaError:
        return {}
    finally:
        admin.close()


def _ask_lags(admin: KafkaAdminClient) -> dict[str, int]:
    # The job commits its offsets at each checkpoint: its lag is what no completed checkpoint covers yet.
    return {
        JOB_STEP: group_lag(admin, "pipeline", topic_partitions(admin, TOPIC_PREFIX)),
        "indexer": group_lag(admin, "indexer", topic_partitions(admin, "alerts")),
    }
