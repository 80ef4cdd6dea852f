"""Runs the samples inside a mapping file: raw line in, exactly the expected fields out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, cast

from connectors.mapping.compiled import CompiledMapping, Dropped, Fields, Outcome, Refused, Surroundings
from connectors.mapping.document import Sample
from connectors.mapping.library import MappingFile
from connectors.pseudonyms import KeyName, Pseudonyms
from schemas.errors import ConfigError, printable
from schemas.times import from_rfc3339

SAMPLE_KEYS: Final = Pseudonyms(institution=bytes(32), federation=bytes([1]) * 32)
"""Stand-ins: samples are public, and must not depend on an institution's secrets."""
SAMPLE_NOW: Final = from_rfc3339("2026-12-31T00:00:00Z")
"""Times without a year are read as of this moment."""

_PSEUDONYM: Final = re.compile(r"hmac\((federation|institution), ([a-z]{2,20}), (.*)\)", re.DOTALL)
_BOOKKEEPING: Final = frozenset({"jointsoc.key_epoch"})


def sample_faults(file: MappingFile) -> Iterator[ConfigError]:
    """Each sample that does not come out as it says; opt-in fields are on.

    Raises:
        ConfigError: the mapping itself cannot run.
    """
    mapping = file.compile(Surroundings(SAMPLE_KEYS, now=lambda: SAMPLE_NOW, include=None))
    for index, sample in enumerate(file.document.samples):
        problem = _problem(sample, mapping)
        if problem is not None:
            yield ConfigError(file.yaml.where("samples", index), problem)


def _problem(sample: Sample, mapping: CompiledMapping) -> str | None:
    outcome = mapping.apply(sample.line.encode())
    if sample.event is None:
        expected = Dropped(sample.drop) if sample.drop is not None else Refused(sample.dead or "", "")
        same = type(outcome) is type(expected) and getattr(outcome, "reason", None) == expected.reason
        return None if same else f"the line should become {_shown(expected)}, but becomes {_shown(outcome)}"
    if not isinstance(outcome, dict):
        return f"the line should become an event, but becomes {_shown(outcome)}"
    return _difference(sample.event, outcome)


def _difference(expected: Fields, found: Fields) -> str | None:
    wanted = {name: _resolve(value) for name, value in expected.items()}
    for name in sorted(wanted.keys() | found.keys() - _BOOKKEEPING):
        if name not in found:
            return f"{name} is missing; it should be {expected[name]!r}"
        if name not in wanted:
            return f"{name} leaves, and the sample does not list it; it is {found[name]!r}"
        if found[name] != wanted[name] or type(found[name]) is not type(wanted[name]):
            return f"{name} is {found[name]!r}; it should be {expected[name]!r}"
    return None


def _resolve(value: Any) -> Any:
    """`hmac(key, kind, value)` becomes the pseudonym it stands for."""
    matched = _PSEUDONYM.fullmatch(value) if isinstance(value, str) else None
    if matched is None:
        return value
    key, kind, identifier = matched.groups()
    return SAMPLE_KEYS.of(cast("KeyName", key), kind, identifier)


def _shown(outcome: Outcome) -> str:
    match outcome:
        case Dropped(reason):
            return f"dropped ({printable(reason)})"
        case Refused(reason, detail):
            return f"a dead letter ({printable(reason)}{': ' + printable(detail) if detail else ''})"
        case _:
            return "an event"
