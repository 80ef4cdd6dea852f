"""`jsoc setup`: fetch the servers' parts and check them."""

from __future__ import annotations

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.local.java import find_java_home
from deploy.local.jvm_parts import fetch_parts, load_parts, missing_parts
from deploy.local.settings import load_stack_settings


@click.command()
def setup() -> None:
    """Fetch Kafka, Flink's Kafka connector and Elasticsearch with Maven, and check every file's SHA-256.

    Skips what is there. Goes to JSOC_JVM_HOME, by default `.jointsoc/jvm` in the project.

    \b
    Example:
      jsoc setup
    """
    settings, parts = load_stack_settings(), load_parts()
    console = Console(stderr=True)
    java_home = find_java_home()
    missing = missing_parts(settings.jvm_home, parts)
    if not missing:
        console.print(f"setup: everything is there ({settings.jvm_home})", highlight=False)
        return
    columns = (TextColumn("{task.description:24}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bars = {name: progress.add_task(name, total=parts.parts[name].bytes) for name in missing}

        def report(name: str, done: int, total: int) -> None:
            progress.update(bars[name], completed=done, total=total)

        fetch_parts(settings.jvm_home, java_home, report, parts)
    console.print(f"setup: done ({settings.jvm_home})", highlight=False)
