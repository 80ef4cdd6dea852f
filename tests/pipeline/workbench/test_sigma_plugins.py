"""The federation's plug-ins for sigma-cli: a target, validators; each sigma command in a process of its own."""

from __future__ import annotations

import ast
import json
import shlex
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
    assert "jointsoc_ecs" in sigma("list", "pipelines", "jointsoc").stdout


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


def test_other_targets_can_read_sigmas_names_as_ecs(tmp_path: Path) -> None:
    (tmp_path / "r.yml").write_text(
        "title: A\nid: 00000001-0000-4000-8000-000000000000\nlogsource: {category: process_creation}\n"
        "detection:\n  sel:\n    Image: C:/cmd.exe\n  condition: sel\n"
    )
    done = sigma("convert", "-t", "sqlite", "-p", "jointsoc_ecs", tmp_path / "r.yml")
    assert done.returncode == 0, done.stderr
    assert "process.executable" in done.stdout


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


HEAVY = {
    *("pyflink", "pyarrow", "pandas", "numpy", "kafka", "elasticsearch", "fastapi", "uvicorn", "hyperscan"),
    *("jinja2", "ahocorasick_rs", "cryptography", "sigma.backends.elasticsearch"),
}
PLUG_INS = ["sigma.backends.jointsoc", "sigma.pipelines.jointsoc", "sigma.validators.jointsoc"]


@pytest.mark.parametrize("module", PLUG_INS)
def test_a_plug_in_imports_nothing_heavy_of_its_own(module: str) -> None:
    # What pySigma itself imports is there already in every `sigma` command.
    program = (
        "import sys, sigma.collection, sigma.conversion.base, sigma.validators.core, sigma.processing.pipeline\n"
        f"before = set(sys.modules)\nimport {module}\nprint(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert HEAVY.isdisjoint(ast.literal_eval(done.stdout))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Somebody's own repository of rules, with cases."""
    for path in (ROOT / "docs" / "examples" / "writing-rules").glob("*.y*ml"):
        (tmp_path / path.name).write_text(path.read_text())
    return tmp_path


@pytest.mark.parametrize(
    ("hook", "damage", "told"),
    [
        ("jsoc-rules-check", "event.outcome", "event.outcme"),
        ("jsoc-rules-test", "phone_changed", "phone_removed"),
    ],
)
def test_a_hook_passes_good_rules_of_another_repository_and_stops_bad_ones(
    elsewhere: Path, hook: str, damage: str, told: str
) -> None:
    [entry] = [
        one["entry"] for one in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text()) if one["id"] == hook
    ]
    # As pre-commit runs it: the installed command, in the other repository, nothing of ours on the path.
    command = [str(Path(sys.executable).with_name(shlex.split(entry)[0])), *shlex.split(entry)[1:]]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(elsewhere)}
    assert subprocess.run(command, cwd=elsewhere, env=environment, timeout=60, check=False).returncode == 0
    rule = elsewhere / "phone_changed.yml"
    head, detection, tail = rule.read_text().partition("detection:")
    rule.write_text(head + detection + tail.replace(damage, told))
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "phone_changed" in done.stdout


def test_the_hooks_install_what_the_commands_import() -> None:
    """The extra `rules`: no server's client, no Flink."""
    program = (
        "import sys\nfrom pipeline.cli.main import main\n"
        "for arguments in (['check', '--fresh'], ['test']):\n"
        "    try:\n        main(['rules', *arguments, 'docs/examples/writing-rules'])\n"
        "    except SystemExit:\n        pass\n"
        "print(sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    modules = ast.literal_eval(done.stdout.splitlines()[-1])
    assert {"sigma.rule", "ahocorasick_rs"} <= set(modules)
    assert {"pyflink", "elasticsearch", "fastapi", "cryptography", "evtx", "psutil"}.isdisjoint(modules)
