"""`jsoc rules list`: the rules of files, folders and packs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli.rule_loading import load_plans
from pipeline.detect.plan import DetectionPlan
from schemas.errors import printable

_PIPE_WIDTH = 240
_LEVEL_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan", "informational": "dim"}


@click.command(name="list")
@click.argument("paths", nargs=-1, type=Path, required=True)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_rules(paths: tuple[Path, ...], form: str) -> None:
    """List the detections of rule files, folders or packs.

    \b
    Example:
      jsoc rules list rules/sigma
    """
    plans = load_plans(paths, None, skip_unsupported=True)
    if form == "json":
        click.echo(json.dumps([_summary(plan) for plan in plans], indent=2, ensure_ascii=False))
        return
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("level", no_wrap=True)
    table.add_column("title", overflow="fold")
    table.add_column("log source", overflow="fold")
    table.add_column("id", no_wrap=True)
    for plan in plans:
        level = Text(plan.level, _LEVEL_STYLES.get(plan.level, ""))
        table.add_row(level, Text(printable(plan.title)), Text(str(plan.logsource)), Text(plan.id, "dim"))
    # A pipe has no width; rules are not to be folded for it.
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def _summary(plan: DetectionPlan) -> dict[str, Any]:
    return {
        "id": plan.id,
        "name": plan.name,
        "title": plan.title,
        "level": plan.level,
        "status": plan.status,
        "logsource": str(plan.logsource),
        "alerts": plan.alerts,
        "author": plan.author,
        "license": plan.license,
        "source": plan.source,
    }
