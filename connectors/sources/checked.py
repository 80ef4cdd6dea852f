"""Whether an input can be read by this user; says nothing where all is well."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from functools import partial, singledispatch
from pathlib import Path
from typing import Any

from connectors.forwarder.findings import Finding, readable, tried
from connectors.forwarder.input_settings import (
    BackfillInput,
    FileInput,
    HttpInput,
    KafkaInput,
    Multiline,
    SyslogInput,
)
from connectors.mapping.patterns import Pattern
from connectors.settings import read_secret
from connectors.sources.listening import server_context
from schemas.errors import ConfigError


@singledispatch
def check_source(_: Any) -> Iterator[Finding]:
    """Warnings and faults of one input."""
    yield from ()


@check_source.register
def _file(settings: FileInput) -> Iterator[Finding]:
    yield from _multiline(settings.name, settings.multiline)
    if settings.is_glob:
        yield from _globbed(settings.name, settings.path)
    elif not settings.path.exists():
        yield Finding("warning", f"input {settings.name}", f"{settings.path} is not there yet; the forwarder waits")
    else:
        yield from _unreadable(settings.name, settings.path)


@check_source.register
def _backfill(settings: BackfillInput) -> Iterator[Finding]:
    yield from _multiline(settings.name, settings.multiline)
    yield from _globbed(settings.name, settings.path)


@check_source.register
def _syslog(settings: SyslogInput) -> Iterator[Finding]:
    if settings.tls is not None:
        yield from _faults(tried(f"input {settings.name}", "", partial(server_context, settings.tls)))
    yield from _privileged(settings.name, settings.listen)


@check_source.register
def _http(settings: HttpInput) -> Iterator[Finding]:
    yield from _faults(tried(f"input {settings.name}", "", partial(read_secret, settings.token_file)))
    if settings.tls is not None:
        yield from _faults(tried(f"input {settings.name}", "", partial(server_context, settings.tls)))
    elif not settings.listen.startswith(("127.", "[::1]", "localhost")):
        yield Finding("warning", f"input {settings.name}", "the token travels in the clear: name `tls`")
    yield from _privileged(settings.name, settings.listen)


@check_source.register
def _kafka(settings: KafkaInput) -> Iterator[Finding]:
    if settings.kafka.password_file is not None:
        yield from _faults(tried(f"input {settings.name}", "", settings.kafka.password))


def _multiline(name: str, multiline: Multiline | None) -> Iterator[Finding]:
    if multiline is not None:
        yield from _faults(tried(f"input {name}", "", lambda: _compiled(multiline.begins)))


def _compiled(begins: str) -> None:
    try:
        Pattern(begins)
    except ValueError as error:
        raise ConfigError("multiline.begins", str(error)) from error


def _globbed(name: str, pattern: Path) -> Iterator[Finding]:
    paths = sorted(glob.glob(str(pattern)))  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not paths:
        yield Finding("warning", f"input {name}", f"{pattern}: no file fits yet; the forwarder waits")
    for path in paths:
        yield from _unreadable(name, Path(path))


def _unreadable(name: str, path: Path) -> Iterator[Finding]:
    yield from _faults(readable(f"input {name}", path))


def _privileged(name: str, listen: str) -> Iterator[Finding]:
    port = int(listen.rpartition(":")[2])
    if 0 < port < 1024 and os.geteuid() != 0:
        yield Finding(
            "warning", f"input {name}", f"port {port} is for root, or needs AmbientCapabilities=CAP_NET_BIND_SERVICE"
        )


def _faults(finding: Finding) -> Iterator[Finding]:
    if finding.verdict != "ok":
        yield finding
