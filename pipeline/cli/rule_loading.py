"""Rules as the commands take them: files, folders and built packs, with progress and every problem told on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pipeline.correlate.correlation import Correlation
from pipeline.correlate.federation_block import is_enabled
from pipeline.correlate.rule import compile_correlations
from pipeline.detect.compile import compile_detections
from pipeline.detect.load import load_documents
from pipeline.detect.placeholders import load_placeholders, with_lists
from pipeline.detect.plan import DetectionPlan
from pipeline.detect.taxonomy import TAXONOMIES, Taxonomy
from pipeline.rule_cache import RuleCache
from pipeline.rulepack import detection_ids, is_pack, read_pack
from schemas.errors import ConfigError, RuleError, printable
from schemas.member import MemberRegistry

WORTH_A_BAR: Final = 300

taxonomy_option = click.option(
    "--taxonomy",
    type=click.Choice(TAXONOMIES),
    help="Field names of the events: as rules write them (the default), ECS, or each event's own. A pack has its own.",
)
"""Which names rules are compiled for; None says nothing, as is right for a built pack."""


@contextmanager
def rule_progress() -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal's stderr for long compilations; elsewhere nothing."""
    console = Console(stderr=True)
    columns = (TextColumn("compiling rules"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("rules", total=None, visible=False)

        def note(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, visible=total >= WORTH_A_BAR)

        yield note


def tell_problem(problem: RuleError) -> None:
    """One line on stderr for a rule that was left out."""
    click.echo(f"skipped: {problem}", err=True)


def save_cache(cache: RuleCache) -> None:
    """Save what was compiled; a folder that cannot be written makes the next build slower, and is told."""
    try:
        cache.save()
    except OSError as error:
        click.echo(f"the compiled rules are not remembered: {error}", err=True)


def load_plans(
    paths: Sequence[Path], placeholders: Path | None, *, skip_unsupported: bool, taxonomy: Taxonomy | None = None
) -> tuple[DetectionPlan, ...]:
    """The detections of rule files, folders and packs.

    Raises:
        RuleError: the first rule that cannot be honoured, unless skipped.
        ConfigError: a path that is not there; a damaged pack; a taxonomy for a pack, which is built for one.
    """
    packs = [path for path in paths if is_pack(path)]
    files = [path for path in paths if path not in packs]
    if packs and taxonomy is not None:
        where = printable(str(packs[0]))
        raise ConfigError(where, "a pack's taxonomy was chosen when it was built", hint="jsoc rules build --taxonomy")
    plans = [plan for path in packs for plan in read_pack(path).detections]
    if files:
        problems: list[RuleError] = []
        documents = load_documents(files, problems=problems if skip_unsupported else None)
        values = with_lists(files, load_placeholders(placeholders) if placeholders else None)
        with rule_progress() as progress:
            compiled = compile_detections(
                documents, placeholders=values, taxonomy=taxonomy or "sigma", on_progress=progress
            )
        problems += compiled.problems
        if problems and not skip_unsupported:
            raise problems[0]
        for problem in problems:
            tell_problem(problem)
        plans += compiled.plans
    return tuple(plans)


def load_correlations(paths: Sequence[Path], plans: Sequence[DetectionPlan]) -> list[Correlation]:
    """The enabled correlations of rule files, folders and packs, over detections that are loaded already.

    Raises:
        RuleError: the first correlation that cannot be honoured.
        ConfigError: a path that is not there; a damaged pack.
    """
    packs = [path for path in paths if is_pack(path)]
    files = [path for path in paths if path not in packs]
    found = [rule for path in packs for rule in read_pack(path).correlations]
    if files:
        # What cannot be read was told, or refused, with the detections.
        documents = load_documents(files, problems=[])
        enabled = [one for one in documents if one.kind != "correlation" or is_enabled(one)]
        found += compile_correlations(enabled, detection_ids(plans), MemberRegistry())
    return found
