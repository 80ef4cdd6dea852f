"""`jsoc index`: the indices in Elasticsearch, and keys to them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from connectors.api_keys import make_api_key
from connectors.elasticsearch import open_client
from connectors.indexer import IndexerSettings
from connectors.rebuild import rebuild as make_anew
from connectors.settings import ElasticsearchConnection, load_settings
from deploy.local.elasticsearch_users import ROLES
from deploy.local.settings import load_stack_settings
from schemas.errors import ConfigError


@click.group()
def index() -> None:
    """The indices in Elasticsearch, and keys to them.

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


@index.command()
@click.argument("process", type=click.Choice(list(ROLES)))
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    required=True,
    help="YAML file: url, username, password_file and ca_file of a user that may make API keys.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="New file for the key, mode 0600.")
@click.option("--days", type=click.IntRange(min=1), help="Until it expires; default: never.")
def key(process: str, config: Path, out: Path, days: int | None) -> None:
    """Make an API key for a process, with the rights its user has on the one-machine stack and no more.

    For servers with API keys (`jsoc status` says whether they have them); name the file as api_key_file in the
    process's configuration, in place of username and password_file.

    \b
    Example:
      jsoc index key indexer --config admin.yml --out /etc/jointsoc/indexer.key --days 365
    """
    connection = load_settings(config, ElasticsearchConnection)
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigError(str(out), f"cannot make the file: {error.strerror}") from error
    made = ""
    try:
        with open_client(connection) as client:
            made = make_api_key(client, connection, process, ROLES[process], days)
        os.write(descriptor, made.encode())
    finally:
        os.close(descriptor)
        if not made:
            out.unlink()
    click.echo(f"{out}: key for {process}", err=True)
