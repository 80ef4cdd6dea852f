"""Whether a forwarder is set up rightly: everything that can be known without the broker."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from connectors.forwarder.findings import Finding, readable, state_folder, tried
from connectors.forwarder.input_settings import InputSettings
from connectors.forwarder.inputs import compile_mapping
from connectors.forwarder.settings import ForwarderSettings
from connectors.located_yaml import LocatedYaml
from connectors.mapping.compiled import CompiledMapping
from connectors.mapping.library import find_mapping
from connectors.mapping.samples import SAMPLE_KEYS, sample_faults
from connectors.pseudonyms import Pseudonyms, read_key
from connectors.settings import read_secret
from connectors.sources.checked import check_source
from schemas.errors import JointSocError


def load_forwarder(path: Path) -> ForwarderSettings:
    """Read a forwarder's configuration.

    Raises:
        ConfigError: names file, line and key.
    """
    return LocatedYaml(path).read_as(ForwarderSettings)


def check_forwarder(settings: ForwarderSettings) -> Iterator[Finding]:
    """Everything that can be checked without the broker, good and bad."""
    kafka = settings.kafka
    if kafka.password_file is not None:
        yield tried("password", str(kafka.password_file), kafka.password)
    if kafka.ca_file is not None:
        yield readable("CA file", kafka.ca_file)
    if kafka.key_file is not None:
        yield tried("key", str(kafka.key_file), partial(read_secret, kafka.key_file))
    yield state_folder(settings.state_dir)
    yield tried("institution key", str(settings.keys.institution), lambda: read_key(settings.keys.institution))
    federation = settings.keys.federation
    if federation is not None:
        yield tried("federation key", str(federation), lambda: read_key(federation))
    if settings.keys.previous is not None:
        for path in (settings.keys.previous.institution, settings.keys.previous.federation):
            if path is not None:
                yield tried("previous key", str(path), partial(read_key, path))
    # Keys that cannot be read were told above: the mappings are checked with stand-ins.
    pseudonyms = SAMPLE_KEYS if federation is not None else Pseudonyms(SAMPLE_KEYS.event_id_key, None)
    for one in settings.inputs:
        yield from _check_input(settings, one, pseudonyms)
    for name in dict.fromkeys(one.mapping for one in settings.inputs):
        yield from _check_samples(name)


def _check_input(settings: ForwarderSettings, one: InputSettings, pseudonyms: Pseudonyms) -> Iterator[Finding]:
    what = f"input {one.name}"

    def compiled() -> CompiledMapping:
        return compile_mapping(settings, one, pseudonyms)[1]

    finding = tried(what, f"{one.mapping} reads {one.reads}", compiled)
    yield finding
    if finding.verdict == "ok":
        yield from check_source(one)


def _check_samples(name: str) -> Iterator[Finding]:
    try:
        file = find_mapping(name)
        faults = list(sample_faults(file))
    except JointSocError as error:
        yield Finding("fault", f"mapping {name}", str(error))
        return
    if not faults:
        yield Finding("ok", f"mapping {name}", f"version {file.document.version}, {len(file.document.samples)} samples")
    for fault in faults:
        yield Finding("fault", f"mapping {name}", str(fault))
