"""The stack's rule pack: compiled from its rules or given, put in force without a restart."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from connectors.clock import write_ticks
from connectors.kafka import open_producer
from deploy.local.configuration import exceptions_folder, registry_of
from deploy.local.flink_job import find_job
from deploy.local.job_reports import Reports, is_taken, open_health, read_reports
from deploy.local.kafka_access import ADMIN, kafka_connection
from deploy.local.kafka_broker import open_broker_admin
from deploy.local.processes import find_leader
from deploy.local.settings import StackSettings, project_root
from pipeline.jobs.active_pack import LOOK_SECONDS
from schemas.errors import ConfigError, ConnectionError_
from schemas.times import now_ms

if TYPE_CHECKING:
    from pipeline.rulepack import RulePack

_TAKEN_SECONDS: Final = 120.0


def build_rule_pack(settings: StackSettings, tell: Callable[[str], None], pinned: Path | None = None) -> RulePack:
    """The pack of this stack: the pinned one's rules, else its rule folders compiled; with the registry as it is now.

    A federation begins small: a correlation that wants more corporate groups than there are is left out until there
    are, and `tell` hears of it.

    Raises:
        RuleError: a rule that cannot be honoured.
        ConfigError: the pinned pack cannot be read.
    """
    from pipeline.rule_cache import RuleCache  # pySigma takes a second to import
    from pipeline.rulepack import RulePack, build_pack, read_pack

    registry = registry_of(settings)
    if pinned is not None:
        rules = read_pack(pinned)
        return RulePack(rules.detections, rules.correlations, registry)
    exceptions = exceptions_folder(settings)
    cache = RuleCache(settings.home / "cache")
    pack = build_pack(
        [project_root() / "rules" / "sigma", *settings.rules, *([exceptions] if exceptions.is_dir() else [])],
        registry,
        on_too_few=lambda problem: tell(f"left out for now: {problem}"),
        cache=cache,
    )
    with suppress(OSError):  # then the next build compiles anew
        cache.save()
    return pack


def pinned_pack(settings: StackSettings) -> Path | None:
    """The pack whose rules somebody chose instead of the stack's rule folders."""
    return settings.pinned_pack_file if settings.pinned_pack_file.exists() else None


def pin_pack(settings: StackSettings, path: Path | None) -> None:
    """From now on take the rules of this pack instead of the stack's rule folders; None: the folders again.

    Raises:
        ConfigError: not a pack of this release.
    """
    from pipeline.rulepack import read_pack

    if path is None:
        settings.pinned_pack_file.unlink(missing_ok=True)
    elif path != settings.pinned_pack_file:
        read_pack(path).write(settings.pinned_pack_file)


def put_in_force(settings: StackSettings, pack: RulePack) -> str:
    """Write the pack where the job looks for it, and wait until all its workers have taken it, where it runs.

    Returns:
        What has become of it, for people.

    Raises:
        ConfigError: a worker refuses it, and then the pack before is in force again; or they do not take it in time.
    """
    if not _job_runs(settings):
        pack.write(settings.pack_file)
        return f"pack {pack.version[:12]}: the job takes it when it starts"
    former = settings.pack_file.read_bytes() if settings.pack_file.exists() else b""
    if former == pack.to_bytes():
        return f"pack {pack.version[:12]} was in force"
    with open_health(settings) as health:
        since, begun = now_ms(), time.monotonic()
        pack.write(settings.pack_file)
        time.sleep(LOOK_SECONDS)
        if not _wake_workers(settings):
            # Nothing to read for anybody: whoever reads first looks first.
            return f"pack {pack.version[:12]} in force"
        known: Reports = {}
        while time.monotonic() < begun + _TAKEN_SECONDS:
            read_reports(health, known, settings.taskmanagers)
            try:
                if is_taken(known, pack.version, since):
                    return f"pack {pack.version[:12]} in force after {time.monotonic() - begun:.1f} s"
            except ConfigError:
                _write_back(settings, former)
                raise
    raise ConfigError(
        "rule pack",
        f"not all workers took it within {_TAKEN_SECONDS:.0f} s",
        got=", ".join(f"{worker}: {report.version[:12]}" for worker, report in sorted(known.items())) or "no report",
        hint="jsoc status; jsoc logs taskmanager-1",
    )


def _wake_workers(settings: StackSettings) -> int:
    """Write a tick into every member partition, since workers look at their pack when there is something to read."""
    admin = open_broker_admin(settings)
    try:
        producer = open_producer(kafka_connection(settings, ADMIN), linger_ms=0)
        try:
            return write_ticks(admin, producer)
        finally:
            producer.close()
    finally:
        admin.close()


def _write_back(settings: StackSettings, former: bytes) -> None:
    if former:
        draft = settings.pack_file.with_suffix(".former")
        draft.write_bytes(former)
        draft.replace(settings.pack_file)


def _job_runs(settings: StackSettings) -> bool:
    if find_leader(settings, "jobmanager") is None or find_leader(settings, "kafka") is None:
        return False
    try:
        job = find_job(settings)
    except ConnectionError_:
        return False
    return job is not None and job.lives
