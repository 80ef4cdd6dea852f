"""`jsoc up`: start the one-machine stack."""

from __future__ import annotations

import click
from rich.console import Console

from deploy.local.settings import MAX_TASKMANAGERS, load_stack_settings
from deploy.local.stack import up as bring_up
from pipeline.cli.first_password import first_password_shown
from pipeline.cli.progress import shown


@click.command()
@click.option(
    "--taskmanagers",
    type=click.IntRange(1, MAX_TASKMANAGERS),
    help="Flink TaskManagers, one slot each; also the job's parallelism. Remembered.  [default: 1]",
)
def up(taskmanagers: int | None) -> None:
    """Start the one-machine stack: Kafka, Elasticsearch, Flink with the job, clock, indexer and dashboard.

    Starts only what is missing, so it also mends a stack of which something died. All ports are on 127.0.0.1,
    from JSOC_PORT_BASE (19000) on; all files in JSOC_HOME (`.jointsoc` in the project).

    \b
    Example:
      jsoc up
    """
    settings = load_stack_settings(taskmanagers=taskmanagers)
    console = Console(stderr=True)
    with first_password_shown(settings.secrets, console), shown(console) as observe:
        bring_up(settings, observe)
    console.print(f"up. Dashboard: {settings.dashboard_url}", highlight=False)
