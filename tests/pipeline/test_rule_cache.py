from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import rule_cache
from pipeline.detect import compile as compiler
from pipeline.rule_cache import FILE_NAME, RuleCache, user_cache
from pipeline.rulepack import RulePack, build_pack
from schemas.errors import RuleError
from schemas.member import MemberRegistry

RULE = """\
title: Rule {number}
id: 5b1f4e0a-6a7e-4d55-9a5e-{number:012}
name: rule_{number}
logsource: {{product: portal}}
detection: {{sel: {{event.action: "{action}"}}, condition: sel}}
"""
CORRELATION = """\
title: Many
id: 5b1f4e0a-6a7e-4d55-9a5e-0000000000ff
correlation: {type: event_count, rules: [rule_1], group-by: [source.ip], timespan: 1h, condition: {gte: 3}}
---
title: Known
id: 5b1f4e0a-6a7e-4d55-9a5e-0000000000fe
logsource: {product: portal}
filter: {rules: [rule_2], sel: {user.name: backup}, condition: not sel}
"""


class Site:
    """A rule folder, a cache folder, and which files a build compiles."""

    def __init__(self, folder: Path) -> None:
        self.rules = folder / "rules"
        self.rules.mkdir()
        self.cache = folder / "cache"
        self.compiled: list[str] = []
        for number in (1, 2, 3):
            self.write(number, "probe")
        (self.rules / "more.yml").write_text(CORRELATION)

    def write(self, number: int, action: str) -> None:
        (self.rules / f"{number}.yml").write_text(RULE.format(number=number, action=action))

    def build(self, cache: RuleCache | None = None, **more: Any) -> RulePack:
        self.compiled.clear()
        cache = cache or RuleCache(self.cache)
        pack = build_pack([self.rules], MemberRegistry(), cache=cache, **more)
        cache.save()
        return pack


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(tmp_path)
    real = compiler.compile_detection

    def noted(document: Any, *rest: Any) -> Any:
        site.compiled.append(document.path.name)
        return real(document, *rest)

    monkeypatch.setattr(compiler, "compile_detection", noted)
    return site


def test_a_second_build_compiles_nothing_and_gives_the_same_bytes(site: Site) -> None:
    first = site.build()
    assert site.compiled == ["1.yml", "2.yml", "3.yml"]
    second = site.build()
    assert site.compiled == []
    assert second.to_bytes() == first.to_bytes() == build_pack([site.rules], MemberRegistry()).to_bytes()
    assert [plan.filters for plan in second.detections] == [(), ("5b1f4e0a-6a7e-4d55-9a5e-0000000000fe",), ()]


def test_only_what_changed_is_compiled(site: Site) -> None:
    site.build()
    site.write(2, "login")
    pack = site.build()
    assert site.compiled == ["2.yml"]
    assert pack.to_bytes() == build_pack([site.rules], MemberRegistry()).to_bytes()


def test_a_file_of_another_name_is_compiled_since_plans_say_where_they_come_from(site: Site) -> None:
    site.build()
    (site.rules / "2.yml").rename(site.rules / "two.yml")
    assert site.build().detections[1].source == "two.yml:1"


def test_other_placeholders_compile_anew(site: Site) -> None:
    (site.rules / "1.yml").write_text(RULE.format(number=1, action="%bad%").replace("action:", "action|expand:"))
    site.build(placeholders={"bad": ("a",)})
    changed = site.build(placeholders={"bad": ("a", "b")})
    assert site.compiled == ["1.yml", "2.yml", "3.yml"]
    assert changed.to_bytes() == build_pack([site.rules], MemberRegistry(), placeholders={"bad": ("a", "b")}).to_bytes()


def test_another_compiler_compiles_anew(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.build()
    monkeypatch.setattr(rule_cache, "_compiler", lambda: b"another")
    site.build()
    assert site.compiled == ["1.yml", "2.yml", "3.yml"]


def test_a_rule_that_cannot_be_honoured_is_told_at_every_build(site: Site) -> None:
    (site.rules / "3.yml").write_text(RULE.format(number=3, action="x").replace("condition: sel", "condition: no"))
    for _ in range(2):
        told: list[RuleError] = []
        site.build(skip_unsupported=True, on_problem=told.append)
        assert [problem.where.rpartition("/")[2] for problem in told] == ["3.yml:5"]


def test_an_id_that_two_files_share_is_told_with_its_line_out_of_the_cache_too(site: Site) -> None:
    site.build()
    (site.rules / "4.yml").write_text("# a comment\n" + (site.rules / "1.yml").read_text())
    for _ in range(2):
        with pytest.raises(RuleError, match=r"4\.yml:3: this id belongs to another rule \(1\.yml:1\)"):
            site.build()
    cache = RuleCache(site.cache)
    with pytest.raises(RuleError):
        build_pack([site.rules], MemberRegistry(), cache=cache)
    cache.save()
    with pytest.raises(RuleError, match=r"4\.yml:3: this id belongs"):
        site.build()


def damage(name: str) -> Callable[[bytes], bytes]:
    return {
        "empty": lambda _: b"",
        "cut": lambda data: data[:-1],
        "longer": lambda data: data + b"x",
        "another format": lambda data: data.replace(b"cache 1", b"cache 2"),
        "changed": lambda data: data.replace(b"probe", b"prone"),
        "nonsense": lambda _: b"\x80\x04pickle" * 9,
    }[name]


@pytest.mark.parametrize("name", ["empty", "cut", "longer", "another format", "changed", "nonsense"])
def test_a_damaged_cache_is_no_cache_and_is_written_anew(site: Site, name: str) -> None:
    whole = site.build().to_bytes()
    file = site.cache / FILE_NAME
    file.write_bytes(damage(name)(file.read_bytes()))
    assert site.build().to_bytes() == whole
    assert site.compiled == ["1.yml", "2.yml", "3.yml"]
    site.build()
    assert site.compiled == []


def test_a_cache_of_another_user_is_not_believed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.build()
    monkeypatch.setattr("pipeline.rule_cache.os.geteuid", lambda: 12345)
    site.build()
    assert site.compiled == ["1.yml", "2.yml", "3.yml"]


def test_what_was_used_longest_ago_goes_first_when_there_is_too_much(site: Site) -> None:
    site.build()
    size = (site.cache / FILE_NAME).stat().st_size
    for number in range(4, 20):
        site.write(3, f"probe-{number}")
        site.build(RuleCache(site.cache, max_bytes=size))
    assert (site.cache / FILE_NAME).stat().st_size < 2 * size
    site.build()
    assert site.compiled == [], "what the newest build used is kept"
    site.write(3, "probe-4")
    site.build()
    assert site.compiled == ["3.yml"]


def test_a_file_that_is_written_while_it_is_compiled_is_not_remembered(site: Site) -> None:
    site.build(on_progress=lambda *_: site.write(1, "changed"))
    site.build()
    assert "1.yml" in site.compiled


def test_the_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "jointsoc"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache() == tmp_path / ".cache" / "jointsoc"
