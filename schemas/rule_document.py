"""One YAML document of a rule folder, read but not yet understood: what the loaders hand to the compilers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class RuleDocument:
    """A detection, correlation or filter as its author wrote it."""

    path: Path
    line: int
    """Line of the document's first key, from 1."""
    kind: Literal["detection", "correlation", "filter"]
    data: dict[str, Any]
    lines: dict[tuple[str | int, ...], int] = field(default_factory=dict)
    """Path of keys -> line, for errors that name the place."""
    written: dict[tuple[str | int, ...], str] = field(default_factory=dict)
    """Path of keys -> the text of a value that plain YAML reads as something else: `0x1010`, `010`, `no`."""

    @property
    def id(self) -> str:
        """The rule's `id`, or its `name`, or its title."""
        return str(self.data.get("id") or self.data.get("name") or self.data.get("title") or "")

    def where(self, *keys: str | int) -> str:
        """`file:line` of a key; of the nearest parent where the key itself is not there."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return f"{self.path}:{self.lines.get(keys, self.line)}"
