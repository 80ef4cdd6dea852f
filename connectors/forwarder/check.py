"""What can be known about a forwarder before it runs: is it set up rightly, and what would leave."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from connectors.forwarder.inputs import compile_mapping, load_pseudonyms
from connectors.forwarder.normalise import Normaliser
from connectors.forwarder.settings import ForwarderSettings, InputSettings
from connectors.located_yaml import LocatedYaml
from connectors.mapping.compiled import CompiledMapping, Dropped, Fields, Refused
from connectors.mapping.library import find_mapping
from connectors.mapping.samples import SAMPLE_KEYS, sample_faults
from connectors.pseudonyms import Pseudonyms, read_key
from connectors.settings import read_secret
from connectors.sources.followed_file import FollowedFile
from connectors.sources.line import Line
from connectors.sources.line_reader import LineReader
from schemas.errors import ConfigError, JointSocError

TAIL_BYTES: Final = 4 * 1024 * 1024
"""A dry run looks at no more than this much of a log's end."""

Verdict = Literal["ok", "warning", "fault"]


class Finding(NamedTuple):
    """One thing that was checked."""

    verdict: Verdict
    what: str
    detail: str


@dataclass(frozen=True)
class Trial:
    """One line, and what would become of it."""

    input: str
    line: Line
    outcome: Fields | Dropped | Refused
    origins: dict[str, str]
    """Field -> where it comes from."""


def load_forwarder(path: Path) -> ForwarderSettings:
    """Read a forwarder's configuration.

    Raises:
        ConfigError: names file, line and key.
    """
    return LocatedYaml(path).read_as(ForwarderSettings)


def check_forwarder(settings: ForwarderSettings) -> Iterator[Finding]:
    """Everything that can be checked without the broker, good and bad."""
    yield _tried("password", str(settings.kafka.password_file), lambda: read_secret(settings.kafka.password_file))
    if settings.kafka.ca_file is not None:
        yield _readable("CA file", settings.kafka.ca_file)
    yield _state_folder(settings.state_dir)
    yield _tried("institution key", str(settings.keys.institution), lambda: read_key(settings.keys.institution))
    federation = settings.keys.federation
    if federation is not None:
        yield _tried("federation key", str(federation), lambda: read_key(federation))
    # Keys that cannot be read were told above: the mappings are checked with stand-ins.
    pseudonyms = SAMPLE_KEYS if federation is not None else Pseudonyms(SAMPLE_KEYS.event_id_key, None)
    for one in settings.inputs:
        yield from _check_input(settings, one, pseudonyms)
    for name in dict.fromkeys(one.mapping for one in settings.inputs):
        yield from _check_samples(name)


def try_lines(settings: ForwarderSettings, limit: int) -> Iterator[Trial]:
    """What would become of the newest lines of every file; nothing is sent, and no position moves.

    Args:
        settings: the configuration.
        limit: lines of each input.

    Raises:
        ConfigError: a mapping or a key is not as it must be, or a log cannot be read.
    """
    pseudonyms = load_pseudonyms(settings)
    for one in settings.inputs:
        if one.path is None:
            continue
        _, mapping = compile_mapping(settings, one, pseudonyms)
        normaliser = Normaliser(settings.member, one.name, mapping, pseudonyms.event_id_key)
        for line in newest_lines(one.path, limit):
            yield Trial(one.name, line, *normaliser.explain(line))


def newest_lines(path: Path, limit: int) -> list[Line]:
    """The last whole lines of a file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        stream = FollowedFile(path)
        stream.close()
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = max(0, size - TAIL_BYTES)
            file.seek(begin)
            block = file.read(TAIL_BYTES)
    except OSError as error:
        raise ConfigError(str(path), f"cannot read the log: {error.strerror}") from error
    if begin:
        skipped = block.find(b"\n") + 1
        begin, block = begin + skipped, block[skipped:]
    return LineReader(stream.stream, begin).feed(block)[-limit:]


def _check_input(settings: ForwarderSettings, one: InputSettings, pseudonyms: Pseudonyms) -> Iterator[Finding]:
    what = f"input {one.name}"

    def compiled() -> CompiledMapping:
        return compile_mapping(settings, one, pseudonyms)[1]

    finding = _tried(what, f"{one.mapping} reads {one.path or 'stdin'}", compiled)
    if finding.verdict != "ok" or one.path is None:
        yield finding
    elif not one.path.exists():
        yield Finding("warning", what, f"{one.path} is not there yet; the forwarder waits for it")
    else:
        readable = _readable(what, one.path)
        yield finding if readable.verdict == "ok" else readable


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


def _tried(what: str, detail: str, attempt: Callable[[], object]) -> Finding:
    try:
        attempt()
    except JointSocError as error:
        return Finding("fault", what, str(error))
    return Finding("ok", what, detail)


def _readable(what: str, path: Path) -> Finding:
    if not os.access(path, os.R_OK):
        return Finding("fault", what, f"{path}: cannot be read by this user; Try: ls -l {path}")
    return Finding("ok", what, str(path))


def _state_folder(folder: Path) -> Finding:
    nearest = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return Finding("fault", "state", f"{folder}: this user cannot write there")
    return Finding("ok", "state", str(folder))
