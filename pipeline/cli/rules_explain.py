"""`jsoc rules explain`: why a rule does or does not fire on events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from pipeline.cli.replay_records import disorder_of, read_merged, registry_of, source_of
from pipeline.cli.rule_loading import taxonomy_option
from pipeline.detect.explain import explain as explain_match
from pipeline.detect.explain import lines_of
from pipeline.detect.load import load_documents
from pipeline.detect.placeholders import load_placeholders
from pipeline.detect.records import read_file
from pipeline.detect.taxonomy import Taxonomy
from pipeline.workbench.rule_set import RuleSet
from pipeline.workbench.timeline import Timeline, tell_timeline
from pipeline.workbench.timeline_text import timeline_lines
from schemas.errors import ConfigError, printable
from schemas.event import Fields
from schemas.logsource import derive_logsource
from schemas.member import load_registry
from schemas.rule_document import RuleDocument


@click.command()
@click.argument("rule")
@click.argument("events", nargs=-1, required=True, metavar="EVENTS...")
@click.option("--record", type=int, default=1, show_default=True, help="For a detection: which record of the file.")
@click.option("--rules", "-r", "folders", type=Path, multiple=True, help="Where the rules are that RULE builds on.")
@click.option("--members", type=Path, help="For a correlation: members.yml; without it each member is its own group.")
@click.option("--placeholders", type=Path, help="YAML file with values for `expand`.")
@taxonomy_option
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def explain(
    rule: str,
    events: tuple[str, ...],
    record: int,
    folders: tuple[Path, ...],
    members: Path | None,
    placeholders: Path | None,
    taxonomy: Taxonomy | None,
    form: str,
) -> int:
    """Tell why a rule does or does not fire. Exit code 0 if it fires, else 1.

    RULE is a file, or a name or id of a rule in --rules. A detection is tried part by part on one record of an event
    file. A correlation is run over files, `member=FILE` or with `organization.id` in every event, and shows for each
    group the fullest window and what was missing in it. The rules that it builds on are looked for beside it.

    \b
    Example:
      jsoc rules explain rules/sigma/correlations/sector_ddos.yml kestrel-bank=a.ndjson cobalt-bank=b.ndjson
    """
    path = Path(rule)
    documents = load_documents([path]) if path.is_file() else []
    homes = folders or (_home(path, documents),)
    rules = RuleSet(homes, load_placeholders(placeholders) if placeholders else None, taxonomy=taxonomy or "sigma")
    chosen = [rules.find(document.id) for document in documents] or [rules.find(rule)]
    if chosen[0].kind == "correlation":
        return _explain_correlation(rules, chosen[0], events, members, form)
    if len(events) > 1:
        raise ConfigError(events[1], "a detection is explained for one event", expected="one file; --record")
    return _explain_detections(rules, chosen, _read_event(Path(events[0]), record), form)


def _home(path: Path, documents: Sequence[RuleDocument]) -> Path:
    """Where a rule's neighbours are: of a correlation in `correlations/`, the folder above."""
    if not documents:
        raise ConfigError(printable(str(path)), "no such file", expected="a rule file, or --rules and a rule's name")
    if any(document.kind != "detection" for document in documents):
        folders = [parent for parent in path.resolve().parents if parent.name == "correlations"]
        return folders[0].parent if folders else path.parent
    return path


def _explain_detections(rules: RuleSet, documents: Sequence[RuleDocument], fields: Fields, form: str) -> int:
    derive_logsource(fields)
    plans = [rules.plan(document) for document in documents if document.kind == "detection"]
    explained = [explain_match(plan, fields) for plan in plans]
    if form == "json":
        click.echo(json.dumps([asdict(one) for one in explained], indent=2, default=str))
    else:
        _say(line for one in explained for line in lines_of(one))
    return 0 if any(one.matched for one in explained) else 1


def _explain_correlation(
    rules: RuleSet, document: RuleDocument, events: Sequence[str], members: Path | None, form: str
) -> int:
    sources = [source_of(argument) for argument in events]
    registry = load_registry(members) if members else registry_of(sources)
    offsets = registry.clock_offsets()
    lines = list(read_merged(sources, lambda _: None, offsets))
    timeline = tell_timeline(rules, document, registry, lines, disorder_of(sources, offsets))
    if form == "json":
        click.echo(json.dumps(_summary(timeline), indent=2, ensure_ascii=False))
    else:
        _say(timeline_lines(timeline))
    return 0 if timeline.alerted else 1


def _summary(timeline: Timeline) -> dict[str, Any]:
    stories = [
        {
            "group_by": story.group_by,
            "alerted": story.alerted,
            "needs": [need._asdict() | {"met": need.met} for need in story.needs],
            "moments": [{"time": moment.time, "member": moment.member} for moment in story.moments],
            "elsewhere": story.elsewhere,
        }
        for story in timeline.stories
    ]
    dropped = [one._asdict() | {"events": count} for one, count in timeline.dropped.items()]
    rule = {"id": timeline.rule.id, "title": timeline.rule.title}
    return {
        "rule": rule,
        "alerted": timeline.alerted,
        "events": timeline.events,
        "matched": timeline.matched,
        "groups": stories,
        "dropped": dropped,
        "refused": timeline.refused,
    }


def _say(lines: Any) -> None:
    for line in lines:
        click.secho(printable(line), fg="green" if line.startswith("PASS") else None)


def _read_event(path: Path, number: int) -> Fields:
    for record in read_file(path):
        if record.number == number:
            if record.fields is None:
                raise ConfigError(f"{path}:{number}", record.problem)
            return record.fields
    raise ConfigError(str(path), f"there is no record {number}", expected="a number from 1")
