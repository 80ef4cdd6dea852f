"""`jsoc setup | up | down | status | logs | member`, as a person meets them; no server is started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deploy.local.status import ProcessStatus
from pipeline.cli import status as status_module
from pipeline.cli.main import COMMANDS, root
from pipeline.cli.status import _duration

STACK_COMMANDS = ("setup", "up", "down", "status", "logs", "member")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JSOC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JSOC_PORT_BASE", "38000")
    monkeypatch.delenv("JSOC_JVM_HOME", raising=False)
    return tmp_path / "home"


def jsoc(*words: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(root, list(words), input=typed)


@pytest.mark.parametrize("command", STACK_COMMANDS)
def test_every_help_ends_with_an_example_on_lines_of_its_own(command: str) -> None:
    text = jsoc(command, "--help").stdout
    assert f"Example:\n    jsoc {command}" in text
    assert "\\b" not in text
    assert command in COMMANDS


def test_status_of_a_stack_that_never_ran_lists_every_process_as_stopped() -> None:
    result = jsoc("status", "--format", "json")
    rows = json.loads(result.stdout)
    assert {row["state"] for row in rows} == {"stopped"}
    assert {row["process"] for row in rows} >= {"kafka", "elasticsearch", "jobmanager", "taskmanager-1", "job"}


@pytest.mark.parametrize(("state", "code"), [("running", 0), ("dead", 1), ("stopped", 1)])
def test_the_exit_code_says_whether_all_runs(monkeypatch: pytest.MonkeyPatch, state: str, code: int) -> None:
    rows = [ProcessStatus("kafka", state, "127.0.0.1:1", 42, 3905, 1234)]  # type: ignore[arg-type]
    monkeypatch.setattr(status_module, "stack_status", lambda _: rows)
    result = CliRunner().invoke(status_module.status, [], standalone_mode=False)
    assert result.return_value == code
    assert "1h05m" in result.stdout
    assert "1,234" in result.stdout


COUNTED = {"lines": 12_000, "dead": 3, "missing_group_key": 17}


def test_status_tells_of_the_job_its_pack_its_restarts_and_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    job = ProcessStatus(
        "job", "restarting", restarts=3, packs=("83ed39de",), problem="refused: \x1b[31mred", counted=COUNTED
    )
    monkeypatch.setattr(status_module, "stack_status", lambda _: [job])
    result = CliRunner().invoke(status_module.status, [], standalone_mode=False)
    assert result.return_value == 1
    assert result.stdout.splitlines()[-4:] == [
        "job: rule pack 83ed39de",
        "job: restarted 3 times since it was submitted",
        "job: 12,000 lines read; 3 dead letters, 17 missing_group_key",
        "job: refused: \\x1b[31mred",
    ]


def test_status_tells_what_elasticsearch_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    row = ProcessStatus("elasticsearch", "running", abilities={"data streams": False, "ILM": True})
    monkeypatch.setattr(status_module, "stack_status", lambda _: [row])
    result = CliRunner().invoke(status_module.status, [], standalone_mode=False)
    assert "elasticsearch: data streams: no, ILM: yes" in result.stdout


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0s"), (59, "59s"), (60, "1m00s"), (3599, "59m59s"), (90_000, "1d01h")]
)
def test_uptimes_are_short(seconds: int, shown: str) -> None:
    assert _duration(seconds) == shown


def test_logs_show_the_end_and_make_terminal_escapes_visible(home: Path) -> None:
    (home / "logs").mkdir(parents=True)
    (home / "logs" / "kafka.log").write_text("old\nnew \x1b[31mred\n", encoding="utf-8")
    result = jsoc("logs", "kafka", "-n", "1")
    assert result.stdout == "kafka  new \\x1b[31mred\n"


def test_logs_of_an_unknown_process_name_those_there_are(home: Path) -> None:
    (home / "logs").mkdir(parents=True)
    (home / "logs" / "kafka.log").touch()
    error = str(jsoc("logs", "../../etc/passwd").exception)
    assert "no log of that name" in error
    assert "kafka" in error


def test_a_member_is_added_listed_and_removed(home: Path) -> None:
    added = jsoc("member", "add", "heron-life", "--name", "Heron Life", "--kind", "insurer", "--group", "heron")
    assert added.exit_code == 0
    assert str(home / "secrets" / "members" / "heron-life.password") in added.stdout
    listed = json.loads(jsoc("member", "list", "--format", "json").stdout)
    assert [(each["id"], each["group"]) for each in listed] == [("heron-life", "heron")]
    assert "events.heron-life" in jsoc("member", "list").stdout
    assert jsoc("member", "remove", "heron-life", "--yes").exit_code == 0
    assert json.loads(jsoc("member", "list", "--format", "json").stdout) == []


def test_the_snippet_for_a_forwarder_holds_no_password(home: Path) -> None:
    text = jsoc("member", "add", "heron-life", "--name", "Heron Life").stdout
    assert (home / "secrets" / "members" / "heron-life.password").read_text() not in text


def test_an_id_that_is_none_is_refused_with_its_reason() -> None:
    error = str(jsoc("member", "add", "../etc", "--name", "x").exception)
    assert "[a-z0-9-]" in error


def test_wiping_asks_first_and_no_means_no(home: Path) -> None:
    (home / "kafka").mkdir(parents=True)
    assert jsoc("down", "--wipe", typed="n\n").exit_code == 1
    assert (home / "kafka").exists()
    assert jsoc("down", "--wipe", "--yes").exit_code == 0
    assert not (home / "kafka").exists()


def test_up_without_setup_points_to_setup() -> None:
    assert "Try: jsoc setup" in str(jsoc("up").exception)
