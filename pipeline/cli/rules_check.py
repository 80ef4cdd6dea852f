"""`jsoc rules check`: what is wrong with rules, and what looks wrong."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.cli.rule_loading import rule_progress
from pipeline.detect.placeholders import load_placeholders
from pipeline.rule_cache import user_cache
from pipeline.workbench.check import check_rules
from schemas.errors import RuleError
from schemas.member import MemberRegistry, load_registry


@click.command()
@click.argument("paths", nargs=-1, type=Path, required=True)
@click.option("--members", type=Path, help="Member registry, members.yml: checks correlations against the members.")
@click.option("--placeholders", type=Path, help="YAML file with values for `expand`.")
@click.option("--ignore", "-x", multiple=True, help="Name of a check whose warnings are left out; again for more.")
@click.option("--errors-only", is_flag=True, help="Only what fails the build.")
@click.option("--fresh", is_flag=True, help="Check every file anew; remember nothing.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def check(
    paths: tuple[Path, ...],
    members: Path | None,
    placeholders: Path | None,
    ignore: tuple[str, ...],
    errors_only: bool,  # noqa: FBT001 - click
    fresh: bool,  # noqa: FBT001 - click
    form: str,
) -> int:
    """Tell what is wrong with rules: file, line, reason.

    Exit code 2 if a rule cannot be honoured, else 1 if there are warnings, else 0.

    Warnings come from pySigma's validators, which need no network here, and from checks of our own: unknown_key,
    unknown_logsource, unknown_field, attack_tag, missing_dataset, share_policy, unused, duplicate_title. Files that did
    not change are not checked twice.

    \b
    Example:
      jsoc rules check rules/sigma --members members.yml
    """
    values = load_placeholders(placeholders) if placeholders else {}
    registry = load_registry(members) if members else MemberRegistry()
    with rule_progress() as progress:
        checked = check_rules(paths, registry, values, memory=None if fresh else _memory(), on_progress=progress)
    errors = [finding for finding in checked.findings if finding.severity == "error"]
    warnings = [
        finding for finding in checked.findings if finding.severity == "warning" and finding.check not in ignore
    ]
    shown = errors if errors_only else [*errors, *warnings]
    if form == "json":
        found = [
            {"severity": one.severity, "check": one.check, "where": one.where, "message": one.message} for one in shown
        ]
        click.echo(json.dumps({"documents": checked.documents, "findings": found}, indent=2, ensure_ascii=False))
    else:
        for one in shown:
            click.secho(one.message, fg="red" if one.severity == "error" else None)
    told = f"{len(errors)} cannot be honoured, {len(shown) - len(errors)} warnings" if shown else "all fine"
    click.echo(f"{checked.documents} rules in {checked.files} files: {told}", err=True)
    return RuleError.exit_code if errors else 1 if shown else 0


def _memory() -> Path | None:
    try:
        return user_cache() / "checked.msgpack"
    except RuntimeError:  # a user without a home
        return None
