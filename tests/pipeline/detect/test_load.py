from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.detect.load import MAX_NODES, documents_in, load_documents
from schemas.errors import ConfigError, RuleError

RULE = "title: A\ndetection:\n  sel:\n    a: [x, y]\n  condition: sel\n"


def write(folder: Path, name: str, text: str | bytes = RULE) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_folders_are_searched_in_the_order_of_names_hidden_ones_left_out(tmp_path: Path) -> None:
    for name in ("b.yaml", "a/z.yml", "a/b.yml", ".git/x.yml", "a/.hidden.yml", "readme.md"):
        write(tmp_path, name)
    found = [document.path.relative_to(tmp_path).as_posix() for document in load_documents([tmp_path])]
    assert found == ["a/b.yml", "a/z.yml", "b.yaml"]


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    path = write(tmp_path, "a.yml")
    assert len(load_documents([path, tmp_path])) == 1


def test_kinds_are_told_by_content_and_empty_documents_skipped(tmp_path: Path) -> None:
    text = f"---\n{RULE}---\n---\ntitle: C\ncorrelation: {{}}\n---\ntitle: F\nfilter: {{}}\n"
    kinds = [document.kind for document in load_documents([write(tmp_path, "a.yml", text)])]
    assert kinds == ["detection", "correlation", "filter"]


def test_every_key_and_list_item_has_its_line() -> None:
    [document] = documents_in("\n# a comment\n" + RULE, Path("r.yml"))
    assert document.line == 3
    assert document.where("detection", "sel", "a") == "r.yml:6"
    assert document.where("detection", "sel", "a", 1) == "r.yml:6"
    assert document.where("detection", "missing") == "r.yml:4"
    assert document.where() == "r.yml:3"


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("title: A\ntitle: B\ndetection: {}\n", 2, "twice"),
        ("detection:\n  sel: {a: 1, a: 2}\n", 2, "twice"),
        ("detection:\n  sel:\n    4625: x\n", 3, "must be text"),
        ("detection:\n  ? [a]\n  : x\n", 2, "must be text"),
        ("detection: [\n", 2, "not YAML"),
        ("detection:\n\t- x\n", 2, "not YAML"),
        ("title: A\n", 1, "not a rule"),
        ("- a\n- b\n", 1, "not a rule"),
        ("just text\n", 1, "not a rule"),
        ("action: global\ndetection: {}\n", 1, "not part of Sigma 2"),
        ("detection: !!python/object/apply:os.system [true]\n", 1, "not YAML"),
        ("detection: {a: *unknown}\n", 1, "not YAML"),
        ("detection: {<<: {a: 1}}\n", 1, "not YAML"),
        ("detection: {when: 2024-99-99}\n", 1, "not a value"),
        ("a: \x00\n", 1, "not YAML"),
    ],
)
def test_what_is_not_a_rule_is_refused_with_its_line(text: str, line: int, told: str) -> None:
    with pytest.raises(RuleError, match=told) as caught:
        list(documents_in(text, Path("r.yml")))
    assert caught.value.where == f"r.yml:{line}"


def test_an_alias_bomb_is_refused_at_once() -> None:
    levels = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    levels += [
        f"{name}: &{name} [{', '.join(['*' + before] * 10)}]" for before, name in zip("abcdefg", "bcdefgh", strict=True)
    ]
    with pytest.raises(RuleError, match=f"aliases followed; expected at most {MAX_NODES}"):
        list(documents_in("\n".join([*levels, "detection: {}"]), Path("r.yml")))


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a, *a]\ndetection: {}\n",
        "detection: " + "[" * 60 + "]" * 60 + "\n",
        "detection: " + "[" * 200_000,
        "detection: " + "{a: " * 200_000,
        "- " * 200_000,
        "? " * 200_000,
    ],
    ids=["alias", "closed", "brackets", "braces", "items", "keys"],
)
def test_endless_nesting_is_refused(text: str) -> None:
    with pytest.raises(RuleError, match="nested too deeply"):
        list(documents_in(text, Path("r.yml")))


def test_bytes_that_are_no_utf8_are_refused_with_their_line(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match=r"a\.yml:2: not UTF-8; got byte 0xff"):
        load_documents([write(tmp_path, "a.yml", b"title: A\ndetection: \xff\n")])


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    assert len(load_documents([write(tmp_path, "a.yml", b"\xef\xbb\xbf" + RULE.encode())])) == 1


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="too large"):
        load_documents([write(tmp_path, "a.yml", b"#" * 5_000_000)])


def test_problems_can_be_noted_and_the_rest_read(tmp_path: Path) -> None:
    write(tmp_path, "a.yml", "title: [\n")
    write(tmp_path, "b.yml")
    problems: list[RuleError] = []
    documents = load_documents([tmp_path], problems=problems)
    assert [document.path.name for document in documents] == ["b.yml"]
    assert [problem.where.rpartition("/")[2] for problem in problems] == ["a.yml:2"]


def test_a_missing_path_and_a_folder_without_rules_are_configuration_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_documents([tmp_path / "missing"])
    with pytest.raises(ConfigError, match="no rules here"):
        load_documents([tmp_path])


def test_a_list_of_five_thousand_values_is_fine() -> None:
    values = "\n".join(f"      - value-{number}" for number in range(5_000))
    [document] = documents_in(f"title: A\ndetection:\n  sel:\n    a:\n{values}\n  condition: sel\n", Path("r.yml"))
    assert len(document.data["detection"]["sel"]["a"]) == 5_000
