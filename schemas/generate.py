"""Writes what other programs read of our contracts: JSON Schemas and Elasticsearch templates.

Run `python -m schemas.generate` after a change to a model; `--check` only says whether the files are up to date.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter

from schemas import event_index
from schemas.alert import Alert
from schemas.dead_letter import DeadLetter
from schemas.event import MAX_DEPTH, MAX_ELEMENTS, MAX_FIELDS, MAX_LINE_BYTES, MAX_VALUE_CHARS
from schemas.health import HealthMessage
from schemas.index_template import TEMPLATES
from schemas.member import MemberRegistry

FOLDER: Final = Path(__file__).with_name("generated")
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def event_schema() -> dict[str, Any]:
    """The JSON Schema of one line a member sends (DESIGN 3.2): any ECS event that says when it happened."""
    text_or_texts = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    member = {"type": "string", "description": "derived from the topic; another member's id is refused"}
    identity = {"type": "string", "description": "deterministic; absent: a hash of topic and line"}
    return {
        "title": "Event",
        "description": (
            "One ECS event as one line of JSON; keys nested or dotted. "
            f"At most {MAX_LINE_BYTES} bytes, {MAX_FIELDS} fields, {MAX_DEPTH} levels, {MAX_ELEMENTS} elements of an "
            f"array and {MAX_VALUE_CHARS} characters of a text."
        ),
        "type": "object",
        "properties": {
            "@timestamp": {"type": "string", "format": "date-time", "description": "RFC 3339 with a time zone"},
            "event": {"type": "object", "properties": {"id": identity, "dataset": text_or_texts}},
            "event.id": identity,
            "event.dataset": text_or_texts,
            "organization": {"type": "object", "properties": {"id": member}},
            "organization.id": member,
        },
        "required": ["@timestamp"],
        "additionalProperties": True,
    }


def _schema_of(kind: type[BaseModel] | Any) -> dict[str, Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    return adapter.json_schema(by_alias=True, mode="serialization")


def generated_files() -> dict[str, str]:
    """File name -> content, for everything in `schemas/generated`."""
    schemas = {
        "event": event_schema(),
        "alert": _schema_of(Alert),
        "dead_letter": _schema_of(DeadLetter),
        "health": _schema_of(HealthMessage),
        "members": _schema_of(MemberRegistry),
    }
    files = {f"{name}.schema.json": {"$schema": _DIALECT} | schema for name, schema in schemas.items()}
    templates = {**TEMPLATES, event_index.TEMPLATE_NAME: event_index.event_template}
    files |= {f"{name}.template.json": template() for name, template in templates.items()}
    return {name: json.dumps(content, indent=2, ensure_ascii=False) + "\n" for name, content in files.items()}


def stale_files(folder: Path = FOLDER) -> list[str]:
    """Names of files that are missing, different, or not made from any model any more."""
    wanted = generated_files()
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*") if path.is_file()}
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def write_files(folder: Path = FOLDER) -> list[str]:
    """Make the folder hold exactly the generated files; returns the names of those that changed."""
    folder.mkdir(exist_ok=True)
    changed, wanted = stale_files(folder), generated_files()
    for name in changed:
        if name in wanted:
            (folder / name).write_text(wanted[name], encoding="utf-8")
        else:
            (folder / name).unlink()
    return changed


def main(arguments: list[str] | None = None) -> int:
    """Write or check the generated files; returns the exit code, 1 if `--check` finds a stale one."""
    parser = argparse.ArgumentParser(prog="python -m schemas.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is not up to date")
    names = stale_files() if (check := parser.parse_args(arguments).check) else write_files()
    for name in names:
        print(f"{'stale' if check else 'written'}: schemas/generated/{name}", file=sys.stderr)
    return 1 if check and names else 0


if __name__ == "__main__":
    sys.exit(main())
