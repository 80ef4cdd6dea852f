"""What runs, where, and how far behind."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from connectors.kafka_admin import group_lag, topic_partitions
from deploy.local.flink_job import find_job
from deploy.local.kafka_broker import open_broker_admin
from deploy.local.processes import find_leader, was_started
from deploy.local.services import JOB_STEP, services
from deploy.local.settings import StackSettings
from schemas.errors import ConnectionError_
from schemas.member import TOPIC_PREFIX

State = Literal["running", "stopped", "dead", "failed", "restarting"]


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One row of `jsoc status`.

    Attributes:
        state: `dead` was started and is gone; `failed` and `restarting` are said of the job only.
        uptime: whole seconds.
        lag: records not yet read, where the process reads any and the broker tells.
    """

    process: str
    state: State
    address: str = ""
    pid: int | None = None
    uptime: int | None = None
    lag: int | None = None


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
            rows.append(ProcessStatus(service.name, "running", service.address, leader.pid, uptime, lag))
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
    uptime = int(time.time() - job.started)
    if job.state == "RUNNING":
        return ProcessStatus(JOB_STEP, "running", f"{settings.flink_url}/#/job/{job.id}", None, uptime, lag)
    return ProcessStatus(JOB_STEP, "restarting" if job.lives else "failed")


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
