"""`jsoc rules coverage`: which rules can fire on what the data sets forward."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli.rule_loading import load_correlations, load_plans, taxonomy_option
from pipeline.detect.coverage import Feed, RuleCoverage, Verdict, cover_rules, learn_feeds
from pipeline.detect.plan import DetectionPlan
from pipeline.detect.records import read_file
from pipeline.detect.taxonomy import Taxonomy
from pipeline.workbench.correlation_coverage import CorrelationCoverage, cover_correlations
from pipeline.workbench.navigator_layer import TaggedRule, navigator_layer
from schemas.errors import ConfigError, printable
from schemas.event import Fields
from schemas.member import MemberRegistry, load_registry

_PIPE_WIDTH: Final = 240
_FIELDS_SHOWN: Final = 3
_SHOWN: Final = (Verdict.FULL, Verdict.PARTIAL, Verdict.ALWAYS, Verdict.NEVER)


class _Row(NamedTuple):
    """One data set or member."""

    name: str
    feeds: list[Feed]
    rules: list[RuleCoverage]
    """Without those of other log sources."""

    def count(self, verdict: Verdict) -> int:
        return sum(found.verdict is verdict for found in self.rules)

    def most_needed(self) -> list[tuple[str, int]]:
        """The fields that most rules wait for, with how many."""
        needed = Counter(field for found in self.rules for field in found.needed)
        return sorted(needed.items(), key=lambda pair: (-pair[1], pair[0]))


@click.command()
@click.argument("paths", nargs=-1, type=Path, required=True)
@click.option(
    "--events", "samples", type=Path, multiple=True, required=True, help="Event file: a sample of what comes."
)
@click.option("--members", type=Path, help="Member registry, members.yml: coverage by member too.")
@click.option("--placeholders", type=Path, help="YAML file with values for `expand`.")
@taxonomy_option
@click.option("--skip-unsupported", is_flag=True, help="Leave out rules that cannot be honoured; each is named.")
@click.option("--navigator", type=Path, metavar="FILE", help="Write a layer for the ATT&CK Navigator, too.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def coverage(
    paths: tuple[Path, ...],
    samples: tuple[Path, ...],
    members: Path | None,
    placeholders: Path | None,
    taxonomy: Taxonomy | None,
    skip_unsupported: bool,  # noqa: FBT001 - click
    navigator: Path | None,
    form: str,
) -> None:
    """Tell which rules can fire on the fields of each data set, and which fields the others need.

    The fields are learnt from a sample of events. `full`: every field a rule looks at comes; `partial`: it can fire,
    but an exclusion or a way to match is lost; `always`: it would match every event; `never`: it cannot fire. Rules of
    other log sources are not counted. With members, correlations are judged too: at how many institutions the rules
    that they count can fire. A technique's score in the Navigator layer is the number of its rules that can fire.

    \b
    Example:
      jsoc rules coverage rules/sigma --events events.ndjson.gz --members members.yml --navigator layer.json
    """
    plans = load_plans(paths, placeholders, taxonomy=taxonomy, skip_unsupported=skip_unsupported)
    feeds = learn_feeds(_events(samples))
    if not feeds:
        raise ConfigError(", ".join(map(str, samples)), "no event to learn fields from", hint="a larger sample")
    names = sorted({feed.dataset for feed in feeds})
    datasets = [_row(name, plans, [feed for feed in feeds if feed.dataset == name]) for name in names]
    registry = load_registry(members) if members else MemberRegistry()
    by_member = _by_member(registry, plans, feeds)
    rules = load_correlations(paths, plans) if members else []
    correlations = cover_correlations(rules, _firing(plans, by_member), registry.groups())
    if navigator:
        _write_layer(navigator, cover_rules(plans, feeds), correlations)
    if form == "json":
        document = _document(len(plans), datasets, by_member, correlations)
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    # A pipe has no width; lines are not to be folded for it.
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    console.print(_table("data set", datasets))
    if by_member:
        console.print(_table("member", by_member))
        console.print(_correlation_table(correlations))


def _events(samples: Sequence[Path]) -> Iterator[Fields]:
    for path in samples:
        bad = 0
        for record in read_file(path):
            if record.fields is None:
                bad += 1
            else:
                yield record.fields
        if bad:
            click.echo(f"{printable(str(path))}: {bad} records cannot be read", err=True)


def _row(name: str, plans: Sequence[DetectionPlan], feeds: list[Feed]) -> _Row:
    found = cover_rules(plans, feeds)
    return _Row(name, feeds, [one for one in found if one.verdict is not Verdict.ELSEWHERE])


def _by_member(registry: MemberRegistry, plans: Sequence[DetectionPlan], feeds: Sequence[Feed]) -> list[_Row]:
    rows = []
    for member in registry.members:
        theirs = [feed for feed in feeds if feed.dataset in member.datasets]
        if not member.datasets:
            click.echo(f"{member.id}: the registry names none of its data sets, so no rule counts as fed", err=True)
        unseen = sorted(set(member.datasets) - {feed.dataset for feed in theirs})
        if unseen:
            click.echo(f"{member.id}: the sample has no event of {printable(', '.join(unseen))}", err=True)
        rows.append(_row(member.id, plans, theirs))
    return rows


def _table(kind: str, rows: Sequence[_Row]) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(kind, overflow="fold")
    table.add_column("rules", justify="right")
    for verdict in _SHOWN:
        table.add_column(verdict.value, justify="right")
    table.add_column("most needed (rules)", overflow="fold")
    for row in rows:
        needed = ", ".join(f"{field} ({count})" for field, count in row.most_needed()[:_FIELDS_SHOWN])
        counts = [str(row.count(verdict)) for verdict in _SHOWN]
        table.add_row(Text(printable(row.name)), str(len(row.rules)), *counts, Text(printable(needed)))
    return table


def _firing(plans: Sequence[DetectionPlan], members: Sequence[_Row]) -> dict[str, frozenset[str]]:
    """Detection -> members at which it can fire."""
    able: dict[str, set[str]] = {plan.id: set() for plan in plans}
    for member in members:
        for found in member.rules:
            if found.verdict is not Verdict.NEVER:
                able[found.plan.id].add(member.name)
    return {identity: frozenset(names) for identity, names in able.items()}


def _correlation_table(correlations: Sequence[CorrelationCoverage]) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("correlation", "can fire", ""):
        table.add_column(name, overflow="fold")
    for found in sorted(correlations, key=lambda one: (one.fires, one.rule.title)):
        table.add_row(Text(printable(found.rule.title)), "yes" if found.fires else "no", Text(printable(found.note)))
    return table


def _write_layer(path: Path, detections: Sequence[RuleCoverage], correlations: Sequence[CorrelationCoverage]) -> None:
    tagged = [_tagged(found) for found in detections]
    tagged += [TaggedRule(one.rule.title, one.rule.tags, one.fires, one.note) for one in correlations]
    layer = navigator_layer("jointsoc", "Rules that can fire on what is forwarded", tagged)
    try:
        path.write_text(json.dumps(layer, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(printable(str(path)), f"cannot write the layer: {error.strerror}") from error


def _tagged(found: RuleCoverage) -> TaggedRule:
    blind = found.verdict in (Verdict.NEVER, Verdict.ELSEWHERE)
    note = f"needs {', '.join(found.needed)}" if found.needed else "no data set for it"
    return TaggedRule(found.plan.title, found.plan.tags, not blind, note)


def _document(
    rules: int, datasets: Sequence[_Row], members: Sequence[_Row], correlations: Sequence[CorrelationCoverage]
) -> dict[str, Any]:
    return {
        "rules": rules,
        "datasets": [
            _entry(row) | {"fields": sorted({name for feed in row.feeds for name in feed.fields})} for row in datasets
        ],
        "members": [_entry(row) | {"datasets": sorted({feed.dataset for feed in row.feeds})} for row in members],
        "correlations": [
            {
                "id": found.rule.id,
                "title": found.rule.title,
                "fires": found.fires,
                "groups": list(found.groups),
                "silent": list(found.silent),
            }
            for found in correlations
        ],
    }


def _entry(row: _Row) -> dict[str, Any]:
    return {
        "id": row.name,
        "counts": {verdict.value: row.count(verdict) for verdict in _SHOWN},
        "needed": dict(row.most_needed()),
        "rules": [
            {
                "id": found.plan.id,
                "title": found.plan.title,
                "level": found.plan.level,
                "tags": list(found.plan.tags),
                "verdict": found.verdict.value,
                "missing": list(found.missing),
                "needed": list(found.needed),
            }
            for found in row.rules
        ],
    }
