"""What would leave: the newest lines of every input, mapped, and sent nowhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob
from itertools import islice
from pathlib import Path
from typing import Final

from connectors.forwarder.input_settings import BackfillInput, FileInput, InputSettings
from connectors.forwarder.inputs import compile_mapping, load_pseudonyms
from connectors.forwarder.normalise import Normaliser
from connectors.forwarder.settings import ForwarderSettings
from connectors.mapping.compiled import Dropped, Fields, Refused
from connectors.mapping.library import MappingFile
from connectors.sources.backfill import Backfill
from connectors.sources.followed_file import FollowedFile
from connectors.sources.line import Line
from connectors.sources.line_reader import LineReader
from schemas.errors import ConfigError

TAIL_BYTES: Final = 4 * 1024 * 1024
"""No more than this much of a log's end is looked at."""


@dataclass(frozen=True)
class Trial:
    """One line, and what would become of it."""

    input: str
    line: Line
    outcome: Fields | Dropped | Refused
    origins: dict[str, str]
    """Field -> where it comes from."""
    mapping: str
    stays: tuple[str, ...] = ()
    """Fields the line has and the mapping does not use."""
    is_sample: bool = False
    """Whether the line is one of the mapping's samples: the input has no log to look at yet."""


def try_lines(settings: ForwarderSettings, limit: int) -> Iterator[Trial]:
    """What would become of the newest lines of every input; nothing is sent, and no position moves.

    An input that waits for senders, or for a log that is not there yet, shows its mapping's samples.

    Args:
        settings: the configuration.
        limit: lines of each input.

    Raises:
        ConfigError: a mapping or a key is not as it must be, or a log cannot be read.
    """
    pseudonyms = load_pseudonyms(settings)
    for one in settings.inputs:
        file, mapping = compile_mapping(settings, one, pseudonyms)
        normaliser = Normaliser(settings.member, one.name, mapping, pseudonyms.event_id_key)
        lines, are_samples = _lines_of(one, file, limit)
        version = f"{file.document.name} {file.document.version}"
        for line in lines:
            stays = () if line.too_long else tuple(mapping.unused(line.raw))
            yield Trial(one.name, line, *normaliser.explain(line), version, stays, are_samples)


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


def _lines_of(one: InputSettings, file: MappingFile, limit: int) -> tuple[list[Line], bool]:
    if isinstance(one, FileInput) and not one.is_glob and one.path.exists():
        return newest_lines(one.path, limit), False
    if isinstance(one, FileInput | BackfillInput) and glob(str(one.path)):  # noqa: PTH207 - Path.glob takes no absolute
        return list(islice(_first_lines(Backfill(one.path)), limit)), False
    samples = [sample.line.encode() for sample in file.document.samples][:limit]
    return [Line(raw, "sample", number, number + 1) for number, raw in enumerate(samples)], True


def _first_lines(source: Backfill) -> Iterator[Line]:
    while True:
        lines = source.read()
        if not lines and source.idle:
            return
        yield from lines
