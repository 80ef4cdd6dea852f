"""An independent judge: pySigma's SQLite backend turns a rule into SQL, SQLite evaluates it.

It shares pySigma's parser with us, but neither our lowering nor our evaluator.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence

from sigma.backends.sqlite import sqliteBackend
from sigma.collection import SigmaCollection
from sigma.exceptions import SigmaError
from sigma.rule import SigmaRule

from schemas.event import Fields, Scalar


class SqliteOracle:
    """Events in a table; `matches` says which of them a rule finds."""

    def __init__(self, events: Sequence[Fields], fields: Iterable[str]) -> None:
        columns = sorted(
            {field.lower(): field for field in [*fields, *(name for one in events for name in one)]}.values()
        )
        self._database = sqlite3.connect(":memory:")
        self._database.create_function("regexp", 2, _regexp, deterministic=True)
        declared = ", ".join(f"`{column}` COLLATE NOCASE" for column in columns)
        self._database.execute(f"CREATE TABLE logs (number INTEGER PRIMARY KEY, {declared})")
        marks = ", ".join("?" * (len(columns) + 1))
        rows = ([number, *(_stored(one.get(column)) for column in columns)] for number, one in enumerate(events))
        self._database.executemany(f"INSERT INTO logs VALUES ({marks})", rows)
        self._backend = sqliteBackend()

    def matches(self, rule: SigmaRule) -> set[int] | None:
        """Numbers of the events the rule finds; None if the backend cannot express the rule (keywords)."""
        try:
            queries = self._backend.convert(SigmaCollection([rule]))
        except SigmaError:
            return None
        found: set[int] = set()
        for query in queries:
            condition = str(query).removeprefix("SELECT * FROM logs WHERE ")
            found |= {number for (number,) in self._database.execute(f"SELECT number FROM logs WHERE {condition}")}
        return found


def _stored(value: object) -> Scalar:
    """A value as the backend expects it; arrays have no form in a table."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str | int | float) else None


def _regexp(pattern: str, value: object) -> bool:
    return value is not None and re.search(pattern, str(value)) is not None
