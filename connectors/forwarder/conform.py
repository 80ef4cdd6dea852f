"""What the centre makes of events that another shipper writes: one line of NDJSON after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from schemas.errors import printable
from schemas.event import Event, Origin, Rejected, flatten, read_line
from schemas.json_text import read_json
from schemas.logsource import derive_logsource

LATENESS_MS: Final = 3_600_000
EXAMPLES: Final = 3
IDENTIFIERS: Final = ("user.name", "user.email", "user.full_name", "user.id", "client.user.name", "source.user.name")
"""ECS fields that hold persons' names in plain text; this project's own forwarder never sends them."""


@dataclass
class Conformance:
    """What was found in a sample."""

    lines: int = 0
    events: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """Reason -> lines that would be dead letters."""
    advice: Counter[str] = field(default_factory=Counter)
    """What could be better -> events it is true of."""
    sources: Counter[str] = field(default_factory=Counter)
    """Log source -> events; rules are chosen by it."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> what is wrong, of the first lines."""

    @property
    def conforms(self) -> bool:
        """Whether every line becomes an event with a log source."""
        return self.lines > 0 and not self.rejected and not self.advice[_NO_SOURCE]


_NO_ID: Final = "no event.id: the centre makes one of the text, so two equal events count once"
_NO_SOURCE: Final = "no log source: set event.dataset, or jointsoc.logsource.*; no rule that names one looks at it"
_LATE: Final = "older than an hour: matched, but not correlated"
_AHEAD: Final = "ahead of the broker's clock: takes the broker's time"


def conformance(records: Iterable[tuple[bytes, Origin]]) -> Conformance:
    """What the centre would make of these records."""
    found = Conformance()
    for value, origin in records:
        for number, line in enumerate(value.split(b"\n")):
            if line.strip():
                found.lines += 1
                _look_at(read_line(line, origin, number, LATENESS_MS), line, found)
    return found


def _look_at(outcome: Event | Rejected, line: bytes, found: Conformance) -> None:
    if isinstance(outcome, Rejected):
        found.rejected[outcome.reason] += 1
        examples = found.examples.setdefault(outcome.reason, [])
        if len(examples) < EXAMPLES:
            examples.append(printable(f"{outcome.detail}: {line[:120].decode('utf-8', 'replace')}"))
        return
    found.events += 1
    fields = outcome.fields
    if "event.id" not in flatten(read_json(line)):  # the outcome has one in any case
        found.advice[_NO_ID] += 1
    if outcome.admission == "late":
        found.advice[_LATE] += 1
    if outcome.admission == "clock_ahead":
        found.advice[_AHEAD] += 1
    for name in IDENTIFIERS:
        if name in fields:
            found.advice[f"{name} names a person in plain text: send a keyed hash as user.hash"] += 1
    derive_logsource(fields)
    parts = [_text(fields.get(f"jointsoc.logsource.{part}")) for part in ("product", "category", "service")]
    found.sources[" / ".join(part or "-" for part in parts) if any(parts) else "none"] += 1
    if not any(parts):
        found.advice[_NO_SOURCE] += 1


def _text(value: object) -> str:
    return "+".join(str(one) for one in value) if isinstance(value, tuple) else str(value or "")
