"""What a rule author does: new, check, test, explain, backtest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

import pytest

from pipeline.cli.main import main
from schemas.times import to_rfc3339

NOON = 1_795_435_200_000


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["rules", *map(str, arguments)])
    return int(ended.value.code or 0)


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Path:
    """A new rule as `jsoc rules new` writes it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "rules"
    assert run("new", "login_at_many", folder, "--author", "Ada: of Kestrel") == 0
    capfd.readouterr()
    return folder


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def failures(folder: Path, counts: dict[str, int], *, minutes: int = 5) -> list[str]:
    """Files with that many failed logins of one address at each member, five minutes after one another."""
    arguments = []
    for number, (member, count) in enumerate(counts.items()):
        events = [
            {
                "@timestamp": to_rfc3339(NOON + number * minutes * 60_000 + index),
                "event.dataset": "portal.audit",
                "event.action": "login",
                "event.outcome": "failure",
                "source.ip": "203.0.113.7",
            }
            for index in range(count)
        ]
        path = folder / f"{member}.ndjson"
        path.write_text("".join(json.dumps(event) + "\n" for event in events))
        arguments.append(f"{member}={path}")
    return arguments


def test_a_new_rule_passes_check_and_test_as_it_is(fresh: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("check", fresh) == 0
    assert run("test", fresh) == 0
    output = capfd.readouterr()
    assert output.out.splitlines() == ["PASS   5/5   login_at_many", "PASS   2/2   login_at_many_event"]
    assert "7 cases, all pass" in output.err


def test_new_overwrites_nothing(fresh: Path) -> None:
    before = (fresh / "login_at_many.yml").read_text()
    assert run("new", "login_at_many", fresh) == 3
    assert (fresh / "login_at_many.yml").read_text() == before


@pytest.mark.parametrize("name", ["Login", "../x", "a", "a-b"])
def test_new_wants_a_plain_name(tmp_path: Path, name: str) -> None:
    assert run("new", name, tmp_path) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_failing_case_is_told_with_what_was_expected_and_found(
    fresh: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    replace(fresh / "login_at_many.yml", "gte: 6", "gte: 7")
    replace(fresh / "login_at_many_event.yml", "event.outcome: failure", "event.outcome: denied")
    assert run("test", fresh, "-k", "MANY two each") == 1
    shown = capfd.readouterr().out
    assert "FAIL   0/1   login_at_many" in shown
    expected = "expected an alert: group_by source.ip=203.0.113.7; members alder-bank > birch-bank > cedar-bank"
    assert expected in shown
    assert "found    no alert" in shown
    run("test", fresh, "-k", "refused")
    assert """FAIL       event.outcome equals "denied"  ['failure']""" in capfd.readouterr().out


def test_the_outcome_is_also_junit_and_json(fresh: Path, capfd: pytest.CaptureFixture[str]) -> None:
    replace(fresh / "login_at_many_event.cases.yaml", "a refused login counts", "\"<\\e[31m> & 'quoted'\"")
    replace(fresh / "login_at_many_event.yml", "event.outcome: failure", "event.outcome: denied")
    assert run("test", fresh, "--format", "junit") == 1
    suite = ElementTree.fromstring(capfd.readouterr().out)
    assert (suite.get("tests"), len(suite.findall("testcase/failure"))) == ("7", int(suite.get("failures", "0")))
    assert run("test", fresh, "--format", "json") == 1
    outcomes = json.loads(capfd.readouterr().out)
    assert {one["case"]: one["passed"] for one in outcomes}["<\x1b[31m> & 'quoted'"] is False


def test_cases_may_lie_in_a_tree_of_their_own(fresh: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "cases"
    elsewhere.mkdir()
    for path in list(fresh.glob("*.cases.yaml")):
        path.rename(elsewhere / path.name.replace(".cases", ""))
    assert run("test", fresh) == 3
    assert run("test", fresh, "--cases", elsewhere) == 0


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("at: 0s", "at: soon", "is not a duration"),
        ("rule: login_at_many", "rule: login_at_man", "Try: `login_at_many`"),
        ("alder-bank:", "Alder Bank:", "members"),
        ("expect: []", "expects: []", "expect"),
    ],
)  # fmt: skip
def test_cases_that_cannot_be_are_refused(
    fresh: Path, capfd: pytest.CaptureFixture[str], old: str, new: str, told: str
) -> None:
    replace(fresh / "login_at_many.cases.yaml", old, new)
    assert run("test", fresh) == 3
    assert told in capfd.readouterr().err


def test_check_names_doubts_with_their_place(fresh: Path, capfd: pytest.CaptureFixture[str]) -> None:
    replace(fresh / "login_at_many_event.yml", "event.outcome: failure", "event.outcme: failure")
    replace(fresh / "login_at_many_event.yml", "attack.credential-access", "attack.credential-acess")
    replace(fresh / "login_at_many.yml", "    k: 3\n    tlp: amber", "    k: 2\n    tlp: clear")
    members = fresh.parent / "members.yml"
    members.write_text(
        "members: [{id: alder-bank, name: A, datasets: [portal.audit]}, {id: birch-bank, name: B, "
        "datasets: [nginx.access]}, {id: cedar-bank, name: C}]\n"
    )
    assert run("check", fresh, "--members", members) == 1
    lines = capfd.readouterr().out.splitlines()
    assert [line.rpartition("[")[2].rstrip("]") for line in lines] == [
        "attack_tag",
        "unknown_field",
        "share_policy",
        "missing_dataset",
    ]
    assert 'event.outcme: no field of ECS or of the mappings; did you mean "event.outcome"?' in lines[1]
    assert "1 of the 3 institutions" in lines[3]
    assert run("check", fresh, "-x", "attack_tag", "-x", "unknown_field", "-x", "share_policy") == 0


def test_check_says_what_nothing_uses_and_whose_id_is_taken(fresh: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = (fresh / "login_at_many_event.yml").read_text()
    (fresh / "twin.yml").write_text(text.replace("name: login_at_many_event", "name: twin"))
    assert run("check", fresh) == 2
    assert "this id belongs to another rule" in capfd.readouterr().out
    identity = text.partition("\nid: ")[2].partition("\n")[0]
    replace(fresh / "twin.yml", identity, "00000000-0000-4000-8000-000000000001")
    assert run("check", fresh) == 1
    told = capfd.readouterr().out
    assert "[unused]" in told
    assert "[duplicate_title]" in told


def test_a_second_check_reads_no_rule_again(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("check", fresh) == 0
    monkeypatch.setattr("pipeline.workbench.check.check_file", None)
    assert run("check", fresh) == 0
    replace(fresh / "login_at_many_event.yml", "failure", "failures")
    with pytest.raises(TypeError):
        run("check", fresh)


def test_explain_shows_what_a_correlation_missed(
    fresh: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = failures(tmp_path, {"alder-bank": 4, "birch-bank": 4})
    assert run("explain", fresh / "login_at_many.yml", *files) == 1
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("FAIL Login at many (")
    assert "FAIL   source.ip 203.0.113.7" in lines
    assert "PASS     8 of 6 events" in lines
    assert "FAIL     2 of 3 institutions (corporate groups)" in lines
    assert any(line.split()[:5] == ["+0s", "to", "+3ms", "alder-bank", "4"] for line in lines)


def test_explain_of_a_correlation_agrees_with_the_alert(
    fresh: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = failures(tmp_path, {"alder-bank": 2, "birch-bank": 2, "cedar-bank": 2})
    assert run("explain", "login_at_many", "--rules", fresh, "--format", "json", *files) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["alerted"], told["matched"]) == (True, {"Login at many, one event": 6})
    [story] = told["groups"]
    assert [(need["have"], need["want"], need["met"]) for need in story["needs"]] == [(6, 6, True), (3, 3, True)]
    late = failures(tmp_path, {"alder-bank": 2, "birch-bank": 2, "cedar-bank": 2}, minutes=31)
    assert run("explain", "login_at_many", "--rules", fresh, *late) == 1
    assert "         2 more outside this window" in capfd.readouterr().out.splitlines()


def test_backtest_counts_alerts_members_keys_and_state(
    fresh: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = failures(tmp_path, {"alder-bank": 3, "birch-bank": 2, "cedar-bank": 2})
    assert run("backtest", "login_at_many", "-r", fresh, "--format", "json", *files) == 1
    told = json.loads(capfd.readouterr().out)
    assert (told["lines"], told["refused"], told["keys"], told["peak"]) == (7, 0, 1, {"hits": 7, "keys": 1})
    assert told["members"] == {"alder-bank": 3, "birch-bank": 2, "cedar-bank": 2}
    assert [alert["group_by"] for alert in told["alerts"]] == [{"source.ip": "203.0.113.7"}]
    assert run("backtest", "login_at_many", "-r", fresh, *failures(tmp_path, {"alder-bank": 9})) == 0
    assert run("backtest", "login_at_many_event", "-r", fresh, *files) == 1
    assert "about" in capfd.readouterr().out


@pytest.mark.parametrize("command", ["explain", "backtest"])
def test_files_are_read_as_a_replay_reads_them(
    fresh: Path, tmp_path: Path, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """However late their lines, and with the members' known clock offsets."""
    files = failures(tmp_path, {"alder-bank": 3, "birch-bank": 2, "cedar-bank": 2})
    alder = tmp_path / "alder-bank.ndjson"
    newer = {"@timestamp": to_rfc3339(NOON + 500_000_000), "event.dataset": "portal.audit"}
    alder.write_text(json.dumps(newer) + "\n" + alder.read_text())
    birch = tmp_path / "birch-bank.ndjson"
    birch.write_text(birch.read_text().replace(to_rfc3339(NOON)[:10], to_rfc3339(NOON - 86_400_000)[:10]))
    members = tmp_path / "members.yml"
    members.write_text(
        "members: [{id: alder-bank, name: A}, {id: birch-bank, name: B, clock_offset: 86400000}, "
        "{id: cedar-bank, name: C}]\n"
    )
    arguments = ("login_at_many", "-r", fresh, "--members", members, "--format", "json", *files)
    run(command, *arguments)
    told = json.loads(capfd.readouterr().out)
    assert len(told["groups" if command == "explain" else "alerts"]) == 1
    assert told.get("alerted", True)
    if command == "backtest":
        run(command, *arguments, "--lateness", "1h")
        assert not json.loads(capfd.readouterr().out)["alerts"]


@pytest.mark.parametrize("arguments", [["--help"], ["rules", "new", "--help"]])
def test_light_commands_import_nothing_heavy(arguments: list[str]) -> None:
    heavy = "{'sigma', 'pydantic', 'kafka', 'elasticsearch', 'pyflink', 'fastapi', 'numpy', 'pandas'}"
    program = (
        "import sys\nfrom pipeline.cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        f"print(sorted({heavy} & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "[]"


def test_watch_tells_again_whenever_a_file_is_saved(fresh: Path) -> None:
    command = [sys.executable, "-m", "pipeline.cli", "rules", "test", str(fresh), "--watch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as watching:
        assert watching.stdout is not None
        try:
            assert any("7 cases, all pass" in line for line in until_it_waits(watching.stdout))
            replace(fresh / "login_at_many_event.yml", "outcome: failure", "outcome: success")
            assert any("failed" in line for line in until_it_waits(watching.stdout))
            (fresh / "login_at_many.yml").write_text("title: [\n")  # half a rule, while it is being written
            assert any("not YAML" in line for line in until_it_waits(watching.stdout))
        finally:
            watching.terminate()


def until_it_waits(output: IO[str]) -> list[str]:
    return list(iter(output.readline, "waiting for a change; Ctrl-C ends\n"))
