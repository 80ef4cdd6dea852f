"""Which field names a rule may use; a name that nobody writes never matches."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import yaml

from connectors.mapping.library import SHIPPED
from schemas.field_names import ANYTHING_BELOW, listed_fields
from schemas.suggest import nearest

_ALIKE: Final = 0.85


def doubt_about(field: str) -> str | None:
    """What is odd about an ECS field name, in words; None if nothing is.

    Names without a dot are Sigma's own taxonomy (`Image`, `CommandLine`) or a product's, and are not judged.

    >>> doubt_about("sourc.ip")
    'no field of ECS or of the mappings; did you mean "source.ip"?'
    """
    if "." not in field or not field[0].islower():
        return None
    root = field.partition(".")[0]
    known = known_fields()
    if field in known or f"{root}.{ANYTHING_BELOW}" in known:
        return None
    # Without a likeness it is a product's own field, or one of ECS beyond the part that is listed.
    meant = nearest(field, known, alike=_ALIKE)
    return f'no field of ECS or of the mappings; did you mean "{meant}"?' if meant else None


@cache
def known_fields() -> frozenset[str]:
    """The listed names and those that the shipped mappings write."""
    return listed_fields().union(*map(_written_by, sorted(SHIPPED.glob("*.yml"))))


def _written_by(mapping: Path) -> set[str]:
    data = yaml.load(mapping.read_bytes(), yaml.CSafeLoader)
    parts = [data, *data.get("rules", ())]
    return {name for part in parts for key in ("set", "map", "hmac") for name in part.get(key, ())}
