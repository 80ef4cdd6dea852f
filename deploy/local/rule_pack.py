"""The stack's rule pack: compiled from its rules or given, put in force without a restart."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kafka import KafkaConsumer, TopicPartition
from pydantic import ValidationError

from connectors.kafka import open_consumer
from deploy.local.configuration import exceptions_folder, registry_of
from deploy.local.flink_job import find_job
from deploy.local.kafka_access import ADMIN, kafka_connection
from deploy.local.processes import find_leader
from deploy.local.settings import StackSettings, project_root
from schemas.errors import ConfigError, ConnectionError_
from schemas.health import PackReport, health_from_json

if TYPE_CHECKING:
    from pipeline.rulepack import RulePack

_TAKEN_SECONDS: Final = 120.0
_STAGES: Final = 2
"""Workers per TaskManager that hold the pack: one detects, one correlates."""


def build_rule_pack(settings: StackSettings, tell: Callable[[str], None]) -> RulePack:
    """The pack of this stack: the pinned one's rules, else its rule folders compiled; with the registry as it is now.

    A federation begins small: a correlation that wants more corporate groups than there are is left out until there
    are, and `tell` hears of it.

    Raises:
        RuleError: a rule that cannot be honoured.
        ConfigError: the pinned pack cannot be read.
    """
    from pipeline.rulepack import RulePack, build_pack, read_pack  # pySigma takes a second to import

    registry = registry_of(settings)
    if settings.pinned_pack_file.exists():
        pinned = read_pack(settings.pinned_pack_file)
        return RulePack(pinned.detections, pinned.correlations, registry)
    exceptions = exceptions_folder(settings)
    return build_pack(
        [project_root() / "rules" / "sigma", *settings.rules, *([exceptions] if exceptions.is_dir() else [])],
        registry,
        on_too_few=lambda problem: tell(f"left out for now: {problem}"),
    )


def pin_pack(settings: StackSettings, path: Path | None) -> None:
    """From now on take the rules of this pack instead of the stack's rule folders; None: the folders again.

    Raises:
        ConfigError: not a pack of this release.
    """
    from pipeline.rulepack import read_pack

    if path is None:
        settings.pinned_pack_file.unlink(missing_ok=True)
    else:
        settings.etc.mkdir(parents=True, exist_ok=True)
        read_pack(path).write(settings.pinned_pack_file)


def put_in_force(settings: StackSettings, pack: RulePack, tell: Callable[[str], None]) -> None:
    """Write the pack where the job looks for it, and wait until all its workers have taken it, where it runs.

    Raises:
        ConfigError: a worker refuses it, or they do not take it in time.
    """
    if not _job_runs(settings):
        pack.write(settings.pack_file)
        return
    with open_consumer(kafka_connection(settings, ADMIN), group_id=None) as consumer:
        partitions = [TopicPartition("health", number) for number in consumer.partitions_for_topic("health") or ()]
        consumer.assign(partitions)
        consumer.seek_to_end(*partitions)
        for partition in partitions:
            consumer.position(partition)  # seeking is lazy: settle it before the workers speak
        written = time.time()
        if settings.pack_file.exists() and settings.pack_file.read_bytes() == pack.to_bytes():
            return
        pack.write(settings.pack_file)
        tell(f"pack {pack.version[:12]}: waiting until the workers have taken it")
        _wait_until_taken(consumer, pack, _STAGES * settings.taskmanagers)
        tell(f"pack {pack.version[:12]} in force after {time.time() - written:.1f} s")


def _wait_until_taken(consumer: KafkaConsumer, pack: RulePack, workers: int) -> None:
    taken: set[str] = set()
    deadline = time.monotonic() + _TAKEN_SECONDS
    while time.monotonic() < deadline:
        for report in _reports(consumer):
            if report.version == pack.version:
                taken.add(report.worker)
            elif report.refused:
                raise ConfigError("rule pack", f"worker {report.worker} refuses it: {report.refused}")
        if len(taken) >= workers:
            return
    raise ConfigError(
        "rule pack",
        f"not all workers took it within {_TAKEN_SECONDS:.0f} s",
        got=f"{len(taken)} of {workers}",
        hint="jsoc status; jsoc logs taskmanager-1",
    )


def _reports(consumer: KafkaConsumer) -> list[PackReport]:
    found = []
    for records in consumer.poll(timeout_ms=500).values():
        for record in records:
            try:
                message = health_from_json(record.value)
            except ValidationError:
                continue  # of another release
            if isinstance(message, PackReport):
                found.append(message)
    return found


def _job_runs(settings: StackSettings) -> bool:
    if find_leader(settings, "jobmanager") is None or find_leader(settings, "kafka") is None:
        return False
    try:
        job = find_job(settings)
    except ConnectionError_:
        return False
    return job is not None and job.lives
