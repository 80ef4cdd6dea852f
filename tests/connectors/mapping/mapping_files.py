"""Small mappings for tests."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from connectors.mapping.compiled import CompiledMapping, Surroundings
from connectors.mapping.library import MappingFile
from connectors.pseudonyms import Pseudonyms

KEYS = Pseudonyms(bytes(32), b"\1" * 32)

SMALL = """
    name: small
    version: 1
    description: A test.
    parse: {kind: json}
    time: {from: time, as: rfc3339}
    rules:
      - name: all
        map: {event.action: what}
    samples:
      - line: '{"time":"2026-11-23T02:00:00Z","what":"x"}'
        event: {'@timestamp': '2026-11-23T02:00:00.000Z', event.action: x}
"""


def mapping_file(folder: Path, text: str) -> MappingFile:
    path = folder / "mapping.yml"
    path.write_text(dedent(text), encoding="utf-8")
    return MappingFile(path)


def compiled(
    folder: Path, rules: str, *, parse: str = "{kind: json}", around: Surroundings | None = None
) -> CompiledMapping:
    text = dedent(SMALL).replace("{kind: json}", parse)
    before, _, rest = text.partition("rules:\n")
    text = before + dedent(rules).strip() + "\n" + rest[rest.index("samples:") :]
    return mapping_file(folder, text).compile(around or Surroundings(KEYS))
