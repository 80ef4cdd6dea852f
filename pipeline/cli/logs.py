"""`jsoc logs`: show what a process of the stack wrote."""

from __future__ import annotations

import time
from typing import BinaryIO

import click

from deploy.local.processes import log_file, tail
from deploy.local.settings import StackSettings, load_stack_settings
from schemas.errors import ConfigError, printable


@click.command()
@click.argument("name", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on showing what is written, until interrupted.")
@click.option("-n", "--lines", type=click.IntRange(1, 10_000), default=40, show_default=True)
def logs(name: str | None, *, follow: bool, lines: int) -> None:
    """Show the last lines of one process's log, or of every log.

    \b
    Example:
      jsoc logs taskmanager-1 -f
    """
    settings = load_stack_settings()
    there = sorted(path.stem for path in settings.logs.glob("*.log"))
    if name is not None and name not in there:
        raise ConfigError(
            name, "no log of that name", expected=" or ".join(there) or "a stack that ran", hint="jsoc logs"
        )
    chosen = [name] if name else there
    width = max((len(each) for each in chosen), default=0)
    for each in chosen:
        for line in tail(log_file(settings, each), lines):
            _show(each, line, width)
    if follow:
        _follow(settings, chosen, width)


def _follow(settings: StackSettings, names: list[str], width: int) -> None:
    open_logs: dict[str, BinaryIO] = {}
    for name in names:
        open_logs[name] = log_file(settings, name).open("rb")
        open_logs[name].seek(0, 2)
    while True:
        quiet = True
        for name, log in open_logs.items():
            for line in log:
                quiet = False
                _show(name, line.decode("utf-8", "replace").rstrip("\n"), width)
        if quiet:
            time.sleep(0.2)


def _show(name: str, line: str, width: int) -> None:
    click.echo(f"{name:{width}}  {printable(line)}")
