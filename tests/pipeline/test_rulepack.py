from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.detect.compile import compile_detections
from pipeline.detect.evaluate import Detector
from pipeline.detect.load import load_documents
from pipeline.rulepack import MAGIC, RulePack, build_pack, check_correlations, is_pack, read_pack
from schemas.errors import ConfigError, RuleError
from schemas.logsource import PRODUCT
from schemas.member import Member, MemberRegistry

ROOT = Path(__file__).parents[2]
REGISTRY = MemberRegistry(
    members=(
        Member(id="kestrel-bank", name="Kestrel Bank", kind="bank"),
        Member(id="heron-trust", name="Heron Trust", kind="bank", group="heron"),
        Member(id="heron-life", name="Heron Life", kind="insurer", group="heron", enabled=False),
    )
)
LOGIN = """\
title: Log-in failed
id: 00000002-0000-4000-8000-000000000000
name: login_failed
logsource: {product: portal}
detection: {sel: {event.outcome: failure}, condition: sel}
"""
SHELL = """\
title: Web shell
id: 00000001-0000-4000-8000-000000000000
logsource: {product: windows}
federation: {alert: true}
detection: {sel: {file.path|endswith: .aspx}, condition: sel}
"""
STUFFING = """\
title: Credential stuffing
id: 00000003-0000-4000-8000-000000000000
correlation:
  type: event_count
  rules: [login_failed]
  group-by: [source.ip]
  timespan: 1h
  condition: {gte: 3}
federation: {min_organizations: 2}
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    for name, text in {"login": LOGIN, "shell": SHELL, "stuffing": STUFFING}.items():
        (folder / f"{name}.yml").write_text(text)
    return folder


def test_a_pack_comes_back_from_its_file_unchanged(rules: Path, tmp_path: Path) -> None:
    built = build_pack([rules], REGISTRY)
    built.write(tmp_path / "rules.pack")
    read = read_pack(tmp_path / "rules.pack")
    assert (read.version, read.detections, read.correlations) == (built.version, built.detections, built.correlations)
    assert read.registry() == REGISTRY
    assert [member.id for member in read.members()] == ["kestrel-bank", "heron-trust", "heron-life"]
    assert read.groups() == {"kestrel-bank": "kestrel-bank", "heron-trust": "heron", "heron-life": "heron"}
    assert read.to_bytes() == built.to_bytes()


def test_a_pack_that_was_read_detects(rules: Path, tmp_path: Path) -> None:
    build_pack([rules], REGISTRY).write(tmp_path / "rules.pack")
    pack = read_pack(tmp_path / "rules.pack")
    matched = Detector(pack.detections).match({PRODUCT: "portal", "event.outcome": "failure"})
    assert [pack.detections[index].title for index in matched] == ["Log-in failed"]


def test_detections_say_whether_they_alert_by_themselves(rules: Path) -> None:
    assert {plan.title: plan.alerts for plan in build_pack([rules], REGISTRY).detections} == {
        "Web shell": True,
        "Log-in failed": False,
    }


def test_the_same_rules_give_the_same_bytes_wherever_they_lie(rules: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "another" / "place"
    shutil.copytree(rules, elsewhere)
    paths = [elsewhere / name for name in ("stuffing.yml", "shell.yml", "login.yml")]
    assert build_pack(paths, REGISTRY).to_bytes() == build_pack([rules], REGISTRY).to_bytes()


def test_the_same_rules_give_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    """Python's hashes differ from process to process, and with them the order of its sets."""
    code = (
        "import sys; from pathlib import Path; from pipeline.rulepack import build_pack;"
        "from schemas.member import Member, MemberRegistry;"
        "members = MemberRegistry(members=[Member(id=f'bank-{each}', name=each) for each in 'abcdef']);"
        "build_pack([Path(each) for each in sys.argv[2:]], members).write(Path(sys.argv[1]))"
    )
    folders = [ROOT / "rules" / "sigma" / "correlations", ROOT / "rules" / "sigma" / "detections"]
    packs = []
    for seed, order in (("1", folders), ("2", folders[::-1])):
        path = tmp_path / seed
        environ = os.environ | {"PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", code, path, *order], env=environ, cwd=ROOT, check=True)
        packs.append(path.read_bytes())
    assert packs[0] == packs[1]


def test_any_change_of_rules_or_members_changes_the_version(rules: Path) -> None:
    before = build_pack([rules], REGISTRY).version
    assert build_pack([rules], MemberRegistry(members=REGISTRY.members[:2])).version != before
    (rules / "login.yml").write_text(LOGIN.replace("failure", "denied"))
    assert build_pack([rules], REGISTRY).version != before


def test_a_rule_that_cannot_be_honoured_fails_the_build_by_name(rules: Path) -> None:
    (rules / "shell.yml").write_text(SHELL.replace("endswith", "endwith"))
    with pytest.raises(RuleError, match=r"shell\.yml:5: unknown modifier `endwith`"):
        build_pack([rules], REGISTRY)


def test_skipping_tells_every_rule_left_out(rules: Path) -> None:
    (rules / "shell.yml").write_text(SHELL.replace("endswith", "endwith"))
    (rules / "broken.yml").write_text("title: [\n")
    told: list[RuleError] = []
    pack = build_pack([rules], REGISTRY, skip_unsupported=True, on_problem=told.append)
    assert [plan.title for plan in pack.detections] == ["Log-in failed"]
    assert sorted(problem.where.rpartition("/")[2] for problem in told) == ["broken.yml:2", "shell.yml:5"]


def test_a_correlation_of_a_rule_left_out_fails_the_build(rules: Path) -> None:
    (rules / "login.yml").write_text(LOGIN.replace("failure", "%x%").replace("outcome", "outcome|expand"))
    with pytest.raises(RuleError, match=r"stuffing\.yml"):
        build_pack([rules], REGISTRY, skip_unsupported=True)


def test_placeholders_are_filled_at_build_time(rules: Path) -> None:
    (rules / "login.yml").write_text(LOGIN.replace("failure", "'%bad%'").replace("outcome", "outcome|expand"))
    pack = build_pack([rules], REGISTRY, placeholders={"bad": ["failure", "denied"]})
    assert Detector(pack.detections).match({PRODUCT: "portal", "event.outcome": "denied"}) == (1,)


def test_two_detections_of_one_name_are_refused(rules: Path) -> None:
    (rules / "other.yml").write_text(LOGIN.replace("00000002", "00000009"))
    with pytest.raises(RuleError, match="this name belongs to another rule; got login_failed"):
        build_pack([rules], REGISTRY)


def test_every_broken_correlation_is_told(rules: Path) -> None:
    (rules / "a.yml").write_text(STUFFING.replace("00000003", "00000004").replace("login_failed", "nothing"))
    (rules / "b.yml").write_text(STUFFING.replace("00000003", "00000005").replace("1h", "soon"))
    documents = load_documents([rules])
    problems = check_correlations(documents, compile_detections(documents).plans, REGISTRY)
    assert [problem.where.rpartition("/")[2].partition(":")[0] for problem in problems] == ["a.yml", "b.yml"]


def test_an_interrupted_write_leaves_the_old_pack(rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rules.pack"
    build_pack([rules], REGISTRY).write(path)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("pipeline.rulepack.os.fsync", fail)
    with pytest.raises(OSError, match="no space"):
        RulePack([], [], REGISTRY).write(path)
    assert path.read_bytes() == before


def test_a_pack_is_told_from_other_files(rules: Path, tmp_path: Path) -> None:
    path = tmp_path / "rules.pack"
    build_pack([rules], REGISTRY).write(path)
    assert is_pack(path)
    assert not is_pack(rules / "login.yml")
    assert not is_pack(rules)
    assert not is_pack(tmp_path / "missing")


def damaged(good: bytes) -> list[bytes]:
    version = len(MAGIC)
    return [
        b"",
        b"\x80\x04pickle",
        good[:-1],
        good + b"x",
        good[: version + 5],
        good.replace(b"Log-in failed", b"Log-in passed"),
        good[:version] + b"0" * 32 + good[version + 32 :],
        MAGIC + b"\xff" * 60,
    ]


@pytest.mark.parametrize("case", range(8))
def test_a_damaged_pack_is_refused(rules: Path, tmp_path: Path, case: int) -> None:
    path = tmp_path / "rules.pack"
    path.write_bytes(damaged(build_pack([rules], REGISTRY).to_bytes())[case])
    with pytest.raises(ConfigError, match="rules build"):
        read_pack(path)


def test_content_of_another_release_is_refused(rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rules.pack"
    monkeypatch.setattr("pipeline.rulepack.msgspec.msgpack.encode", lambda *_, **__: b"\x81\xa1x\x01")
    RulePack([], [], REGISTRY).write(path)
    with pytest.raises(ConfigError, match="not a pack of this release"):
        read_pack(path)


def test_a_missing_pack_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="jsoc rules build"):
        read_pack(tmp_path / "missing.pack")


def test_generate_lets_the_detections_below_alert_by_themselves(rules: Path) -> None:
    (rules / "stuffing.yml").write_text(STUFFING + "generate: true\n")
    assert [plan.alerts for plan in build_pack([rules], REGISTRY).detections] == [True, True]


def test_a_filter_is_for_detections_and_one_that_names_a_correlation_is_refused(rules: Path) -> None:
    known = "filter:\n  rules: [00000003-0000-4000-8000-000000000000]\n  known: {a: b}\n  condition: not known\n"
    (rules / "filter.yml").write_text(
        f"title: Filter\nid: 0000000f-0000-4000-8000-000000000000\nlogsource: {{product: portal}}\n{known}"
    )
    with pytest.raises(RuleError, match=r"filter\.yml:5: the filter names a rule that is not here; got 00000003"):
        build_pack([rules], REGISTRY)


def test_a_chain_of_correlations_is_checked_whole(rules: Path) -> None:
    text = STUFFING.replace("00000003", "00000004").replace("login_failed", "00000003-0000-4000-8000-000000000000")
    (rules / "chain.yml").write_text(text)
    documents = load_documents([rules])
    plans = compile_detections(documents).plans
    assert check_correlations(documents, plans, REGISTRY) == []
    (rules / "stuffing.yml").write_text(STUFFING.replace("gte: 3", "gte: 0"))
    problems = check_correlations(load_documents([rules]), plans, REGISTRY)
    assert [str(problem).partition(";")[0].rpartition("/")[2] for problem in problems] == [
        "stuffing.yml:8: the condition always holds"
    ]
