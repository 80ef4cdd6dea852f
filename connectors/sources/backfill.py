"""Reads whole files that do not grow, each once: old logs, plain or gzip, and Windows' .evtx."""

from __future__ import annotations

import glob
import gzip
import time
import zlib
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import Any, Final

import orjson
import structlog
from pydantic import BaseModel, ConfigDict, TypeAdapter

from connectors.sources.line import Line
from connectors.sources.line_reader import LineReader
from schemas.errors import ConfigError

log = structlog.get_logger()

CHUNK_BYTES: Final = 128 * 1024
HEAD_BYTES: Final = 128 * 1024
LOOK_SECONDS: Final = 5.0
EVTX_BATCH: Final = 200


class _Progress(BaseModel):
    """One file by its content: renamed or copied it is still the same."""

    model_config = ConfigDict(extra="forbid")

    digest: str
    offset: int = 0
    done: bool = False


_SAVED: Final = TypeAdapter(list[_Progress])


class Backfill:
    """The files a pattern fits, in the order of their names, one after the other.

    Args:
        pattern: a path, with or without `*`.
        saved: what `state` gave before the restart.

    Raises:
        pydantic.ValidationError: `saved` is damaged.
        ConfigError: a .evtx file, and the package that reads them is missing.
    """

    def __init__(self, pattern: Path, saved: Sequence[dict[str, Any]] = ()) -> None:
        self._pattern = str(pattern)
        self._files = {one.digest: one for one in _SAVED.validate_python(list(saved))}
        self._seen: dict[str, tuple[int, int]] = {}
        """Path -> size and time of change when it was read: looked at again only when they differ."""
        self._current: Iterator[list[Line]] | None = None
        self._current_path = ""
        self._next_look = 0.0
        self._delivered: dict[str, int] = {}
        """By digest: the end of the last line, of files read to their end and not yet acknowledged."""
        self._trouble = ""

    @property
    def ended(self) -> bool:
        """Never: further files may appear."""
        return False

    @property
    def idle(self) -> bool:
        """Whether every file there is has been read."""
        return self._current is None and time.monotonic() < self._next_look

    @property
    def trouble(self) -> str:
        """Why a file cannot be read."""
        return self._trouble

    def read(self) -> list[Line]:
        """The next lines of the current file, or of the next one."""
        if self._current is None:
            self._current = self._next_file()
        if self._current is None:
            return []
        try:
            lines = next(self._current, None)
        except (OSError, EOFError, zlib.error, RuntimeError) as error:
            self._trouble = f"{self._current_path}: cannot be read further: {type(error).__name__}: {error}"[:300]
            log.warning("source.cannot_read", trouble=self._trouble)
            lines = None
        if lines is None:
            self._current = None
            return []
        return lines

    def look(self) -> None:
        """Nothing: the files do not change."""

    def acknowledge(self, stream: str, end: int) -> None:
        """Remember how far one file is safe."""
        progress = self._files.get(stream)
        if progress is not None:
            progress.offset = max(progress.offset, end)
            progress.done = progress.done or self._delivered.get(stream) == progress.offset

    def state(self) -> list[dict[str, Any]]:
        """The files and how far each was brought to safety."""
        return [one.model_dump() for one in self._files.values()]

    def close(self) -> None:
        """Close the current file."""
        self._current = None

    def _next_file(self) -> Iterator[list[Line]] | None:
        if time.monotonic() < self._next_look:
            return None
        for path in sorted(glob.glob(self._pattern)):  # noqa: PTH207 - Path.glob takes no absolute pattern
            try:
                info = Path(path).stat()
                if not Path(path).is_file() or self._seen.get(path) == (info.st_size, info.st_mtime_ns):
                    continue
                self._seen[path] = (info.st_size, info.st_mtime_ns)
                digest = _digest(Path(path), info.st_size)
            except OSError as error:
                self._trouble = f"{path}: {error.strerror}"
                continue
            progress = self._files.setdefault(digest, _Progress(digest=digest))
            if not progress.done:
                self._current_path = path
                log.info("source.backfill", path=path, offset=progress.offset)
                return self._lines(Path(path), progress)
        self._next_look = time.monotonic() + LOOK_SECONDS
        return None

    def _lines(self, path: Path, progress: _Progress) -> Iterator[list[Line]]:
        read = _evtx_lines if path.suffix.lower() == ".evtx" else _text_lines
        last = progress.offset
        for lines in read(path, progress.digest, progress.offset):
            if lines:
                last = lines[-1].end
            yield lines
        self._delivered[progress.digest] = last
        progress.done = progress.offset >= last


def _digest(path: Path, size: int) -> str:
    """Tells files apart by their beginning and size: event logs of Windows differ little in their first bytes."""
    with path.open("rb") as file:
        return blake2b(file.read(HEAD_BYTES), digest_size=12, salt=size.to_bytes(8, "little")).hexdigest()


def _text_lines(path: Path, stream: str, offset: int) -> Iterator[list[Line]]:
    """Lines of a plain or a gzip file; offsets are those of the unpacked text."""
    with path.open("rb") as head:
        packed = head.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if packed else path.open("rb") as file:
        if offset:
            file.seek(offset)
        reader = LineReader(stream, offset)
        while chunk := file.read(CHUNK_BYTES):
            yield reader.feed(chunk)
        yield reader.rest()


def _evtx_lines(path: Path, stream: str, offset: int) -> Iterator[list[Line]]:
    """Events of a Windows event log as Winlogbeat writes them; offsets count records."""
    try:
        from evtx import PyEvtxParser
    except ImportError as error:
        raise ConfigError(str(path), "EVTX files need the evtx package", hint="pip install 'jointsoc[evtx]'") from error
    lines: list[Line] = []
    records = iter(PyEvtxParser(str(path)).records_json())
    for number in count():
        raw, fault = b"", ""
        try:
            record = next(records, None)
            if record is None:
                break
            if number >= offset:
                raw = winlogbeat_json(record["data"])
        except (RuntimeError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            fault = f"a damaged EVTX record: {type(error).__name__}: {error}"[:200]
        if number >= offset:
            lines.append(Line(raw, stream, number, number + 1, fault))
        if len(lines) >= EVTX_BATCH:
            yield lines
            lines = []
    yield lines


def winlogbeat_json(text: str) -> bytes:
    """An EVTX record's JSON in Winlogbeat's layout."""
    event = orjson.loads(text)["Event"]
    system = event.get("System") or {}
    code = _plain(system.get("EventID"))
    return orjson.dumps(
        {
            "@timestamp": ((system.get("TimeCreated") or {}).get("#attributes") or {}).get("SystemTime"),
            "event": {"code": None if code is None else str(code), "provider": _provider(system)},
            "winlog": {
                "channel": system.get("Channel"),
                "computer_name": system.get("Computer"),
                "event_id": None if code is None else str(code),
                "record_id": system.get("EventRecordID"),
                "provider_name": _provider(system),
                "event_data": {
                    name: _plain(value)
                    for part in ("EventData", "UserData")
                    for name, value in _flat(event.get(part) or {}).items()
                },
            },
        }
    )


def _flat(data: dict[str, Any]) -> dict[str, Any]:
    """UserData wraps its fields in one element more."""
    fields = {name: value for name, value in data.items() if name != "#attributes"}
    inner = next(iter(fields.values()), None)
    return _flat(inner) if len(fields) == 1 and isinstance(inner, dict) and "#text" not in inner else fields


def _provider(system: dict[str, Any]) -> Any:
    return ((system.get("Provider") or {}).get("#attributes") or {}).get("Name")


def _plain(value: Any) -> Any:
    """`{"#attributes": ..., "#text": x}` is x; numbers become text, as Winlogbeat has them."""
    if isinstance(value, dict):
        value = value.get("#text")
    return value if value is None or isinstance(value, str | list) else str(value)
