"""The configuration files of the pipeline's processes: absolute paths, passwords only by file name, mode 0600."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from deploy.local.elasticsearch_users import elasticsearch_connection
from deploy.local.kafka_access import kafka_connection
from deploy.local.secret_files import write_secret
from deploy.local.settings import LOOPBACK, StackSettings, project_root
from schemas.member import MemberRegistry, load_registry, save_registry


def config_file(settings: StackSettings, process: str) -> Path:
    """Where a process's configuration is."""
    return settings.etc / f"{process}.yml"


def write_configuration(settings: StackSettings) -> None:
    """Write all of them anew, and an empty registry where there is none."""
    if not settings.members_file.exists():
        settings.etc.mkdir(parents=True, exist_ok=True)
        save_registry(settings.members_file, MemberRegistry())
    for process, content in _contents(settings).items():
        write_secret(config_file(settings, process), yaml.safe_dump(content, sort_keys=False).encode())


def exceptions_folder(settings: StackSettings) -> Path:
    """Where the dashboard writes exceptions in force, as Sigma filters."""
    return settings.etc / "exceptions"


def registry_of(settings: StackSettings) -> MemberRegistry:
    """The members of this stack; none before the first `up` or `member add`."""
    return load_registry(settings.members_file) if settings.members_file.exists() else MemberRegistry()


def _contents(settings: StackSettings) -> dict[str, dict[str, Any]]:
    def kafka(user: str) -> dict[str, Any]:
        return _plain(kafka_connection(settings, user))

    def elasticsearch(user: str) -> dict[str, Any]:
        return _plain(elasticsearch_connection(settings, user))

    audiences = {"member_indices": "members" in settings.audiences, "shared_index": "shared" in settings.audiences}
    return {
        "clock": {"kafka": kafka("clock"), "interval_seconds": float(settings.tick)},
        "indexer": {
            "kafka": kafka("indexer"),
            "elasticsearch": elasticsearch("indexer"),
            "group": "indexer",
            **audiences,
        },
        "rebuild": {"kafka": kafka("indexer"), "elasticsearch": elasticsearch("rebuilder"), **audiences},
        "dashboard": {
            "elasticsearch": elasticsearch("dashboard"),
            "kafka": kafka("dashboard"),
            "host": LOOPBACK,
            "port": settings.port("dashboard"),
            "members_file": str(settings.members_file),
            "flink_url": settings.flink_url,
            "pack_file": str(settings.pack_file),
            "exceptions_dir": str(exceptions_folder(settings)),
            "rules": [str(folder) for folder in (project_root() / "rules" / "sigma", *settings.rules)],
        },
        "operator": {
            "dashboard": {"url": settings.dashboard_url, "token_file": str(settings.secrets / "operator-token")},
            "elasticsearch": elasticsearch("operator"),
            "kafka": kafka("operator"),
        },
        "job": {
            "kafka": kafka("pipeline"),
            "pack": str(settings.pack_file),
            "topic_pattern": r"events\..*",
            "group": "pipeline",
            "transactional_id_prefix": "pipeline",
            "parallelism": settings.taskmanagers,
            "lateness_seconds": settings.lateness,
        },
    }


def _plain(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_none=True)
