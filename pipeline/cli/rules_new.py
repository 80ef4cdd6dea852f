"""`jsoc rules new`: a rule to start from, with its cases."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from pipeline.workbench.skeleton import skeleton
from schemas.errors import ConfigError, printable

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{2,60}", re.ASCII)


@click.command()
@click.argument("name")
@click.argument("folder", type=Path)
@click.option("--author", default="jointsoc", show_default=True, help="Named in the rules and in every alert.")
def new(name: str, folder: Path, author: str) -> None:
    """Write a detection, a correlation of it across institutions, and cases for both, into a folder.

    They pass `jsoc rules check` and `jsoc rules test` as they are; change them step by step. Files that are there
    already are never overwritten.

    \b
    Example:
      jsoc rules new payee_at_many my-rules
    """
    if not _NAME.fullmatch(name):
        raise ConfigError("NAME", "not a rule's name", got=printable(name), expected="a-z, 0-9 and _, at least 3")
    files = {folder / file: text for file, text in skeleton(name, _quoted(author), datetime.now(UTC).date()).items()}
    for path in files:
        if path.exists():
            raise ConfigError(str(path), "this file is there already", hint="another name")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
        click.echo(str(path))
    click.echo(f"next: jsoc rules test {folder}", err=True)


def _quoted(author: str) -> str:
    """The author as YAML: plain if it is a plain word, else in quotes."""
    return author if re.fullmatch(r"[A-Za-z][A-Za-z .-]*", author) else json.dumps(author)
