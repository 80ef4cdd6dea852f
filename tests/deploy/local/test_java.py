from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.java import find_java_home
from schemas.errors import ConfigError


def jdk(folder: Path, version: str, *, full: bool = True) -> Path:
    (folder / "bin").mkdir(parents=True)
    java = folder / "bin" / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n", encoding="utf-8")
    java.chmod(0o755)
    if full:
        (folder / "bin" / "javac").touch()
    return folder


def test_java_home_wins_over_the_path(tmp_path: Path) -> None:
    chosen, other = jdk(tmp_path / "a", "17.0.15"), jdk(tmp_path / "b", "21.0.1")
    assert find_java_home({"JAVA_HOME": str(chosen), "PATH": str(other / "bin")}) == chosen


def test_without_java_home_the_jdk_behind_the_path_is_found_through_links(tmp_path: Path) -> None:
    home = jdk(tmp_path / "jdk", "21.0.1")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to(home / "bin" / "java")
    assert find_java_home({"PATH": str(tmp_path / "bin")}) == home


@pytest.mark.parametrize(
    ("version", "full", "complaint"),
    [("1.8.0_412", True, "Java 1"), ("11.0.2", True, "Java 11"), ("17.0.1", False, "JDK")],
)
def test_an_old_java_or_a_mere_runtime_is_refused(tmp_path: Path, version: str, full: bool, complaint: str) -> None:
    home = jdk(tmp_path / "jdk", version, full=full)
    with pytest.raises(ConfigError, match=complaint):
        find_java_home({"JAVA_HOME": str(home)})


def test_no_java_at_all_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Try: install a JDK"):
        find_java_home({"PATH": str(tmp_path)})


def test_a_java_home_without_java_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="JAVA_HOME"):
        find_java_home({"JAVA_HOME": str(tmp_path)})
