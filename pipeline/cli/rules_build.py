"""`jsoc rules build` and `activate`: a pack of rules and members, and putting it in force."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from pipeline.cli.progress import shown
from pipeline.cli.rule_loading import rule_progress, save_cache, tell_problem
from pipeline.detect.placeholders import load_placeholders
from pipeline.detect.taxonomy import TAXONOMIES, Taxonomy
from pipeline.rule_cache import RuleCache, user_cache
from pipeline.rulepack import build_pack
from schemas.errors import ConfigError
from schemas.member import MemberRegistry, load_registry


@click.command()
@click.argument("paths", nargs=-1, type=Path, required=True)
@click.option("--output", "-o", type=Path, required=True, help="Where the pack is written.")
@click.option("--members", type=Path, help="Member registry, members.yml.")
@click.option("--placeholders", type=Path, help="YAML file with values for `expand`.")
@click.option(
    "--taxonomy",
    type=click.Choice(TAXONOMIES),
    default="both",
    show_default=True,
    help="Field names of the events: as rules write them, ECS, or each event's own.",
)
@click.option("--skip-unsupported", is_flag=True, help="Leave out rules that cannot be honoured; each is named.")
@click.option("--cache", "cache_folder", type=Path, help="Folder of compiled rules.  [default: ~/.cache/jointsoc]")
@click.option("--no-cache", is_flag=True, help="Compile every rule anew, and remember none.")
def build(
    paths: tuple[Path, ...],
    output: Path,
    members: Path | None,
    placeholders: Path | None,
    taxonomy: Taxonomy,
    skip_unsupported: bool,  # noqa: FBT001 - click
    cache_folder: Path | None,
    no_cache: bool,  # noqa: FBT001 - click
) -> None:
    """Compile rules and member registry into one pack. Exit code 2 if a rule cannot be honoured.

    The same rules and members give the same bytes. Rules whose files did not change since an earlier build are not
    compiled again.

    \b
    Example:
      jsoc rules build rules/sigma --members members.yml -o rules.pack
    """
    cache = None if no_cache else RuleCache(cache_folder or user_cache())
    with rule_progress() as progress:
        pack = build_pack(
            paths,
            load_registry(members) if members else MemberRegistry(),
            skip_unsupported=skip_unsupported,
            placeholders=load_placeholders(placeholders) if placeholders else None,
            taxonomy=taxonomy,
            on_progress=progress,
            on_problem=tell_problem,
            cache=cache,
            on_too_few=tell_problem if skip_unsupported else None,
        )
    pack.write(output)
    if cache is not None:
        save_cache(cache)
    click.echo(f"{output}: version {pack.version}", err=True)
    click.echo(f"{len(pack.detections)} detections, {len(pack.correlations)} correlations", err=True)


@click.command()
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
