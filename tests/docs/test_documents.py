import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.jobs.keyed_stage import METRICS

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def sessions(path: Path) -> list[tuple[str, str]]:
    """Every command of a document's console blocks, with the output it promises."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


@pytest.mark.parametrize(
    ("command", "output"), [pytest.param(*each, id=each[0][:40]) for path in DOCUMENTS for each in sessions(path)]
)
def test_a_session_in_the_documents_is_what_happens(command: str, output: str) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "100"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == output, done.stderr


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_within_the_project_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_readme_has_a_session() -> None:
    assert sessions(ROOT / "README.md")


def test_operations_tells_of_every_metric_of_the_job() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    metrics = page.partition("## Metrics")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", metrics, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(METRICS)
