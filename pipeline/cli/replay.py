"""`jsoc replay`: events in, settled alerts out; no services.

The stages are those of the Flink job, fed with the records that the files might have been: append time is event time,
and a tick follows each batch. So a replay and the job cannot disagree.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.cli.replay_records import Source, disorder_of, read_merged, registry_of, source_of
from pipeline.cli.rule_loading import rule_progress, save_cache, tell_problem
from pipeline.correlate.timespan import parse_timespan
from pipeline.jobs.active_pack import settle_memory
from pipeline.jobs.local_job import LocalJob, patient
from pipeline.jobs.message import Passing
from pipeline.rule_cache import RuleCache, user_cache
from pipeline.rulepack import RulePack, build_pack, is_pack, read_pack
from schemas.dead_letter import DeadLetter
from schemas.errors import ConfigError, RuleError, printable
from schemas.member import MemberRegistry, load_registry

BATCH: Final = 2_000
PROBLEMS_SHOWN: Final = 20


@click.command()
@click.option("--rules", "-r", "rule_paths", type=Path, multiple=True, required=True, help="Rule file, folder or pack.")
@click.option("--members", type=Path, help="Member registry, members.yml; without it each member is its own group.")
@click.option("--eager", is_flag=True, help="Every revision as it would have been published, not only settled ones.")
@click.option("--lateness", help="How late a file's events may be, as in the job; left out, however late they are.")
@click.option("--skip-unsupported", is_flag=True, help="Leave out rules that cannot be honoured; each is named.")
@click.argument("files", nargs=-1, required=True, metavar="member=FILE...")
def replay(
    rule_paths: tuple[Path, ...],
    members: Path | None,
    eager: bool,  # noqa: FBT001 - click
    lateness: str | None,
    skip_unsupported: bool,  # noqa: FBT001 - click
    files: tuple[str, ...],
) -> int:
    """Run event files (NDJSON, JSON, gzip, EVTX) through detection and correlation.

    Writes one alert per line, settled, sorted by id; the end of the input settles everything. A file without `member=`
    takes `organization.id` from its events. Exit code 1 if some events could not be used; stderr says which.

    \b
    Example:
      jsoc replay --rules rules/sigma kestrel-bank=a.ndjson cobalt-bank=b.ndjson.gz
    """
    sources = [source_of(argument) for argument in files]
    stated = parse_span(lateness, "--lateness") if lateness else None
    pack = _load(rule_paths, sources, members, skip_unsupported=skip_unsupported)
    offsets = pack.registry().clock_offsets()
    if stated is None:
        pack, span = patient(pack, disorder_of(sources, offsets))
    else:
        span = stated
    job = LocalJob(pack, span, refusal_teller(), settled_only=not eager)
    settle_memory()
    written = 0
    settled: dict[str, bytes] = {}
    for alert in _run(job, sources, offsets):
        if eager:
            click.echo(alert.value)
            written += 1
        else:
            settled[alert.key] = alert.value
    for _, document in sorted(settled.items()):
        click.echo(document)
    _tell(job, written or len(settled))
    return 1 if job.unused else 0


def parse_span(text: str, option: str) -> int:
    """An option's span of time in milliseconds.

    Raises:
        ConfigError: not a span of time.
    """
    try:
        return parse_timespan(text, option)
    except RuleError as error:
        raise ConfigError(error.where, error.what, got=text, expected=error.expected) from error


def refusal_teller() -> Callable[[DeadLetter], None]:
    """Tells the first refused lines on stderr, where and why."""
    places = iter(range(PROBLEMS_SHOWN))

    def tell(letter: DeadLetter) -> None:
        if next(places, None) is not None:
            place = f"{letter.topic}: line {letter.offset + 1}"
            click.echo(f"{printable(place)}: {letter.reason}: {printable(letter.detail)[:200]}", err=True)

    return tell


def _tell(job: LocalJob, alerts: int) -> None:
    """Say on stderr what became of every line."""
    totals = job.totals
    click.echo(
        f"{totals['lines']:,} lines: {totals['evaluated']:,} events, {totals['matched']:,} matched a detection, "
        f"{totals['late']:,} too late, {totals['dead']:,} refused; {alerts:,} alerts",
        err=True,
    )
    for (reason, correlation, field), count in islice(job.dropped.most_common(), PROBLEMS_SHOWN):
        click.echo(f"not counted by {printable(correlation)}: {count:,} times {reason} of {printable(field)}", err=True)


def _load(
    paths: Sequence[Path], sources: Sequence[Source], members: Path | None, *, skip_unsupported: bool
) -> RulePack:
    """The rules, with the registry given or one made of the members that the files name."""
    packs = [path for path in paths if is_pack(path)]
    if packs and len(paths) > 1:
        raise ConfigError(str(packs[0]), "a pack is complete by itself", hint="give the pack alone, or only rule files")
    registry = load_registry(members) if members else MemberRegistry()
    if packs:
        pack = read_pack(packs[0])
        registry = registry if members else pack.registry()
    else:
        cache = RuleCache(user_cache())
        with rule_progress() as progress:
            pack = build_pack(
                paths,
                registry,
                skip_unsupported=skip_unsupported,
                cache=cache,
                on_progress=progress,
                on_problem=tell_problem,
                on_too_few=tell_problem if skip_unsupported else None,
            )
        save_cache(cache)
    if not registry.members:
        registry = registry_of(sources)
    for source in sources:
        if source.member is not None and source.member not in registry.enabled_ids():
            known = ", ".join(sorted(registry.enabled_ids()))
            raise ConfigError(f"{source.member}={source.path}", "not an enabled member of the registry", expected=known)
    return RulePack(pack.detections, pack.correlations, registry)


def _run(job: LocalJob, sources: Sequence[Source], offsets: Mapping[str, int]) -> Iterator[Passing]:
    console = Console(stderr=True)
    columns = (TextColumn("replaying"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        # Compressed files make the bar reach its end early; it is there to show that something moves.
        total = sum(source.path.stat().st_size for source in sources if source.path.exists())
        task = progress.add_task("replay", total=total)
        lines = read_merged(sources, lambda size: progress.advance(task, size), offsets)
        while batch := list(islice(lines, BATCH)):
            yield from job.feed(batch)
            sys.stdout.flush()
        yield from job.finish()
