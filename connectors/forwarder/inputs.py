"""An input made ready: its source, its mapping, its counters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from connectors.forwarder.input_settings import InputSettings
from connectors.forwarder.normalise import Normaliser
from connectors.forwarder.settings import ForwarderSettings
from connectors.mapping.compiled import CompiledMapping, Surroundings
from connectors.mapping.library import MappingFile, find_mapping
from connectors.pseudonyms import KeyName, OldPseudonyms, Pseudonyms, read_key
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
    keys = settings.keys
    previous = None
    if keys.previous is not None:
        files: dict[KeyName, Path | None] = {
            "institution": keys.previous.institution,
            "federation": keys.previous.federation,
        }
        secrets = {name: read_key(path) for name, path in files.items() if path is not None}
        previous = OldPseudonyms(keys.previous.epoch, secrets)
    federation = None if keys.federation is None else read_key(keys.federation)
    return Pseudonyms(read_key(keys.institution), federation, previous)


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


def open_inputs(
    settings: ForwarderSettings, saved: Mapping[str, Sequence[dict[str, Any]]], keep: Mapping[str, Input]
) -> dict[str, Input]:
    """All inputs, each going on where `saved` says.

    Args:
        settings: the configuration.
        saved: positions by input.
        keep: inputs at work whose sources stay open.

    Raises:
        ConfigError: a mapping, an address or a spool is not as it must be; what was opened is closed again.
        pydantic.ValidationError: `saved` is damaged.
    """
    pseudonyms = load_pseudonyms(settings)
    inputs: dict[str, Input] = {}
    try:
        for one in settings.inputs:
            file, mapping = compile_mapping(settings, one, pseudonyms)
            normaliser = Normaliser(settings.member, one.name, mapping, pseudonyms.event_id_key)
            if one.name in keep:
                source, counters = keep[one.name].source, keep[one.name].counters
            else:
                source = open_source(one, saved.get(one.name, ()), settings.state_dir, settings.spool)
                counters = InputCounters(name=one.name)
            inputs[one.name] = Input(source, normaliser, file.digest, counters)
    except Exception:
        for name, opened in inputs.items():
            if name not in keep:
                opened.source.close()
        raise
    return inputs


def same_sources(before: ForwarderSettings, after: ForwarderSettings) -> set[str]:
    """Names of the inputs that are read as before, whatever becomes of their lines."""
    if before.spool != after.spool:
        return set()
    old = {one.name: _source_of(one) for one in before.inputs}
    return {one.name for one in after.inputs if old.get(one.name) == _source_of(one)}


def _source_of(one: InputSettings) -> dict[str, Any]:
    return one.model_dump(exclude={"mapping", "timezone", "include"})
