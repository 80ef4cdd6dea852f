from __future__ import annotations

import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.cli.detect import read_logsource
from pipeline.cli.main import main
from pipeline.detect import compile as compiler
from schemas.errors import ConfigError

SIGMAHQ = Path(__file__).parents[4] / "shared" / "corpora" / "sigmahq"
CASES = sorted((SIGMAHQ / "regression_data").glob("**/*.evtx"))
RULE = """\
title: Command shell
id: 00000001-0000-4000-8000-000000000000
level: high
logsource: {product: windows, category: process_creation}
detection:
  sel: {Image|endswith: '\\cmd.exe'}
  condition: sel
"""
EVENT = {"Channel": "Microsoft-Windows-Sysmon/Operational", "EventID": 1, "Image": "C:\\CMD.EXE"}


@pytest.fixture
def rule(tmp_path: Path) -> Path:
    path = tmp_path / "rule.yml"
    path.write_text(RULE)
    return path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["detect", *map(str, arguments)])
    return int(ended.value.code or 0)


def events(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "events.ndjson"
    path.write_text("".join(line + "\n" if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return path


def found(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_every_match_is_one_object_with_its_source_and_record(
    rule: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = events(tmp_path, {"a": 1}, "", EVENT)
    assert run("--rules", rule, path) == 0
    assert found(capfdbinary.readouterr().out.decode()) == [
        {
            "source": str(path),
            "record": 2,
            "rule": "00000001-0000-4000-8000-000000000000",
            "title": "Command shell",
            "level": "high",
        }
    ]


def test_standard_input_is_read_without_a_file(
    rule: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(EVENT).encode())))
    assert run("--rules", rule) == 0
    assert [(one["source"], one["record"]) for one in found(capfdbinary.readouterr().out.decode())] == [("-", 1)]


def test_an_event_without_log_source_matches_only_if_one_is_given_or_routing_is_off(
    rule: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = events(tmp_path, {"Image": "C:\\cmd.exe"})
    assert run("--rules", rule, path) == 0
    output = capfd.readouterr()
    assert output.out == ""
    assert "no event has a known log source" in output.err
    run("--rules", rule, "--logsource", "product=windows, category=process_creation", path)
    assert len(found(capfd.readouterr().out)) == 1
    run("--rules", rule, "--unrouted", path)
    assert len(found(capfd.readouterr().out)) == 1


def test_the_log_source_given_does_not_override_the_events_own(
    rule: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run("--rules", rule, "--logsource", "product=linux,category=x", events(tmp_path, EVENT))
    assert len(found(capfd.readouterr().out)) == 1


def test_unreadable_records_are_told_on_stderr_and_by_the_exit_code(
    rule: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = events(tmp_path, EVENT, '{"a": \x1b[31m', EVENT)
    assert run("--rules", rule, path) == 1
    output = capfd.readouterr()
    assert [one["record"] for one in found(output.out)] == [1, 3]
    assert f"{path}:2: not JSON" in output.err
    assert "\x1b" not in output.err


def test_statistics_go_to_stderr(rule: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run("--rules", rule, "--stats", events(tmp_path, EVENT, {"a": 1}, "broken"))
    output = capfd.readouterr()
    assert len(output.out.splitlines()) == 1
    figures = {line.split()[0]: line.split()[1:] for line in output.err.splitlines() if "not JSON" not in line}
    assert figures["rules"] == ["1"]
    assert figures["events"][0] == "2"
    assert figures["matches"] == ["1"]
    assert figures["unreadable"] == ["1"]
    assert figures["candidates"][0] == "0.5"


def test_a_built_pack_is_taken_like_a_folder(rule: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pack = tmp_path / "rules.pack"
    with pytest.raises(SystemExit):
        main(["rules", "build", str(rule), "-o", str(pack)])
    capfd.readouterr()
    run("--rules", pack, events(tmp_path, EVENT))
    assert len(found(capfd.readouterr().out)) == 1


def test_a_rule_that_cannot_be_honoured_ends_with_2_or_is_skipped_and_named(
    rule: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.yml"
    bad.write_text(RULE.replace("endswith", "endwith").replace("00000001", "00000002"))
    path = events(tmp_path, EVENT)
    assert run("--rules", tmp_path, path) == 2
    assert f"{bad}:6: unknown modifier `endwith`" in capfd.readouterr().err
    assert run("--rules", tmp_path, "--skip-unsupported", path) == 0
    output = capfd.readouterr()
    assert f"skipped: {bad}:6" in output.err
    assert len(found(output.out)) == 1


def test_missing_files_and_arguments_end_with_3(rule: Path, tmp_path: Path) -> None:
    assert run("--rules", rule, tmp_path / "missing.ndjson") == 3
    assert run("--rules", tmp_path / "missing") == 3
    assert run("--rules", rule, "--logsource", "windows") == 3
    assert run() == 3


@pytest.mark.parametrize("text", ["windows", "produkt=windows", "product=", "=windows", "product=a;service=b,x"])
def test_what_is_no_log_source_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a log source"):
        read_logsource(text)


def test_a_log_source_may_have_several_names() -> None:
    assert read_logsource("product=windows, category=file_event, category=file_delete,category=x") == {
        "jointsoc.logsource.product": "windows",
        "jointsoc.logsource.category": ("file_event", "file_delete", "x"),
    }


def test_several_rules_that_cannot_be_honoured_are_counted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        text = RULE.replace("00000001", f"0000000{number}").replace("endswith", "endwith")
        (tmp_path / f"{number}.yml").write_text(text)
    assert run("--rules", tmp_path, events(tmp_path, EVENT)) == 2
    told = capfd.readouterr().err
    assert "0.yml:6: unknown modifier `endwith`" in told
    assert "the 2 other rules with problems" in told


ECS_EVENT = {
    "ecs": {"version": "8.17.0"},
    "winlog": {"channel": "Microsoft-Windows-Sysmon/Operational"},
    "event": {"code": "1"},
    "process": {"executable": "C:\\cmd.exe"},
}


@pytest.mark.parametrize(("taxonomy", "records"), [("sigma", [1]), ("ecs", [2]), ("both", [1, 2])])
def test_a_rule_is_matched_in_the_names_of_the_taxonomy(
    taxonomy: str, records: list[int], rule: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = events(tmp_path, EVENT, ECS_EVENT)
    assert run("--rules", rule, "--taxonomy", taxonomy, path) == 0
    assert [match["record"] for match in found(capfdbinary.readouterr().out.decode())] == records


@pytest.mark.parametrize(("chosen", "records"), [((), [1, 2]), (("--taxonomy", "ecs"), [2])])
def test_a_pack_is_built_for_a_taxonomy(
    chosen: tuple[str, ...],
    records: list[int],
    rule: Path,
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    pack = tmp_path / "rules.pack"
    with pytest.raises(SystemExit) as ended:
        main(["rules", "build", str(rule), *chosen, "-o", str(pack)])
    assert not ended.value.code
    path = events(tmp_path, EVENT, ECS_EVENT)
    assert run("--rules", pack, path) == 0
    assert [match["record"] for match in found(capfdbinary.readouterr().out.decode())] == records
    assert run("--rules", pack, "--taxonomy", "sigma", path) == 3
    assert b"chosen when it was built" in capfdbinary.readouterr().err


ONE, TWO = json.dumps(EVENT), json.dumps(EVENT | {"Image": "C:\\x.exe"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.ndjson", f"{TWO}\n{ONE}\n"),
        ("a.json", f"[{TWO}, {ONE}]"),
        ("a.json", f"{json.dumps(json.loads(TWO), indent=2)}\n{json.dumps(EVENT, indent=2)}"),
        ("a.json.gz", f"[{TWO}, {ONE}]"),
        ("a.ndjson.gz", f"{TWO}\n{ONE}"),
    ],
    ids=["lines", "array", "concatenated", "array.gz", "lines.gz"],
)
def test_every_layout_of_json_is_read(
    name: str, text: str, rule: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    assert run("--rules", rule, path) == 0
    assert [match["record"] for match in found(capfdbinary.readouterr().out.decode())] == [2]


@pytest.mark.skipif(not CASES, reason="the SigmaHQ corpus is not beside the project")
def test_an_evtx_file_is_read(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    case = CASES[0]
    described = yaml.safe_load((case.parent / "info.yml").read_text())
    identity = described["rule_metadata"][0]["id"]
    [path] = [path for path in SIGMAHQ.glob("rules*/**/*.yml") if f"\nid: {identity}" in path.read_text("utf-8")]
    assert run("--rules", path, case) == 0
    assert {match["rule"] for match in found(capfdbinary.readouterr().out.decode())} == {identity}


def test_events_that_name_their_log_source_plainly_are_routed(
    rule: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    plain = {"product": "windows", "category": "process_creation", "Image": "C:\\cmd.exe"}
    assert run("--rules", rule, events(tmp_path, plain | {"product": "linux"}, plain)) == 0
    assert [match["record"] for match in found(capfdbinary.readouterr().out.decode())] == [2]


def test_the_candidates_of_look_alike_events_are_told_apart(
    rule: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run("--rules", rule, "--stats", events(tmp_path, EVENT | {"EventID": True}, EVENT, EVENT, EVENT))
    figures = {line.split()[0]: line.split()[1:] for line in capfd.readouterr().err.splitlines()}
    assert figures["candidates"][0] == "0.8"


def test_rules_among_the_files_are_rules(rule: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (folder := tmp_path / "more").mkdir()
    (folder / "other.yml").write_text(RULE.replace("00000001", "00000002"))
    path = events(tmp_path, EVENT)
    assert run("--rules", rule, folder, path) == 0
    assert len(found(capfdbinary.readouterr().out.decode())) == 2


def test_correlations_among_the_rules_are_told_to_be_left_out(
    rule: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (correlation := tmp_path / "many.yml").write_text(
        "title: Many\nid: 00000002-0000-4000-8000-000000000000\ncorrelation:\n  type: event_count\n"
        "  rules: [00000001-0000-4000-8000-000000000000]\n  timespan: 5m\n  condition: {gte: 2}\n"
    )
    assert run("--rules", rule, "--rules", correlation, events(tmp_path, EVENT)) == 0
    assert "left out: 1 correlations" in capfd.readouterr().err


@pytest.mark.skipif(not CASES, reason="the SigmaHQ corpus is not beside the project")
def test_an_evtx_file_may_be_packed(rule: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("evtx", reason="the evtx package is not installed")
    (path := tmp_path / "log.evtx.gz").write_bytes(gzip.compress(CASES[0].read_bytes()))
    assert run("--rules", rule, "--stats", path, CASES[0]) == 0
    assert "unreadable             0" in (told := capfd.readouterr().err)
    assert re.search(r"events +([2468])\b", told)


def test_files_that_hold_no_rule_are_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (empty := tmp_path / "empty.yml").write_text("# nothing yet\n")
    assert run("--rules", empty, events(tmp_path, EVENT)) == 3
    assert "empty.yml: no rules here" in capfd.readouterr().err


def test_a_rule_that_a_pack_holds_too_is_not_loaded_twice(
    rule: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["rules", "build", str(rule), "-o", str(tmp_path / "rules.pack"), "--no-cache"])
    assert run("--rules", tmp_path / "rules.pack", "--rules", rule, events(tmp_path, EVENT)) == 2
    assert "rule.yml:1: this id belongs to another rule (rule.yml:1)" in capfd.readouterr().err


def test_rules_are_compiled_once_and_what_changes_is_compiled_again(
    rule: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    compiled: list[str] = []
    real = compiler.compile_detection

    def noted(document: Any, *rest: Any) -> Any:
        compiled.append(document.path.name)
        return real(document, *rest)

    monkeypatch.setattr(compiler, "compile_detection", noted)
    path = events(tmp_path, EVENT)
    for _ in range(2):
        assert run("--rules", rule.parent, path) == 0
    assert compiled == ["rule.yml"]
    first, second = found(capfdbinary.readouterr().out.decode())
    assert first == second
    rule.write_text(RULE.replace("cmd.exe", "sh.exe"))
    assert run("--rules", rule.parent, path) == 0
    assert compiled == ["rule.yml", "rule.yml"]
    assert capfdbinary.readouterr().out == b""


def test_rules_are_matched_where_nothing_can_be_remembered(
    rule: Path, tmp_path: Path, cache_home: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (cache_home / "jointsoc").touch()
    assert run("--rules", rule, events(tmp_path, EVENT)) == 0
    told = capfdbinary.readouterr()
    assert len(found(told.out.decode())) == 1
    assert b"not remembered" in told.err
