"""`jsoc down`: stop the one-machine stack."""

from __future__ import annotations

import click
from rich.console import Console

from deploy.local.settings import load_stack_settings
from deploy.local.stack import down as take_down
from pipeline.cli.progress import shown


@click.command()
@click.option("--wipe", is_flag=True, help="Also remove data, passwords, members, configuration and logs.")
@click.option("--yes", is_flag=True, help="Do not ask before wiping.")
def down(*, wipe: bool, yes: bool) -> None:
    """Stop what `jsoc up` started, and nothing else; the job leaves a savepoint to continue from.

    \b
    Example:
      jsoc down
    """
    settings = load_stack_settings()
    if wipe and not yes:
        click.confirm(f"Remove all data of the stack in {settings.home}?", abort=True, err=True)
    console = Console(stderr=True)
    with shown(console) as observe:
        ended = take_down(settings, observe, wipe=wipe)
    words = "down" if ended else "nothing was running"
    console.print(f"{words}{', all data removed' if wipe else ''}.", highlight=False)
