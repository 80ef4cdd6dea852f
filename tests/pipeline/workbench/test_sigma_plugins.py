"""The federation's plug-ins for sigma-cli: a target, validators; each sigma command in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from sigma.collection import SigmaCollection

from tests.local_centre import ROOT, RULES

WEB_SHELL = RULES / "correlations" / "web_shell_spread.yml"


def sigma(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("sigma")), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def test_sigma_lists_the_target_and_the_validators() -> None:
    assert "| jointsoc " in sigma("list", "targets").stdout
    validators = sigma("list", "validators").stdout
    assert "jointsoc_federation_block" in validators
    assert "jointsoc_unknown_field" in validators


def test_convert_gives_the_plan_that_runs(tmp_path: Path) -> None:
    output = tmp_path / "plan.json"
    done = sigma("convert", "-t", "jointsoc", "-o", output, RULES)
    assert done.returncode == 0, done.stderr
    plan = json.loads(output.read_text())
    assert plan["format"] == "jointsoc-plan 1"
    [spread] = [rule for rule in plan["correlations"] if rule["name"] == "web_shell_spread"]
    assert (spread["timespan"], spread["min_organizations"]) == (259_200_000, 2)
    titles = {rule["id"]: rule for rule in plan["detections"]}
    assert all(reference["id"] in titles for reference in spread["references"])
    [probe] = [rule for rule in plan["detections"] if rule["name"] == "web_vulnerability_probe"]
    assert probe["filters"]


def test_convert_tells_file_and_line_of_what_cannot_be_honoured(tmp_path: Path) -> None:
    (tmp_path / "r.yml").write_text(
        "title: A\nid: 00000001-0000-4000-8000-000000000000\nlogsource: {product: portal}\n"
        "detection:\n  sel:\n    user|expand: '%nobody%'\n  condition: sel\n"
    )
    done = sigma("convert", "-t", "jointsoc", tmp_path / "r.yml")
    assert done.returncode != 0
    assert "r.yml:6: placeholder %nobody% has no values" in done.stderr


def test_check_works_offline_and_knows_the_federation_block(tmp_path: Path) -> None:
    offline = ("check", "-x", "attacktag", "-x", "d3_fendtag", "-i")
    assert sigma(*offline, RULES).returncode == 0
    text = WEB_SHELL.read_text().replace("min_organizations: 2", "min_organisations: 2")
    (tmp_path / "r.yml").write_text(text + "---\n" + (RULES / "detections/windows/web_shell_antivirus.yml").read_text())
    written = (RULES / "detections/windows/web_shell_written.yml").read_text()
    (tmp_path / "w.yml").write_text(written.replace("event.code:", "event.cod:"))
    done = sigma(*offline, tmp_path)
    assert done.returncode != 0
    assert "unknown key in `federation`" in done.stdout
    assert "event.cod" in done.stdout


def test_the_pack_is_valid_sigma_for_pysigma_itself() -> None:
    collection = SigmaCollection.load_ruleset([RULES], collect_errors=True)
    assert collection.errors == []
    assert [rule.source for rule in collection.rules if rule.errors] == []
    assert len(collection.rules) > 70


@pytest.mark.parametrize("module", ["sigma.backends.jointsoc", "sigma.validators.jointsoc"])
def test_a_plug_in_imports_nothing_heavy(module: str) -> None:
    heavy = "{'pyflink', 'kafka', 'elasticsearch', 'fastapi', 'numpy', 'pandas'}"
    program = f"import sys, {module}; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_the_hooks_for_other_repositories_are_commands_that_exist() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    for hook in hooks:
        command = [sys.executable, "-m", "pipeline.cli", *hook["entry"].split()[1:-1], "--help"]
        assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
