"""`jsoc replay`: events in, settled alerts out; no services.

The stages are those of the Flink job, fed with the records that the files might have been: append time is event time,
and a tick follows each batch. So a replay and the job cannot disagree.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import click
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.cli.replay_records import Line, Source, members_of, read_merged
from pipeline.cli.rule_loading import rule_progress, tell_problem
from pipeline.correlate.store import DictStore
from pipeline.correlate.timespan import parse_timespan
from pipeline.jobs.detect_stage import DetectStage, Record
from pipeline.jobs.keyed_stage import KeyedStage, KeyedState
from pipeline.jobs.message import AccountDelta, Passing, address_of, encode
from pipeline.jobs.settings import ALERTS, DEAD_LETTERS
from pipeline.rulepack import RulePack, build_pack, is_pack, read_pack
from schemas.alert import Alert, alert_from_json
from schemas.dead_letter import DeadLetter
from schemas.errors import ConfigError, RuleError, printable
from schemas.member import Member, MemberRegistry, load_registry
from schemas.tick import Tick, encode_tick

BATCH: Final = 2_000
PROBLEMS_SHOWN: Final = 20
_NAMED: Final = re.compile(r"([a-z0-9-]{2,40})=(.+)", re.DOTALL)


@click.command()
@click.option("--rules", "-r", "rule_paths", type=Path, multiple=True, required=True, help="Rule file, folder or pack.")
@click.option("--members", type=Path, help="Member registry, members.yml; without it each member is its own group.")
@click.option("--eager", is_flag=True, help="Every revision as it would have been published, not only settled ones.")
@click.option("--lateness", default="1h", show_default=True, help="How far out of order a file's events may be.")
@click.option("--skip-unsupported", is_flag=True, help="Leave out detections that cannot be honoured; each is named.")
@click.argument("files", nargs=-1, required=True, metavar="member=FILE...")
def replay(
    rule_paths: tuple[Path, ...],
    members: Path | None,
    eager: bool,  # noqa: FBT001 - click
    lateness: str,
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
    sources = [_source(argument) for argument in files]
    span = parse_lateness(lateness)
    pack = _load(rule_paths, sources, members, skip_unsupported=skip_unsupported)
    job = LocalJob(pack, span)
    written = 0
    settled: dict[str, str] = {}
    for alert, document in _run(job, sources):
        if eager:
            click.echo(document)
            written += 1
        elif alert.jointsoc.alert.state == "settled":
            settled[alert.id] = document
    for _, document in sorted(settled.items()):
        click.echo(document)
    job.tell(written or len(settled))
    return 1 if job.unused else 0


def parse_lateness(text: str) -> int:
    """`--lateness` in milliseconds.

    Raises:
        ConfigError: not a span of time.
    """
    try:
        return parse_timespan(text, "--lateness")
    except RuleError as error:
        raise ConfigError(error.where, error.what, got=text, expected=error.expected) from error


class LocalJob:
    """The stages of the Flink job in one process.

    Args:
        pack: rules, correlations and members.
        lateness: ms; as in the job's settings.
    """

    def __init__(self, pack: RulePack, lateness: int) -> None:
        self._lateness = lateness
        self._spans = max((rule.timespan + rule.suppress for rule in pack.correlations), default=0)
        self._detect = DetectStage(pack, lateness)
        self._state = _Addresses()
        self._keyed = KeyedStage(pack, lateness, self._state)
        self._topics: dict[str, int] = {}
        self._newest = 0
        self._shown = 0
        self.totals: Counter[str] = Counter()

    @property
    def unused(self) -> int:
        """Lines that could not be correlated: no events, or too late."""
        return self.totals["dead"] + self.totals["late"]

    def feed(self, lines: Iterable[Line]) -> Iterator[Passing]:
        """One batch of lines in the order of their append times, then a tick; yields alerts."""
        records = [
            Record(line.raw, line.topic, line.partition, line.number, line.append_time, tick=False) for line in lines
        ]
        for record in records:
            self._topics[record.topic] = max(record.partition + 1, self._topics.get(record.topic, 1))
            self._newest = max(self._newest, record.append_time)
        yield from self._process([*self._ticks(self._newest), *records, *self._ticks(self._newest)])

    def finish(self) -> Iterator[Passing]:
        """Settle everything; yields alerts."""
        yield from self._process(self._ticks(self._newest + self._lateness + self._spans + 1))

    def tell(self, alerts: int) -> None:
        """Say on stderr what became of every line."""
        totals = self.totals
        click.echo(
            f"{totals['lines']:,} lines: {totals['evaluated']:,} events, {totals['matched']:,} matched a detection, "
            f"{totals['late']:,} too late, {totals['dead']:,} refused; {alerts:,} alerts",
            err=True,
        )

    def _ticks(self, time: int) -> list[Record]:
        value = encode_tick(Tick(self._topics))
        return [
            Record(value, topic, partition, 0, time, tick=True)
            for topic, count in self._topics.items()
            for partition in range(count)
        ]

    def _process(self, records: Sequence[Record]) -> Iterator[Passing]:
        for message in self._detect.process(records):
            if isinstance(message, AccountDelta):
                for counter in ("lines", "evaluated", "matched", "late", "dead"):
                    self.totals[counter] += getattr(message, counter)
                continue
            data = encode(message)
            self._state.address = address_of(data)
            passings, _ = self._keyed.process(self._state.address, data)
            for passing in passings:
                if passing.topic == ALERTS:
                    yield passing
                elif passing.topic == DEAD_LETTERS:
                    self._tell_refused(DeadLetter.model_validate_json(passing.value))

    def _tell_refused(self, letter: DeadLetter) -> None:
        self._shown += 1
        if self._shown <= PROBLEMS_SHOWN:
            place = f"{letter.topic}: line {letter.offset + 1}"
            click.echo(f"{printable(place)}: {letter.reason}: {printable(letter.detail)[:200]}", err=True)


class _Addresses(KeyedState):
    """State of every address, of which one is being handled."""

    def __init__(self) -> None:
        self.address = ""
        self._stores: dict[str, DictStore] = {}
        self._summaries: dict[str, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self._store.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self._store.put(key, value)

    def delete(self, key: bytes) -> None:
        self._store.delete(key)

    def summary(self) -> bytes | None:
        return self._summaries.get(self.address)

    def set_summary(self, value: bytes) -> None:
        self._summaries[self.address] = value

    @property
    def _store(self) -> DictStore:
        return self._stores.setdefault(self.address, DictStore())


def _source(argument: str) -> Source:
    named = _NAMED.fullmatch(argument)
    return Source(Path(named[2]), named[1]) if named else Source(Path(argument), None)


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
        with rule_progress() as progress:
            pack = build_pack(
                paths, registry, skip_unsupported=skip_unsupported, on_progress=progress, on_problem=tell_problem
            )
    if not registry.members:
        registry = _registry_of(sources)
    for source in sources:
        if source.member is not None and source.member not in registry.enabled_ids():
            known = ", ".join(sorted(registry.enabled_ids()))
            raise ConfigError(f"{source.member}={source.path}", "not an enabled member of the registry", expected=known)
    return RulePack(pack.detections, pack.correlations, registry)


def _registry_of(sources: Sequence[Source]) -> MemberRegistry:
    found = sorted({member for source in sources for member in members_of(source)})
    try:
        return MemberRegistry(members=tuple(Member(id=member, name=member) for member in found))
    except ValidationError as error:
        bad = printable(str(error.errors()[0]["input"]))
        raise ConfigError("organization.id", "not a member id", got=bad, expected="2 to 40 of a-z 0-9 -") from error


def _run(job: LocalJob, sources: Sequence[Source]) -> Iterator[tuple[Alert, str]]:
    console = Console(stderr=True)
    columns = (TextColumn("replaying"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        # Compressed files make the bar reach its end early; it is there to show that something moves.
        total = sum(source.path.stat().st_size for source in sources if source.path.exists())
        task = progress.add_task("replay", total=total)
        lines = read_merged(sources, lambda size: progress.advance(task, size))
        while batch := list(islice(lines, BATCH)):
            yield from _alerts(job.feed(batch))
        yield from _alerts(job.finish())


def _alerts(passings: Iterable[Passing]) -> Iterator[tuple[Alert, str]]:
    for passing in passings:
        yield alert_from_json(passing.value), passing.value.decode()
    sys.stdout.flush()
