"""`jsoc rules`: the rule author's commands, one file each, imported on use."""

from __future__ import annotations

from typing import Final

import click

from pipeline.cli.lazy_group import LazyGroup

COMMANDS: Final = {
    "check": ("pipeline.cli.rules_check:check", "Tell what is wrong with rules, and what looks wrong."),
    "test": ("pipeline.cli.rules_test:test", "Run the cases of rules."),
    "explain": ("pipeline.cli.rules_explain:explain", "Why a rule does or does not fire on events."),
    "backtest": ("pipeline.cli.rules_backtest:backtest", "What a rule would have done on files of events."),
    "coverage": ("pipeline.cli.rules_coverage:coverage", "Which rules can fire on the fields that come."),
    "list": ("pipeline.cli.rules_list:list_rules", "List the rules of files, folders and packs."),
    "build": ("pipeline.cli.rules_build:build", "Compile rules and members into one pack."),
    "activate": ("pipeline.cli.rules_build:activate", "Put a pack's rules in force in the running stack."),
    "new": ("pipeline.cli.rules_new:new", "Write a rule to start from, with its cases."),
}


@click.group(cls=LazyGroup, table=COMMANDS)
def rules() -> None:
    """Write, check, test, explain and build Sigma rules.

    \b
    Example:
      jsoc rules check rules/sigma
    """
