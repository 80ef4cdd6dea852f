from __future__ import annotations

from pathlib import Path

import pytest

from connectors.forwarder.settings import ForwarderSettings
from connectors.mapping.library import shipped_names
from connectors.settings import load_settings
from deploy.demo.forwarders import MAPPINGS, check_forwarders, write_configuration
from deploy.demo.institutions import LOGS, load_institutions
from deploy.local.settings import StackSettings
from schemas.errors import ConfigError

INSTITUTIONS = load_institutions()


@pytest.fixture
def settings(tmp_path: Path) -> StackSettings:
    return StackSettings(tmp_path / "home", tmp_path / "jvm")


def configuration(settings: StackSettings, number: int = 0) -> ForwarderSettings:
    path = write_configuration(settings, settings.home / "demo", INSTITUTIONS[number])
    return load_settings(path, ForwarderSettings)


def test_every_log_has_a_mapping_that_ships() -> None:
    assert set(MAPPINGS) == set(LOGS)
    assert set(MAPPINGS.values()) <= set(shipped_names())


def test_a_forwarder_reads_every_log_of_its_own_institution(settings: StackSettings) -> None:
    forwarder = configuration(settings)
    assert forwarder.member == "kestrel-bank"
    assert forwarder.kafka.username == "kestrel-bank"
    folder = settings.home / "demo" / "kestrel-bank"
    assert {one.path for one in forwarder.inputs} == {folder / name for name in LOGS.values()}


def test_institutions_share_the_federation_key_and_nothing_else(settings: StackSettings) -> None:
    one, other = configuration(settings, 0), configuration(settings, 1)
    assert one.keys.federation == other.keys.federation
    assert one.keys.institution.read_text() != other.keys.institution.read_text()
    assert one.state_dir != other.state_dir


def test_keys_and_configurations_are_readable_by_their_owner_only(settings: StackSettings) -> None:
    forwarder = configuration(settings)
    assert forwarder.keys.federation is not None
    for path in (forwarder.keys.federation, forwarder.keys.institution, settings.home / "demo/etc/kestrel-bank.yml"):
        assert path.stat().st_mode & 0o077 == 0


def test_keys_stay_when_the_configuration_is_written_again(settings: StackSettings) -> None:
    before = configuration(settings).keys.institution.read_text()
    assert configuration(settings).keys.institution.read_text() == before


def test_a_forwarder_that_is_not_there_is_told(settings: StackSettings) -> None:
    with pytest.raises(ConfigError, match="forwarder-kestrel-bank"):
        check_forwarders(settings, INSTITUTIONS)
