"""`jsoc demo`: the stack, six invented institutions, and attacks that unfold."""

from __future__ import annotations

import sys
from typing import Final

import click
from rich.console import Console

from deploy.demo.play import Demo, DemoOptions
from deploy.local.settings import load_stack_settings
from pipeline.cli.first_password import first_password_shown
from pipeline.cli.progress import shown

PLAIN_WIDTH: Final = 120
"""Columns where there is no terminal that has a width of its own."""


@click.command()
@click.option("--check", is_flag=True, help="Play once; exit 0 only if exactly the expected alerts came, else 1.")
@click.option("--once", is_flag=True, help="End after the stories, also on a terminal.")
@click.option(
    "--rate",
    type=click.FloatRange(0.1, 2_000),
    default=20.0,
    show_default=True,
    help="Lines of everyday traffic a second, all institutions together.",
)
@click.option(
    "--speed", type=click.FloatRange(0.25, 4), default=1.0, show_default=True, help="3 plays the stories in 40 s."
)
def demo(*, check: bool, once: bool, rate: float, speed: float) -> int:
    """See the joint SOC at work: real servers, six invented institutions, four attacks and three decoys.

    Starts the one-machine stack, a forwarder for each institution, and writes their native logs: everyday traffic,
    and within two minutes the attacks. Shows what happens and what the joint SOC finds. On a terminal everyday
    traffic then goes on until Ctrl-C; elsewhere the command ends by itself. The servers stay up: `jsoc down`.

    \b
    Example:
      jsoc demo
      jsoc demo --check --speed 3
    """
    settings = load_stack_settings()
    stay = sys.stdout.isatty() and sys.stdin.isatty() and not (once or check)
    console = Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)
    play = Demo(settings, DemoOptions(rate=rate, speed=speed, stay=stay), console)
    talk = Console(stderr=True)
    with first_password_shown(settings.secrets, talk), shown(talk) as observe:
        play.prepare(observe)
    differing = play.play()
    return 1 if differing and check else 0
