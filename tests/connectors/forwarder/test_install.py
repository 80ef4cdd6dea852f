"""Installed without extras: what `pip install jointsoc` brings is all a member's forwarder needs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from connectors.mapping.library import shipped_names
from tests.connectors.forwarder.bench import Bench, until

ROOT = Path(__file__).parents[3]
MEMBERS_PACKAGES = ("connectors", "pipeline", "schemas")
PROGRAM = """
import runpy, sys
sys.argv = ['jsoc', *sys.argv[1:]]
try:
    runpy.run_module('pipeline.cli', run_name='__main__')
finally:
    centre = {'pipeline.detect', 'pipeline.correlate', 'pipeline.jobs', 'pipeline.workbench', 'pipeline.rulepack'}
    print('CENTRE', sorted(centre & set(sys.modules)), file=sys.stderr)
"""


def needed(
    name: str, extras: frozenset[str] = frozenset(), seen: dict[str, Distribution] | None = None
) -> dict[str, Distribution]:
    """A distribution and all it needs, by name; those of extras that nobody asked for are left out."""
    seen = {} if seen is None else seen
    key = re.sub(r"[-_.]+", "-", name).lower()
    if key not in seen or extras:
        seen[key] = distribution(name)
        for text in seen[key].requires or ():
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or {""}):
                needed(requirement.name, frozenset(requirement.extras), seen)
    return seen


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the forwarder's packages and their dependencies, and nothing else."""
    folder = tmp_path_factory.mktemp("site-packages")
    for name in MEMBERS_PACKAGES:
        (folder / name).symlink_to(ROOT / name)
    for package in needed("jointsoc").values():
        for file in package.files or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__", "connectors", "pipeline", "schemas") and not top.endswith(".pth"):
                there = folder / top
                if not there.exists():
                    there.symlink_to(package.locate_file(top))
    return folder


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.log_logins(1)
    made.data["inputs"] += [
        {"name": name, "path": str(tmp_path / f"{name}.log"), "mapping": name} for name in shipped_names()
    ]
    made.settings()
    return made


def command(alone: Path, bench: Bench, *arguments: str) -> list[str]:
    # -S: the packages of this environment, the centre's among them, are not there.
    return [sys.executable, "-S", "-c", PROGRAM, "forward", *arguments, "--config", str(bench.config)]


def environment(alone: Path) -> dict[str, str]:
    return {"PATH": os.defpath, "PYTHONPATH": str(alone), "PYTHONUNBUFFERED": "1"}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["check"], 0),
        (["dry-run"], 0),
        (["dry-run", "--format", "html"], 0),
        (["hmac", "--key", "federation", "--kind", "customer"], 0),
        (["dlq", "list"], 0),
        (["doctor"], 3),
    ],
    ids=str,
)
def test_every_command_works_without_the_centres_extras(
    alone: Path, bench: Bench, arguments: list[str], code: int
) -> None:
    done = subprocess.run(
        command(alone, bench, *arguments),
        cwd=bench.folder,
        env=environment(alone),
        input="A123456789\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "CENTRE []" in done.stderr
    assert done.stdout or arguments == ["dlq", "list"]


@pytest.mark.parametrize(
    "arguments", [["rules", "check", "."], ["detect", "--rules", "."], ["alerts", "list"]], ids=str
)
def test_a_command_of_the_centre_says_what_to_install(alone: Path, tmp_path: Path, arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM, *arguments],
        cwd=tmp_path,
        env=environment(alone),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "needs a part that is not installed" in done.stderr
    assert "jointsoc[centre]" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_runs_without_the_centres_extras(alone: Path, bench: Bench) -> None:
    log = bench.folder / "forwarder.log"
    with log.open("wb") as err:
        process = subprocess.Popen(command(alone, bench, "run"), cwd=bench.folder, env=environment(alone), stderr=err)
    try:
        until(lambda: b"shipper.waiting_for_kafka" in log.read_bytes(), 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert b"CENTRE []" in log.read_bytes()


def test_the_centres_packages_are_not_among_what_it_installs() -> None:
    assert not {"apache-flink", "elasticsearch", "pandas", "numpy", "pysigma", "fastapi"} & set(needed("jointsoc"))
