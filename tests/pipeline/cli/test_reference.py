import re
import subprocess
import sys

import click
import pytest

from pipeline.cli.main import COMMANDS, root
from pipeline.cli.reference import reference


def test_the_reference_says_what_the_commands_say() -> None:
    # In a process of its own: click keeps the help option of a command that another test has run.
    check = [sys.executable, "-m", "pipeline.cli.reference", "--check"]
    done = subprocess.run(check, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_every_help_ends_with_an_example() -> None:
    helps = re.findall(r"```text\n(.*?)```", reference(), re.DOTALL)
    assert len(helps) > len(COMMANDS)
    assert [text.splitlines()[0] for text in helps if "\n  Example:\n    jsoc " not in text] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_short_help_is_a_sentence(name: str) -> None:
    command = root.get_command(click.Context(root), name)
    assert command is not None
    assert COMMANDS[name][1].endswith(".")
