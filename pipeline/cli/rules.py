"""`jsoc rules`: the rule author's commands; `list` and `build` here, the others each in a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli.lazy_group import LazyGroup
from pipeline.cli.rule_loading import load_plans, rule_progress, tell_problem
from pipeline.detect.placeholders import load_placeholders
from pipeline.detect.plan import DetectionPlan
from pipeline.rulepack import build_pack
from schemas.errors import printable
from schemas.member import MemberRegistry, load_registry

_PIPE_WIDTH = 240
_LEVEL_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan", "informational": "dim"}

_paths = click.argument("paths", nargs=-1, type=Path, required=True)
_members = click.option("--members", type=Path, help="Member registry, members.yml.")
_placeholders = click.option("--placeholders", type=Path, help="YAML file with values for `expand`.")
_form = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)


COMMANDS: Final = {
    "check": ("pipeline.cli.rules_check:check", "Tell what is wrong with rules, and what looks wrong."),
    "test": ("pipeline.cli.rules_test:test", "Run the cases of rules."),
    "explain": ("pipeline.cli.rules_explain:explain", "Why a rule does or does not fire on events."),
    "backtest": ("pipeline.cli.rules_backtest:backtest", "What a rule would have done on files of events."),
    "new": ("pipeline.cli.rules_new:new", "Write a rule to start from, with its cases."),
}


@click.group(cls=LazyGroup, table=COMMANDS)
def rules() -> None:
    """Write, check, test, explain and build Sigma rules.

    \b
    Example:
      jsoc rules check rules/sigma
    """


@rules.command(name="list")
@_paths
@_form
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


@rules.command()
@_paths
@click.option("--output", "-o", type=Path, required=True, help="Where the pack is written.")
@_members
@_placeholders
@click.option("--skip-unsupported", is_flag=True, help="Leave out rules that cannot be honoured; each is named.")
def build(
    paths: tuple[Path, ...],
    output: Path,
    members: Path | None,
    placeholders: Path | None,
    skip_unsupported: bool,  # noqa: FBT001 - click
) -> None:
    """Compile rules and member registry into one pack. Exit code 2 if a rule cannot be honoured.

    \b
    Example:
      jsoc rules build rules/sigma --members members.yml -o rules.pack
    """
    with rule_progress() as progress:
        pack = build_pack(
            paths,
            _registry(members),
            skip_unsupported=skip_unsupported,
            placeholders=load_placeholders(placeholders) if placeholders else None,
            on_progress=progress,
            on_problem=tell_problem,
        )
    pack.write(output)
    click.echo(f"{output}: version {pack.version}", err=True)
    click.echo(f"{len(pack.detections)} detections, {len(pack.correlations)} correlations", err=True)


def _registry(path: Path | None) -> MemberRegistry:
    return load_registry(path) if path else MemberRegistry()
