"""The command-line reference, written from each command's `--help`: `python -m pipeline.cli.reference [--check]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from pipeline.cli.main import root

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
WIDTH = 100


def reference() -> str:
    """The whole page, Markdown."""
    parts = ["# Commands\n", "Written from `--help` by `make generate`.\n"]
    for path, command, context in _commands(
        root, click.Context(root, info_name="jsoc", terminal_width=WIDTH, **root.context_settings)
    ):
        text = command.get_help(context).rstrip()
        parts.append(f"{'#' * min(2 + path.count(' '), 4)} {path}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def _commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    yield context.command_path, command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                inner = click.Context(child, info_name=name, parent=context, terminal_width=WIDTH)
                yield from _commands(child, inner)


def main() -> None:
    """Write the page, or say whether it is as it should be."""
    if "--check" not in sys.argv:
        PAGE.write_text(reference(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != reference():
        sys.exit(f"{PAGE.name}: not what the commands say; Try: make generate")


if __name__ == "__main__":
    main()
