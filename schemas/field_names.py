"""The field names of events that are known by name: `field_names.yml`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

import yaml

ANYTHING_BELOW: Final = "*"
"""A leaf that stands for whatever is below its root."""


@cache
def listed_fields() -> frozenset[str]:
    """The listed names, dotted; `root.*` where anything may be below the root."""
    listed = yaml.load(files("schemas").joinpath("field_names.yml").read_bytes(), yaml.CSafeLoader)
    return frozenset(f"{root}.{leaf}" if leaf else root for root, leaves in listed.items() for leaf in leaves)
