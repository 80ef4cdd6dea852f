"""`jsoc rules test`: run the cases of rules; no services."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NoReturn
from xml.sax.saxutils import quoteattr

import click

from pipeline.detect.placeholders import load_placeholders
from pipeline.workbench.cases import case_files, load_cases
from pipeline.workbench.rule_set import RuleSet
from pipeline.workbench.run_cases import Outcome, run_cases
from schemas.errors import ConfigError, JointSocError, printable
from schemas.member import MemberRegistry, load_registry

LOOK_MS: Final = 200
"""So long the system is asked for changes at a time."""


@click.command()
@click.argument("paths", nargs=-1, type=Path, required=True)
@click.option("--cases", "cases", type=Path, multiple=True, help="Folder or file of cases that lie elsewhere.")
@click.option("--members", type=Path, help="Members of cases that name none; without it, the demo's six.")
@click.option("--placeholders", type=Path, help="YAML file with values for `expand`.")
@click.option("-k", "words", default="", help="Only cases whose `rule: case` has all these words.")
@click.option("--watch", is_flag=True, help="Run again whenever a rule or a case changes, until Ctrl-C.")
@click.option("--format", "form", type=click.Choice(["table", "json", "junit"]), default="table", show_default=True)
def test(
    paths: tuple[Path, ...],
    cases: tuple[Path, ...],
    members: Path | None,
    placeholders: Path | None,
    words: str,
    watch: bool,  # noqa: FBT001 - click
    form: str,
) -> int:
    """Run the cases of rules through the detection and correlation of the centre. Exit code 1 if one fails.

    Cases are `*.cases.yaml` files beside the rules, or lie where `--cases` says, in a tree like that of the rules.
    `jsoc rules new` writes an example.

    \b
    Example:
      jsoc rules test rules/sigma --cases tests/rules -k stuffing
    """

    def once() -> int:
        outcomes = list(_outcomes(paths, cases, _registry(members), placeholders, words))
        _WRITERS[form](outcomes)
        failed = sum(not outcome.passed for outcome in outcomes)
        click.echo(f"{len(outcomes)} cases, {f'{failed} failed' if failed else 'all pass'}", err=True)
        return 1 if failed else 0

    sources = [path for path in (*paths, *cases, members, placeholders) if path is not None]
    # What is not there cannot be watched, and running once says which it is.
    return _watch(once, sources) if watch and all(path.exists() for path in sources) else once()


def _outcomes(
    paths: Sequence[Path], cases: Sequence[Path], registry: MemberRegistry, placeholders: Path | None, words: str
) -> Iterator[Outcome]:
    files = {path: load_cases(path) for path in case_files([*(path for path in paths if _has_cases(path)), *cases])}
    if not files:
        where = " ".join(map(str, paths))
        raise ConfigError(where, "no cases here", expected="*.cases.yaml beside the rules, or --cases FOLDER")
    wanted = words.casefold().split()
    rules = RuleSet(paths, load_placeholders(placeholders) if placeholders else None)
    return run_cases(rules, files, registry, lambda name: all(word in name.casefold() for word in wanted))


def _has_cases(path: Path) -> bool:
    return path.is_dir() and any(path.rglob("*.cases.yaml"))


def _registry(members: Path | None) -> MemberRegistry:
    if members:
        return load_registry(members)
    from deploy.demo.institutions import load_institutions

    return MemberRegistry(members=tuple(institution.member for institution in load_institutions()))


def _watch(once: Callable[[], int], paths: Sequence[Path]) -> NoReturn:
    from watchfiles import Change, watch

    def matters(_: Change, path: str) -> bool:
        return path.endswith((".yml", ".yaml"))

    changes = watch(*paths, watch_filter=matters, rust_timeout=LOOK_MS, yield_on_timeout=True, raise_interrupt=True)
    next(changes)  # it watches from here on: what is saved while the cases run is seen, too
    while True:
        try:
            once()
        except JointSocError as error:  # half a rule, while it is being written
            click.secho(str(error), fg="red", err=True)
        click.echo("waiting for a change; Ctrl-C ends", err=True)
        while not next(changes):
            pass


def _write_table(outcomes: Sequence[Outcome]) -> None:
    for rule in dict.fromkeys(outcome.rule for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.rule == rule]
        passed = sum(outcome.passed for outcome in own)
        mark = click.style("PASS", fg="green") if passed == len(own) else click.style("FAIL", fg="red")
        click.echo(f"{mark} {passed:>3}/{len(own):<3} {printable(rule)}")
        for outcome in own:
            if not outcome.passed:
                click.echo(f"     {printable(outcome.case)}  ({outcome.path})")
                for reason in outcome.reasons:
                    click.echo(f"       {printable(reason)}")


def _write_json(outcomes: Sequence[Outcome]) -> None:
    shown = [
        {"path": str(one.path), "rule": one.rule, "case": one.case, "passed": one.passed, "reasons": one.reasons}
        for one in outcomes
    ]
    click.echo(json.dumps(shown, indent=2, ensure_ascii=False))


def _write_junit(outcomes: Sequence[Outcome]) -> None:
    failed = sum(not outcome.passed for outcome in outcomes)
    click.echo('<?xml version="1.0" encoding="utf-8"?>')
    click.echo(f'<testsuite name="jsoc rules test" tests="{len(outcomes)}" failures="{failed}">')
    for outcome in outcomes:
        case = f"  <testcase classname={_attribute(outcome.rule)} name={_attribute(outcome.case)}"
        if outcome.passed:
            click.echo(f"{case}/>")
        else:
            told = _attribute(" | ".join(outcome.reasons))
            click.echo(f"{case}><failure message={told}/></testcase>")
    click.echo("</testsuite>")


def _attribute(text: str) -> str:
    return quoteattr(printable(text))


_WRITERS: Final = {"table": _write_table, "json": _write_json, "junit": _write_junit}
