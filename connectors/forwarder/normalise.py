"""One raw line becomes one event as it leaves: mapped, named, with its pivots, and small enough."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final, NamedTuple

from msgspec.json import Encoder

from connectors.mapping.compiled import CompiledMapping, Dropped, Fields, Refused
from connectors.sources.line import Line
from schemas.alert import ECS_VERSION

MAX_EVENT_BYTES: Final = 512 * 1024
"""Far below what brokers accept by default (1 MB) and what the centre accepts (1 MiB)."""

_encode: Final = Encoder().encode
"""Not orjson's: that takes a kilobyte for each event and gives most of it back, which here costs ten times the work."""
_RELATED: Final = (
    ("related.ip", ("source.ip", "destination.ip")),
    ("related.hash", ("file.hash.sha256", "file.hash.sha1", "file.hash.md5", "process.hash.sha256")),
    ("related.user", ("user.hash", "user.target.hash")),
    ("related.hosts", ("host.id",)),
)


class Ready(NamedTuple):
    """An event as it leaves."""

    payload: bytes
    """One line of JSON, without a line end."""


class Normaliser:
    """Makes events of one input's lines.

    Args:
        member: the institution.
        input_name: the input.
        mapping: its mapping.
        id_key: makes event ids; secret, or the centre could find identifiers by trying them.
    """

    def __init__(self, member: str, input_name: str, mapping: CompiledMapping, id_key: bytes) -> None:
        self._mapping = mapping
        self._id_base = blake2b(f"{member}\0{input_name}\0".encode(), digest_size=16, key=id_key)

    def normalise(self, line: Line) -> Ready | Dropped | Refused:
        """What becomes of a line. Never raises for what a line holds."""
        if line.too_long:
            return Refused("too-large", line.too_long)
        try:
            outcome = self._mapping.apply(line.raw)
        except Exception as error:  # noqa: BLE001 - a defect of ours: this line is kept, the others go on
            return Refused("defect", f"{type(error).__name__}: {error}"[:200])
        if not isinstance(outcome, dict):
            return outcome
        payload = _encode(self._complete(outcome, line))
        if len(payload) > MAX_EVENT_BYTES:
            return Refused("too-large", f"an event of {len(payload)} bytes; at most {MAX_EVENT_BYTES}")
        return Ready(payload)

    def explain(self, line: Line) -> tuple[Fields | Dropped | Refused, dict[str, str]]:
        """What becomes of a line, and for each field of the mapping's where it comes from."""
        if line.too_long:
            return Refused("too-large", line.too_long), {}
        outcome, origins = self._mapping.explain(line.raw)
        return (self._complete(outcome, line) if isinstance(outcome, dict) else outcome), origins

    def _complete(self, event: Fields, line: Line) -> Fields:
        event["event.id"] = self._event_id(line)
        event["ecs.version"] = ECS_VERSION
        _add_related(event)
        return event

    def _event_id(self, line: Line) -> str:
        """The same however often the line is read; another for the same text at another place."""
        digest = self._id_base.copy()
        digest.update(b"%s:%d\0%s" % (line.stream.encode(), line.start, line.raw))
        return digest.hexdigest()


def _add_related(event: Fields) -> None:
    """All values of a kind in one field: what an analyst pivots on."""
    for target, names in _RELATED:
        related: list[Any] = []
        for name in names:
            value = event.get(name)
            if type(value) is list:
                related += value
            elif value is not None:
                related.append(value)
        if related:
            event[target] = related if len(related) == 1 else list(dict.fromkeys(related))
