from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner

from deploy.demo.verdict import Difference
from pipeline.cli import demo as command
from pipeline.cli.demo import demo
from pipeline.cli.main import main

DIFFERENCE = Difference("sector_ddos", "alert", "aurora-bank 2, kestrel-bank 1", "none")


class FakeDemo:
    """Plays nothing; answers with `differing`."""

    differing: ClassVar[list[Difference]] = []
    options: ClassVar[Any] = None

    def __init__(self, settings: object, options: object, console: object) -> None:
        FakeDemo.options = options

    def prepare(self, observe: object) -> None:
        pass

    def play(self) -> list[Difference]:
        return FakeDemo.differing


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JSOC_HOME", str(tmp_path))
    monkeypatch.setattr(command, "Demo", FakeDemo)
    FakeDemo.differing = []


def status_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["demo", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_check_fails_when_the_alerts_are_not_as_promised() -> None:
    FakeDemo.differing = [DIFFERENCE]
    assert status_of("--check") == 1


def test_check_succeeds_when_they_are() -> None:
    assert status_of("--check") == 0


def test_looking_on_is_no_test() -> None:
    FakeDemo.differing = [DIFFERENCE]
    assert status_of() == 0


def test_it_ends_by_itself_where_nobody_can_press_a_key() -> None:
    status_of()
    assert FakeDemo.options.stay is False


@pytest.mark.parametrize("arguments", [("--rate", "0"), ("--rate", "1e9"), ("--speed", "100"), ("--nonsense",)])
def test_arguments_that_cannot_be_are_refused(arguments: tuple[str, ...]) -> None:
    assert status_of(*arguments) == 3


def test_the_help_ends_with_an_example() -> None:
    text = CliRunner().invoke(demo, ["--help"]).output
    assert "jsoc demo --check --speed 3" in text.partition("Example:")[2]
