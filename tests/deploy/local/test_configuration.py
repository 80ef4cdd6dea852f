from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from connectors.clock import ClockSettings
from connectors.indexer import IndexerSettings
from connectors.settings import load_settings, read_secret
from dashboard.settings import DashboardSettings
from deploy.local.configuration import config_file, registry_of, write_configuration
from deploy.local.settings import StackSettings
from pipeline.jobs.settings import JobSettings
from schemas.member import Member, MemberRegistry, save_registry

MODELS: dict[str, type[BaseModel]] = {
    "clock": ClockSettings,
    "indexer": IndexerSettings,
    "dashboard": DashboardSettings,
    "job": JobSettings,
}


@pytest.mark.parametrize("process", MODELS)
def test_every_process_can_read_its_file(settings: StackSettings, process: str) -> None:
    write_configuration(settings)
    loaded = load_settings(config_file(settings, process), MODELS[process])
    assert loaded.kafka.bootstrap_servers == [settings.kafka_address]  # type: ignore[attr-defined]
    assert read_secret(loaded.kafka.password_file)  # type: ignore[attr-defined]


def test_no_file_holds_a_password_and_only_the_owner_reads_them(settings: StackSettings) -> None:
    write_configuration(settings)
    words = [read_secret(path) for path in settings.secrets.glob("*.password")]
    assert len(words) >= 7
    for process in (*MODELS, "operator"):
        path = config_file(settings, process)
        assert path.stat().st_mode & 0o777 == 0o600
        assert not any(word in path.read_text() for word in words)


def test_all_paths_are_absolute(settings: StackSettings) -> None:
    write_configuration(settings)

    def paths(value: object, key: str = "") -> list[str]:
        if isinstance(value, dict):
            return [path for name, item in value.items() for path in paths(item, name)]
        return [str(value)] if key.endswith("file") or key == "pack" else []

    found = [path for process in MODELS for path in paths(yaml.safe_load(config_file(settings, process).read_text()))]
    assert len(found) > 8
    assert all(Path(path).is_absolute() for path in found)


def test_an_existing_registry_is_left_as_it_is(settings: StackSettings) -> None:
    registry = MemberRegistry(members=(Member(id="kestrel-bank", name="Kestrel Bank"),))
    settings.etc.mkdir()
    save_registry(settings.members_file, registry)
    write_configuration(settings)
    assert registry_of(settings) == registry


def test_without_a_registry_there_are_no_members(settings: StackSettings) -> None:
    assert registry_of(settings) == MemberRegistry()
