"""A group of commands that are named in a table and imported on use, so that `--help` stays quick."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """Commands from a table, name -> (`module:attribute`, short help); those added by `@group.command()` come too.

    Args:
        table: the commands, in the order in which help lists them.
    """

    def __init__(self, *args: Any, table: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The table's names in its order, then the others."""
        return [*self._table, *(name for name in super().list_commands(ctx) if name not in self._table)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in self._table:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self._table[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            others = (name for name in super().list_commands(ctx) if name not in self._table)
            rows = [(name, short) for name, (_, short) in self._table.items()]
            formatter.write_dl([*rows, *((name, self.commands[name].get_short_help_str(80)) for name in others)])
