"""`jsoc rules`: check, list, build and explain Sigma rules."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli.progress import shown
from pipeline.cli.rule_loading import load_plans, rule_progress, tell_problem
from pipeline.detect.compile import compile_detections
from pipeline.detect.explain import explain as explain_match
from pipeline.detect.explain import lines_of
from pipeline.detect.load import load_documents
from pipeline.detect.placeholders import load_placeholders
from pipeline.detect.plan import DetectionPlan
from pipeline.detect.records import read_file
from pipeline.rulepack import build_pack, check_correlations
from schemas.errors import ConfigError, RuleError, printable
from schemas.event import Fields
from schemas.logsource import derive_logsource
from schemas.member import MemberRegistry, load_registry

_KINDS = ("detection", "correlation", "filter")
_PIPE_WIDTH = 240
_LEVEL_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan", "informational": "dim"}

_paths = click.argument("paths", nargs=-1, type=Path, required=True)
_members = click.option("--members", type=Path, help="Member registry, members.yml.")
_placeholders = click.option("--placeholders", type=Path, help="YAML file with values for `expand`.")
_form = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)


@click.group()
def rules() -> None:
    """Check, list, build and explain Sigma rules.

    \b
    Example:
      jsoc rules check rules/sigma
    """


@rules.command()
@_paths
@_members
@_placeholders
@_form
def check(paths: tuple[Path, ...], members: Path | None, placeholders: Path | None, form: str) -> int:
    """Tell every rule that cannot be honoured: file, line, reason. Exit code 2 if there is one.

    Correlations are checked against the members too, if a registry is given.

    \b
    Example:
      jsoc rules check rules/sigma --members members.yml
    """
    problems: list[RuleError] = []
    documents = load_documents(paths, problems=problems)
    values = load_placeholders(placeholders) if placeholders else None
    with rule_progress() as progress:
        compiled = compile_detections(documents, placeholders=values, on_progress=progress)
    problems += compiled.problems
    problems += check_correlations(documents, compiled.plans, _registry(members))
    if form == "json":
        found = [{"where": problem.where, "what": problem.what, "message": str(problem)} for problem in problems]
        click.echo(json.dumps({"documents": len(documents), "problems": found}, indent=2))
    else:
        for problem in problems:
            click.echo(str(problem))
        kinds = {kind: sum(document.kind == kind for document in documents) for kind in _KINDS}
        counted = ", ".join(f"{count} {kind}s" for kind, count in kinds.items())
        click.echo(f"{counted}: {f'{len(problems)} cannot be honoured' if problems else 'all fine'}", err=True)
    return RuleError.exit_code if problems else 0


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


@rules.command()
@click.argument("pack", type=Path, required=False)
@click.option("--own", is_flag=True, help="Back to the stack's own rule folders, compiled anew.")
def activate(pack: Path | None, own: bool) -> None:  # noqa: FBT001 - click
    """Put a pack's rules in force in the running stack, without a restart and without losing an event.

    Members stay those of the stack, so the version in force, which is printed, is another than the file's. Without
    PACK, the stack's rules are compiled anew. A pack that a worker refuses changes nothing.

    \b
    Example:
      jsoc rules build rules/sigma more-rules --members members.yml -o rules.pack
      jsoc rules activate rules.pack
    """
    from deploy.local.settings import load_stack_settings
    from deploy.local.stack import activate_rules, renew_rules

    if pack is not None and own:
        raise ConfigError("jsoc rules activate", "PACK or --own, not both")
    settings = load_stack_settings()
    with shown(Console(stderr=True)) as observe:
        version = activate_rules(settings, pack, observe) if pack or own else renew_rules(settings, observe)
    click.echo(version)


@rules.command()
@click.argument("rule", type=Path)
@click.argument("event", type=Path)
@click.option("--record", type=int, default=1, show_default=True, help="Which record of the event file.")
@_placeholders
@_form
def explain(rule: Path, event: Path, record: int, placeholders: Path | None, form: str) -> int:
    """Tell part by part why a rule does or does not match an event. Exit code 0 if it matches, else 1.

    \b
    Example:
      jsoc rules explain rules/sigma/detections/portal/login_failed.yml event.json
    """
    plans = load_plans((rule,), placeholders, skip_unsupported=False)
    fields = _read_event(event, record)
    derive_logsource(fields)
    explained = [explain_match(plan, fields) for plan in plans]
    if form == "json":
        click.echo(json.dumps([asdict(one) for one in explained], indent=2, default=str))
    else:
        for one in explained:
            for line in lines_of(one):
                shown = printable(line)
                click.secho(shown, fg="green" if line.startswith("PASS") else None)
    return 0 if any(one.matched for one in explained) else 1


def _read_event(path: Path, number: int) -> Fields:

    for record in read_file(path):
        if record.number == number:
            if record.fields is None:
                raise ConfigError(f"{path}:{number}", record.problem)
            return record.fields
    raise ConfigError(str(path), f"there is no record {number}", expected="a number from 1")


def _registry(path: Path | None) -> MemberRegistry:
    return load_registry(path) if path else MemberRegistry()
