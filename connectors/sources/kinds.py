"""The kinds of source a configuration can name after `type:`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from connectors.forwarder.settings import InputSettings
from connectors.sources.file_tail import FileTail
from connectors.sources.line import Source
from connectors.sources.stdin import Stdin

Saved = Sequence[dict[str, Any]]


def open_source(settings: InputSettings, saved: Saved) -> Source:
    """The source of an input, going on where `saved` says.

    Raises:
        pydantic.ValidationError: `saved` is damaged.
    """
    return SOURCES[settings.type](settings, saved)


def _file(settings: InputSettings, saved: Saved) -> Source:
    return FileTail(settings.path or Path(), saved, from_end=settings.start_at == "end")


def _stdin(_: InputSettings, __: Saved) -> Source:
    return Stdin()


SOURCES: Final[dict[str, Callable[[InputSettings, Saved], Source]]] = {"file": _file, "stdin": _stdin}
