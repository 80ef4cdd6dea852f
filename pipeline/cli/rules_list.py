"""`jsoc rules list`: the rules of files, folders and packs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli.rule_loading import load_plans
from pipeline.correlate.correlation import Correlation
from pipeline.correlate.federation_block import is_enabled
from pipeline.correlate.rule import compile_correlations
from pipeline.detect.load import load_documents
from pipeline.detect.plan import DetectionPlan
from pipeline.rulepack import detection_ids, is_pack, read_pack
from schemas.errors import RuleError, printable
from schemas.member import MemberRegistry

_PIPE_WIDTH = 240
_LEVEL_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan", "informational": "dim"}


@click.command(name="list")
@click.argument("paths", nargs=-1, type=Path, required=True)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_rules(paths: tuple[Path, ...], form: str) -> None:
    """List the detections and correlations of rule files, folders or packs; disabled ones say so.

    \b
    Example:
      jsoc rules list rules/sigma
    """
    plans = load_plans(paths, None, skip_unsupported=True)
    rows = [_detection(plan) for plan in plans] + list(_correlations(paths, plans))
    if form == "json":
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("level", no_wrap=True)
    table.add_column("title", overflow="fold")
    table.add_column("sees", overflow="fold")
    table.add_column("author, licence", overflow="fold")
    table.add_column("source", overflow="fold")
    table.add_column("id", no_wrap=True)
    for row in rows:
        title = Text(printable(row["title"]))
        if not row["enabled"]:
            title.append(" (disabled)", "dim")
        level = Text(row["level"], _LEVEL_STYLES.get(row["level"], ""))
        credit = Text(printable(", ".join(filter(None, (row["author"], row["license"])))))
        source = Text(printable(row["source"]), "dim")
        table.add_row(level, title, Text(printable(row["sees"])), credit, source, Text(printable(row["id"]), "dim"))
    # A pipe has no width; rules are not to be folded for it.
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def _correlations(paths: Sequence[Path], plans: Sequence[DetectionPlan]) -> Iterator[dict[str, Any]]:
    for path in paths:
        if is_pack(path):
            yield from (_correlation(rule, enabled=True) for rule in read_pack(path).correlations)
    files = [path for path in paths if not is_pack(path)]
    documents = load_documents(files, problems=[]) if files else []
    enabled = {one.id: is_enabled(one) for one in documents if one.kind == "correlation"}
    if not enabled:
        return
    try:
        compiled = compile_correlations(documents, detection_ids(plans), MemberRegistry())
    except RuleError as problem:
        click.echo(f"correlations are not listed: {problem}", err=True)
        return
    yield from (_correlation(rule, enabled=enabled[rule.id]) for rule in sorted(compiled, key=lambda one: one.id))


def _detection(plan: DetectionPlan) -> dict[str, Any]:
    return _row("detection", plan, sees=str(plan.logsource), enabled=True)


def _correlation(rule: Correlation, *, enabled: bool) -> dict[str, Any]:
    used = ", ".join(reference.title for reference in rule.references)
    groups = f"at {rule.min_organizations} institutions; " if rule.min_organizations > 1 else ""
    return _row("correlation", rule, sees=f"{groups}{rule.kind} of {used}", enabled=enabled)


def _row(kind: str, rule: DetectionPlan | Correlation, *, sees: str, enabled: bool) -> dict[str, Any]:
    return {
        "kind": kind,
        "id": rule.id,
        "name": rule.name,
        "title": rule.title,
        "level": rule.level,
        "status": rule.status,
        "enabled": enabled,
        "sees": sees,
        "alerts": rule.alerts,
        "author": rule.author,
        "license": rule.license,
        "source": rule.source,
    }
