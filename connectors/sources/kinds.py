"""From what a configuration says after `type:` to the source that reads it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from pathlib import Path
from typing import Any

from connectors.forwarder.input_settings import (
    BackfillInput,
    FileInput,
    HttpInput,
    KafkaInput,
    Multiline,
    StdinInput,
    SyslogInput,
)
from connectors.forwarder.settings import SpoolSettings
from connectors.sources.backfill import Backfill
from connectors.sources.file_tail import FileTail
from connectors.sources.glob_tail import GlobTail
from connectors.sources.http_listener import HttpListener
from connectors.sources.joined_lines import JoinedLines
from connectors.sources.kafka_topic import KafkaTopic
from connectors.sources.line import Source
from connectors.sources.spooled import Feeder, Pump, SpooledSource
from connectors.sources.stdin import Stdin
from connectors.sources.syslog_listener import SyslogListener
from connectors.spool import Spool, SpoolPosition
from schemas.errors import ConfigError

Saved = Sequence[dict[str, Any]]
"""What the source's `state` gave before the restart."""


def open_source(settings: Any, saved: Saved, state_dir: Path, spool: SpoolSettings) -> Source:
    """The source of an input, going on where `saved` says; with a spool where the input needs one.

    Raises:
        ConfigError: an address, a file or the spool's folder cannot be used.
        pydantic.ValidationError: `saved` is damaged.
    """
    if not settings.spooled:
        source = _open(settings, saved)
        assert not isinstance(source, _FEEDERS), "feeders are spooled"
        return source
    position = saved[0] if saved else None
    opened = _open(settings, ())
    feeder: Feeder = opened if isinstance(opened, _FEEDERS) else Pump(opened)
    try:
        queue = Spool(
            state_dir / "spool" / settings.name,
            spool.max_bytes,
            None if position is None else SpoolPosition.model_validate(position),
            sync_seconds=spool.sync_seconds,
        )
    except ConfigError:
        feeder.close()
        raise
    return SpooledSource(settings.name, queue, feeder)


_FEEDERS = (SyslogListener, HttpListener)


@singledispatch
def _open(settings: Any, _: Saved) -> Source | SyslogListener | HttpListener:
    raise TypeError(f"no source for {type(settings).__name__}")


@_open.register
def _file(settings: FileInput, saved: Saved) -> Source:
    tail = GlobTail if settings.is_glob else FileTail
    return _joined(tail(settings.path, saved, from_end=settings.start_at == "end"), settings.multiline)


@_open.register
def _backfill(settings: BackfillInput, saved: Saved) -> Source:
    return _joined(Backfill(settings.path, saved), settings.multiline)


@_open.register
def _stdin(_: StdinInput, __: Saved) -> Source:
    return Stdin()


@_open.register
def _kafka(settings: KafkaInput, saved: Saved) -> Source:
    return KafkaTopic(settings, saved)


@_open.register
def _syslog(settings: SyslogInput, _: Saved) -> SyslogListener:
    return SyslogListener(settings)


@_open.register
def _http(settings: HttpInput, _: Saved) -> HttpListener:
    return HttpListener(settings)


def _joined(source: Source, multiline: Multiline | None) -> Source:
    if multiline is None:
        return source
    try:
        return JoinedLines(source, multiline.begins, max_lines=multiline.max_lines, wait_seconds=multiline.wait_seconds)
    except ValueError as error:
        raise ConfigError("multiline.begins", str(error)) from error
