"""Rules as the commands take them: files, folders and built packs, with progress and every problem told on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pipeline.compiled_rules import compile_rules
from pipeline.correlate.correlation import Correlation
from pipeline.correlate.federation_block import is_enabled
from pipeline.correlate.rule import compile_correlations
from pipeline.detect.load import SUFFIXES, load_documents
from pipeline.detect.placeholders import load_placeholders
from pipeline.detect.plan import DetectionPlan
from pipeline.detect.taxonomy import TAXONOMIES, Taxonomy
from pipeline.rule_cache import RuleCache, user_cache
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


def is_rules(path: Path) -> bool:
    """Whether a path is of rules, not of events: a folder, a `.yml` file, a pack."""
    return path.is_dir() or path.suffix in SUFFIXES or is_pack(path)


def load_plans(
    paths: Sequence[Path],
    placeholders: Path | None,
    *,
    skip_unsupported: bool,
    taxonomy: Taxonomy | None = None,
    on_correlations: Callable[[int], None] | None = None,
) -> tuple[DetectionPlan, ...]:
    """The detections of rule files, folders and packs.

    Args:
        paths: what to load.
        placeholders: YAML file with values for `expand`.
        skip_unsupported: name rules that cannot be honoured on stderr instead of failing.
        taxonomy: the field names that events have.
        on_correlations: told how many correlations are among them; they are left out.

    Raises:
        RuleError: the first rule that cannot be honoured, unless skipped.
        ConfigError: a path that is not there; a damaged pack; a taxonomy for a pack, which is built for one.
    """
    packs = [path for path in paths if is_pack(path)]
    files = [path for path in paths if path not in packs]
    if packs and taxonomy is not None:
        where = printable(str(packs[0]))
        raise ConfigError(where, "a pack's taxonomy was chosen when it was built", hint="jsoc rules build --taxonomy")
    loaded = [_of_pack(path) for path in packs]
    if files:
        loaded.append(_of_files(files, placeholders, taxonomy or "sigma", skip_unsupported=skip_unsupported))
    if not any(map(any, loaded)):
        raise ConfigError(" ".join(printable(str(path)) for path in paths), "no rules here", expected="Sigma rules")
    correlations = sum(one.correlations for one in loaded)
    if correlations and on_correlations:
        on_correlations(correlations)
    plans = tuple(plan for one in loaded for plan in one.plans)
    _check_ids(plans)
    return plans


class _Loaded(NamedTuple):
    plans: list[DetectionPlan]
    correlations: int
    skipped: int


def _of_pack(path: Path) -> _Loaded:
    pack = read_pack(path)
    return _Loaded(pack.detections, len(pack.correlations), 0)


def _of_files(
    files: Sequence[Path], placeholders: Path | None, taxonomy: Taxonomy, *, skip_unsupported: bool
) -> _Loaded:
    cache = RuleCache(user_cache())
    with rule_progress() as progress:
        compiled = compile_rules(
            files,
            placeholders=load_placeholders(placeholders) if placeholders else None,
            taxonomy=taxonomy,
            skip_unsupported=skip_unsupported,
            on_progress=progress,
            cache=cache,
        )
    save_cache(cache)
    for problem in compiled.problems:
        tell_problem(problem)
    correlations = sum(one.kind == "correlation" for one in compiled.documents)
    return _Loaded(compiled.plans, correlations, len(compiled.problems))


def _check_ids(plans: Sequence[DetectionPlan]) -> None:
    """Within files and within a pack ids are unique; across them a rule could be loaded twice."""
    known: dict[str, DetectionPlan] = {}
    for plan in plans:
        other = known.setdefault(plan.id, plan)
        if other is not plan:
            raise RuleError(plan.source, f"this id belongs to another rule ({other.source})", got=plan.id)


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
