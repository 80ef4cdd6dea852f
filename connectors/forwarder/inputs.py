"""An input made ready: its source, its mapping, its counters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from connectors.forwarder.input_settings import InputSettings
from connectors.forwarder.normalise import Normaliser
from connectors.forwarder.settings import ForwarderSettings
from connectors.mapping.compiled import CompiledMapping, Surroundings
from connectors.mapping.library import MappingFile, find_mapping
from connectors.pseudonyms import Pseudonyms, read_key
from connectors.sources.kinds import open_source
from connectors.sources.line import Source
from connectors.sources.spooled import SpooledSource
from schemas.health import InputCounters
from schemas.times import to_rfc3339


@dataclass(frozen=True)
class Input:
    """One input at work."""

    source: Source
    normaliser: Normaliser
    mapping_digest: str
    counters: InputCounters

    def count(self) -> InputCounters:
        """The counters as they are now, the source's own among them."""
        counters, source = self.counters, self.source
        counters.trouble = source.trouble[:300]
        if isinstance(source, SpooledSource):
            oldest = source.spool.oldest
            counters.lost = source.lost
            counters.spool_bytes = source.spool.waiting_bytes
            counters.spool_oldest = "" if oldest is None else to_rfc3339(oldest)
            counters.spool_damaged = source.spool.damaged_bytes
        return counters


def load_pseudonyms(settings: ForwarderSettings) -> Pseudonyms:
    """The keys of the configuration.

    Raises:
        ConfigError: a key file is missing, readable by others, or holds no key.
    """
    federation = settings.keys.federation
    return Pseudonyms(read_key(settings.keys.institution), None if federation is None else read_key(federation))


def compile_mapping(
    settings: ForwarderSettings, one: InputSettings, pseudonyms: Pseudonyms
) -> tuple[MappingFile, CompiledMapping]:
    """The mapping of an input, in its surroundings.

    Raises:
        ConfigError: names file, line and key.
    """
    file = find_mapping(one.mapping)
    around = Surroundings(
        pseudonyms,
        internal=settings.internal_networks,
        zone=ZoneInfo(one.timezone),
        include=frozenset(one.include),
        epoch=settings.keys.epoch,
    )
    return file, file.compile(around)


def open_input(
    settings: ForwarderSettings, one: InputSettings, pseudonyms: Pseudonyms, saved: Sequence[dict[str, Any]]
) -> Input:
    """An input that goes on where `saved` says.

    Raises:
        ConfigError: its mapping is not as it must be.
        pydantic.ValidationError: `saved` is damaged.
    """
    file, mapping = compile_mapping(settings, one, pseudonyms)
    normaliser = Normaliser(settings.member, one.name, mapping, pseudonyms.event_id_key)
    source = open_source(one, saved, settings.state_dir, settings.spool)
    return Input(source, normaliser, file.digest, InputCounters(name=one.name))
