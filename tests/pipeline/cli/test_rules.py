from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli.main import main

RULE = """\
title: Log-in failed
id: 00000001-0000-4000-8000-000000000000
name: login_failed
level: low
logsource: {product: portal}
detection:
  sel: {event.outcome: failure}
  condition: sel
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "login.yml").write_text(RULE)
    return folder


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["rules", *map(str, arguments)])
    return int(ended.value.code or 0)


def test_check_is_quiet_about_good_rules(rules: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("check", rules) == 0
    output = capfd.readouterr()
    assert output.out == ""
    assert "1 rules in 1 files: all fine" in output.err


def test_check_tells_every_problem_with_its_place_and_ends_with_2(
    rules: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (rules / "a.yml").write_text(RULE.replace("condition: sel", "condition: nothing").replace("00000001", "00000002"))
    (rules / "b.yml").write_text("title: [\n")
    (rules / "c.yml").write_text(
        "title: C\nid: 00000003-0000-4000-8000-000000000000\n"
        "correlation: {type: event_count, rules: [unheard], timespan: 1h, condition: {gte: 2}}\n"
    )
    assert run("check", rules) == 2
    lines = capfd.readouterr().out.splitlines()
    assert [line.partition(": ")[0].rpartition("/")[2] for line in lines] == ["a.yml:8", "b.yml:2", "c.yml:3"]


def test_check_speaks_json(rules: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (rules / "a.yml").write_text("title: A\n")
    assert run("check", "--format", "json", rules) == 2
    told = json.loads(capfd.readouterr().out)
    assert told["documents"] == 1
    assert told["findings"][0]["where"].endswith("a.yml:1")


def test_list_shows_level_title_log_source_and_id(rules: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("list", rules) == 0
    line = capfd.readouterr().out.splitlines()[1]
    assert line.split("  ")[0] == "low"
    for shown in ("Log-in failed", "product=portal", "00000001-0000-4000-8000-000000000000"):
        assert shown in line


def test_list_speaks_json(rules: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--format", "json", rules) == 0
    [listed] = json.loads(capfd.readouterr().out)
    assert (listed["name"], listed["alerts"], listed["source"]) == ("login_failed", False, "login.yml:1")


def test_build_writes_a_pack_and_tells_its_version(
    rules: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    members = tmp_path / "members.yml"
    members.write_text("members: [{id: kestrel-bank, name: Kestrel Bank}]\n")
    pack = tmp_path / "rules.pack"
    assert run("build", rules, "--members", members, "-o", pack) == 0
    assert pack.read_bytes().startswith(b"jointsoc-pack 1\n")
    assert "1 detections, 0 correlations" in capfd.readouterr().err


def test_build_refuses_a_bad_rule_and_writes_nothing(rules: Path, tmp_path: Path) -> None:
    (rules / "a.yml").write_text("title: A\n")
    assert run("build", rules, "-o", tmp_path / "rules.pack") == 2
    assert not (tmp_path / "rules.pack").exists()


@pytest.mark.parametrize(("outcome", "code", "verdict"), [("failure", 0, "PASS"), ("success", 1, "FAIL")])
def test_explain_tells_part_by_part(
    rules: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], outcome: str, code: int, verdict: str
) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"event": {"dataset": "portal.audit", "outcome": outcome}}))
    assert run("explain", rules / "login.yml", event) == code
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == f"{verdict} Log-in failed (00000001-0000-4000-8000-000000000000)"
    assert f"""{verdict}     event.outcome equals "failure"  ['{outcome}']""" in lines
    assert "PASS     product is portal  ['portal']  (the event's product: portal)" in lines


def test_explain_speaks_json_and_makes_foreign_text_safe(
    rules: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"event.dataset": "portal.audit", "event.outcome": "\x1b[31mred"}))
    assert run("explain", "--format", "json", rules / "login.yml", event) == 1
    assert json.loads(capfd.readouterr().out)[0]["matched"] is False
    run("explain", rules / "login.yml", event)
    assert "\x1b" not in capfd.readouterr().out


def test_explain_of_a_record_that_is_not_there_ends_with_3(rules: Path, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text("{}")
    assert run("explain", rules / "login.yml", event, "--record", 2) == 3


def test_build_remembers_compiled_rules_unless_told_not_to(rules: Path, tmp_path: Path, cache_home: Path) -> None:
    assert run("build", rules, "-o", tmp_path / "a.pack", "--no-cache") == 0
    assert list(cache_home.iterdir()) == []
    assert run("build", rules, "-o", tmp_path / "b.pack") == 0
    assert run("build", rules, "-o", tmp_path / "c.pack", "--cache", tmp_path / "elsewhere") == 0
    for folder in (cache_home / "jointsoc", tmp_path / "elsewhere"):
        assert (folder / "rules.cache").stat().st_size > 100
    assert len({(tmp_path / f"{name}.pack").read_bytes() for name in "abc"}) == 1


def test_a_cache_that_cannot_be_written_is_told_and_the_pack_is_there(
    rules: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert run("build", rules, "-o", tmp_path / "a.pack", "--cache", tmp_path / "file") == 0
    assert "the compiled rules are not remembered: " in capfd.readouterr().err
    assert (tmp_path / "a.pack").exists()


def test_list_credits_the_authors_of_a_packs_rules(
    rules: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (rules / "login.yml").write_text(RULE + "author: A. Uthor\nlicense: DRL-1.1\n")
    assert run("build", rules, "-o", tmp_path / "rules.pack") == 0
    assert run("list", tmp_path / "rules.pack") == 0
    line = capfd.readouterr().out.splitlines()[1]
    for shown in ("A. Uthor", "DRL-1.1", "login.yml:1"):
        assert shown in line


CORRELATION = """\
title: Guessing at many
id: 00000009-0000-4000-8000-000000000000
name: guessing
correlation: {type: event_count, rules: [login_failed], group-by: [source.ip], timespan: 1h, condition: {gte: 2}}
federation: {enabled: false, min_organizations: 2}
"""


def test_a_disabled_correlation_is_listed_as_such_and_left_out_of_packs(
    rules: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (rules / "guessing.yml").write_text(CORRELATION)
    pack = tmp_path / "rules.pack"
    assert run("list", rules) == 0
    assert "Guessing at many (disabled)" in capfd.readouterr().out
    assert run("build", rules, "-o", pack) == 0
    assert "1 detections, 0 correlations" in capfd.readouterr().err
    (rules / "guessing.yml").write_text(CORRELATION.replace("false", "true"))
    assert run("build", rules, "-o", pack) == 0
    capfd.readouterr()
    assert run("list", "--format", "json", pack) == 0
    assert [row["kind"] for row in json.loads(capfd.readouterr().out)] == ["detection", "correlation"]


def test_enabled_is_yes_or_no(rules: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (rules / "guessing.yml").write_text(CORRELATION.replace("false", "later"))
    assert run("build", rules, "-o", rules / "rules.pack") == 2
    assert "guessing.yml:5: not yes or no; got later; expected true or false" in capfd.readouterr().err


def test_a_correlation_for_more_groups_than_there_are_is_refused_or_asked_to_wait(
    rules: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (rules / "guessing.yml").write_text(CORRELATION.replace("false", "true"))
    (tmp_path / "members.yml").write_text("members: [{id: kestrel-bank, name: Kestrel Bank}]\n")
    build = ("build", rules, "--members", tmp_path / "members.yml", "-o", tmp_path / "rules.pack")
    assert run(*build) == 2
    assert "guessing.yml:" in capfd.readouterr().err
    assert run(*build, "--skip-unsupported") == 0
    assert "more corporate groups than there are members" in capfd.readouterr().err


def test_lists_beside_the_rules_fill_placeholders(rules: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (rules / "login.yml").write_text(RULE.replace("event.outcome: failure", "user.name|expand: '%people%'"))
    assert run("build", rules, "-o", rules.parent / "rules.pack") == 2
    (rules / "people.lists.yaml").write_text("people: [kim, 'lee*']\n")
    assert run("build", rules, "-o", rules.parent / "rules.pack") == 0
    (rules / "more.lists.yaml").write_text("people: [ann]\n")
    assert run("build", rules, "-o", rules.parent / "rules.pack") == 3
    assert "another list has this name" in capfd.readouterr().err
