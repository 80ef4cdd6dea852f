from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from connectors.forwarder.check import load_forwarder
from connectors.mapping.library import shipped_names
from pipeline.cli.forward import forward
from tests.connectors.forwarder.bench import LOGOUT, Bench, until
from tests.connectors.forwarder.fake_broker import FakeBroker

ROOT = Path(__file__).parents[3]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.log_logins(1)
    return made


def invoke(bench: Bench, *arguments: str) -> Result:
    bench.settings()
    return CliRunner().invoke(forward, [*arguments, "--config", str(bench.config)], standalone_mode=False)


def test_check_tells_every_finding_and_ends_with_0(bench: Bench) -> None:
    result = invoke(bench, "check")
    assert result.return_value == 0
    assert "customer-portal" in result.stdout
    assert "fault" not in result.stdout


def test_check_ends_with_3_when_something_has_to_be_mended(bench: Bench) -> None:
    (bench.folder / "federation.secret").unlink()
    result = invoke(bench, "check", "--format", "json")
    assert result.return_value == 3
    verdicts = [json.loads(line)["verdict"] for line in result.stdout.splitlines()]
    assert verdicts.count("fault") == 1


def test_dry_run_shows_each_field_and_where_it_comes_from(bench: Bench) -> None:
    result = invoke(bench, "dry-run")
    shown = {line.split()[0]: line for line in result.stdout.splitlines() if line.startswith("    ")}
    assert "203.0.113.9" in shown["source.ip"]
    assert shown["user.hash"].endswith("<- hmac(federation, customer) of user or customer")
    assert "Nothing was sent." in result.stderr
    assert not bench.positions.exists()


def test_dry_run_as_json_has_one_object_a_line(bench: Bench) -> None:
    bench.log(LOGOUT)
    sent, dropped = map(json.loads, invoke(bench, "dry-run", "--format", "json").stdout.splitlines())
    assert (sent["fate"], sent["event"]["event.outcome"]) == ("sent", "failure")
    assert (dropped["event"], dropped["fate"].split(",")[0]) == (None, "dropped")


def test_what_is_logged_on_the_way_does_not_stand_among_the_results(bench: Bench) -> None:
    bench.data["inputs"][0] |= {"type": "backfill"}
    result = invoke(bench, "dry-run", "--format", "json")
    assert [json.loads(line)["fate"] for line in result.stdout.splitlines()] == ["sent"]
    assert "source.backfill" in result.stderr


def test_dry_run_makes_hostile_lines_harmless_for_the_terminal(bench: Bench) -> None:
    bench.log(
        '{"time":"2026-11-23T02:00:00Z","event":"login","result":"failure","reason":"\\u001b[2Jgone"}\n\x1b[31mred\n'
    )
    assert "\x1b" not in invoke(bench, "dry-run").stdout


def test_a_mistake_in_the_configuration_is_one_line_and_exit_code_3(bench: Bench) -> None:
    bench.settings()
    bench.config.write_text("member: kestrel-bank\ninputs: 5\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "forward", "run", "--config", str(bench.config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr.startswith(f"{bench.config}:1: kafka: ")
    assert done.stderr.count("\n") == 1


def test_the_forwarder_needs_nothing_of_the_centre(bench: Bench) -> None:
    """A member installs it without the centre's extras."""
    bench.settings()
    program = (
        "import sys\n"
        "from pipeline.cli.main import root\n"
        "import connectors.forwarder.process\n"
        "root.main(['forward', 'dry-run', '--config', sys.argv[1]], standalone_mode=False)\n"
        "heavy = {'pyflink', 'sigma', 'elasticsearch', 'pandas', 'pyarrow', 'numpy', 'fastapi', 'hyperscan',\n"
        "         'pipeline.detect', 'pipeline.correlate', 'pipeline.jobs', 'dashboard', 'deploy', 'cryptography'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(bench.config)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_run_without_a_broker_says_so_and_stops_on_sigterm(bench: Bench) -> None:
    bench.settings()
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "forward", "run", "--config", str(bench.config)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stderr is not None
        events = (json.loads(line) for line in process.stderr if line.startswith("{"))
        assert next(event for event in events if event["event"] == "shipper.waiting_for_kafka")
        process.terminate()
        assert next(event for event in events if event["event"] == "forwarder.stopped")
        assert process.wait(30) == 0


def test_the_report_is_written_for_its_owner_alone(bench: Bench) -> None:
    page = bench.folder / "report.html"
    result = invoke(bench, "dry-run", "--format", "html", "--output", str(page))
    assert "Nothing was sent" in result.stderr
    assert page.stat().st_mode & 0o077 == 0
    assert "hmac(federation, customer)" in page.read_text(encoding="utf-8")


def test_an_analyst_at_the_member_finds_the_pseudonym_that_left(bench: Bench) -> None:
    sent = json.loads(invoke(bench, "dry-run", "--format", "json").stdout)["event"]["user.hash"]
    result = CliRunner().invoke(
        forward,
        ["hmac", "--config", str(bench.config), "--key", "federation", "--kind", "customer"],
        input=" U1 \n\nother\n",
        standalone_mode=False,
    )
    assert result.stdout.splitlines()[0] == f"U1 {sent}"
    assert len(result.stdout.splitlines()) == 2


def test_doctor_ends_with_3_where_the_broker_is_not_there(bench: Bench) -> None:
    result = invoke(bench, "doctor", "--format", "json")
    assert result.return_value == 3
    found = {one["what"]: one["verdict"] for one in map(json.loads, result.stdout.splitlines())}
    assert found == {"disk": "ok", "broker 127.0.0.1:1": "fault"}


def test_dead_letters_are_listed_shown_and_tried_again(bench: Bench) -> None:
    bench.log("no \x1b[31mjson\n")
    broker = FakeBroker()
    running = bench.start(broker)
    running.wait_until(lambda: bench.letters.exists() and bench.letters.read_bytes().count(b"\n") == 1)
    running.stop()
    (letter,) = map(json.loads, invoke(bench, "dlq", "list", "--format", "json").stdout.splitlines())
    assert (letter["input"], letter["reason"]) == ("portal", "not-json")
    assert "1  portal: not-json" in invoke(bench, "dlq", "list").stderr
    shown = invoke(bench, "dlq", "show", letter["id"])
    assert r"no \x1b[31mjson" in shown.stdout
    replayed = invoke(bench, "dlq", "replay", "--dry-run")
    assert (replayed.return_value, "not-json" in replayed.stdout) == (1, True)
    assert "No letter." in invoke(bench, "dlq", "replay", "--input", "other").stderr


def test_conform_tells_what_the_centre_makes_of_another_shippers_output(bench: Bench) -> None:
    sample = bench.folder / "sample.ndjson"
    sample.write_text('{"@timestamp":"2026-11-23T02:00:00Z","event":{"dataset":"nginx.access"}}\n', encoding="utf-8")
    result = CliRunner().invoke(forward, ["conform", str(sample)], standalone_mode=False)
    assert result.return_value == 0
    assert "log source nginx / webserver / nginx" in result.stdout
    sample.write_text("{\n", encoding="utf-8")
    result = CliRunner().invoke(forward, ["conform", str(sample)], standalone_mode=False)
    assert (result.return_value, "not-json" in result.stdout) == (1, True)


def test_the_example_configuration_names_every_kind_of_input_and_is_valid() -> None:
    settings = load_forwarder(ROOT / "deploy" / "forwarder" / "forwarder.yml")
    assert {one.type for one in settings.inputs} == {"file", "syslog", "http", "backfill", "kafka"}
    assert {one.mapping for one in settings.inputs} <= set(shipped_names())


def test_the_service_runs_commands_that_exist_and_gives_no_privileges() -> None:
    unit = (ROOT / "deploy" / "forwarder" / "jointsoc-forwarder.service").read_text(encoding="utf-8")
    for line in unit.splitlines():
        if line.startswith(("ExecStart=", "ExecStartPre=")):
            words = line.partition("=")[2].split()
            assert words[1] == "forward"
            assert words[2] in forward.commands
    for setting in ("User=jointsoc", "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=\n"):
        assert setting in unit


def test_a_running_forwarder_is_small_and_takes_a_new_configuration_on_sighup(bench: Bench) -> None:
    bench.data["metrics"] = {"listen": "127.0.0.1:0"}
    bench.data["inputs"].append({"name": "bus", "type": "syslog", "listen": "127.0.0.1:0", "mapping": "sshd-auth"})
    bench.data["spool"] = {"max_bytes": "8MiB"}
    bench.settings()
    log = bench.folder / "forwarder.log"
    with log.open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", "forward", "run", "--config", str(bench.config)],
            cwd=ROOT,
            stderr=err,
        )
    try:
        until(lambda: b"shipper.waiting_for_kafka" in log.read_bytes(), 60)
        pages = int(Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[1])
        assert pages * os.sysconf("SC_PAGE_SIZE") < 120 * 1024 * 1024
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
