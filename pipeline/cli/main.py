"""`jsoc`: one file per command; a command's module is imported only when that command runs."""

from __future__ import annotations

import sys
from typing import Final

import click

from pipeline.cli.lazy_group import LazyGroup
from schemas.errors import ConfigError, JointSocError

COMMANDS: Final = {
    "alerts": ("pipeline.cli.alerts:alerts", "List, show and work on what was found."),
    "demo": ("pipeline.cli.demo:demo", "The stack, six invented institutions, and attacks that unfold."),
    "detect": ("pipeline.cli.detect:detect", "Events in, Sigma matches out; no services."),
    "down": ("pipeline.cli.down:down", "Stop the one-machine stack."),
    "forward": ("pipeline.cli.forward:forward", "An institution's forwarder: logs in, events out."),
    "index": ("pipeline.cli.index:index", "Make the alert indices anew from Kafka."),
    "logs": ("pipeline.cli.logs:logs", "Show what a process of the stack wrote."),
    "member": ("pipeline.cli.member:member", "Add, list and remove institutions."),
    "replay": ("pipeline.cli.replay:replay", "Events in, settled alerts out; no services."),
    "rules": ("pipeline.cli.rules:rules", "Check and build the rule pack."),
    "serve": ("pipeline.cli.serve:serve", "Run one of the centre's processes in the foreground."),
    "setup": ("pipeline.cli.setup:setup", "Fetch the servers' parts and check them."),
    "status": ("pipeline.cli.status:status", "What runs, where, and how far behind."),
    "up": ("pipeline.cli.up:up", "Start the one-machine stack."),
    "user": ("pipeline.cli.user:user", "Who may log in to the dashboard, and tokens for programs."),
}

OUR_PACKAGES: Final = frozenset({"connectors", "dashboard", "deploy", "pipeline", "schemas"})


@click.group(cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="jointsoc", prog_name="jsoc")
def root() -> None:
    """A joint SOC: Sigma detections and correlations across institutions.

    Results go to stdout, talk goes to stderr. Exit codes: 0 fine, 1 findings, 2 bad rules, 3 bad
    configuration or arguments.

    \b
    Example:
      jsoc demo
    """


def main(arguments: list[str] | None = None) -> None:
    """Run `jsoc`; a `JointSocError` becomes one line on stderr and its exit code."""
    try:
        status = _run(arguments)
    except JointSocError as error:
        click.secho(str(error), fg="red", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(3)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)


def _run(arguments: list[str] | None) -> object:
    try:
        return root.main(args=arguments, prog_name="jsoc", standalone_mode=False)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in OUR_PACKAGES:
            raise
        raise ConfigError(
            "jsoc",
            "this command needs a part that is not installed",
            got=f"no module {error.name}",
            hint="pip install 'jointsoc[rules]' for rules, detect and replay; pip install 'jointsoc[centre]' for all",
        ) from error
