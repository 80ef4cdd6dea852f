"""`jsoc index`: the alert indices in Elasticsearch."""

from __future__ import annotations

import threading
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from connectors.indexer import IndexerSettings
from connectors.rebuild import rebuild as make_anew
from connectors.settings import load_settings
from deploy.local.settings import load_stack_settings
from schemas.errors import ConfigError


@click.group()
def index() -> None:
    """The alert indices in Elasticsearch.

    \b
    Example:
      jsoc index rebuild
    """


@index.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="YAML file as the indexer's, with a user that may remove indices; default: the stack's etc/rebuild.yml.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def rebuild(config: Path | None, *, yes: bool) -> None:
    """Make the alert indices anew from Kafka.

    What people wrote (workflow-*, audit-*) is kept. Months with alerts that Kafka may not hold any more are kept too,
    and written over. The indexer may run meanwhile; until it is done the queue misses alerts.

    \b
    Example:
      jsoc index rebuild --yes
    """
    path = config or load_stack_settings().etc / "rebuild.yml"
    if config is None and not path.exists():
        raise ConfigError(str(path), "there is no stack here yet", hint="jsoc up, or --config FILE")
    settings = load_settings(path, IndexerSettings)
    if not yes:
        click.confirm(
            f"Remove the alert indices of {settings.elasticsearch.url} and make them anew?", abort=True, err=True
        )
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("alerts", total=None)
        rebuilt = make_anew(
            settings, lambda done, whole: progress.update(task, completed=done, total=whole), threading.Event()
        )
    for name in rebuilt.removed:
        click.echo(f"made anew     {name}")
    for name in rebuilt.kept:
        click.echo(f"written over  {name}")
    click.echo(f"{rebuilt.records:,} alert revisions read from Kafka, {rebuilt.refused:,} of them refused", err=True)
