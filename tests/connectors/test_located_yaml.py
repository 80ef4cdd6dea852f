from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from connectors.located_yaml import LocatedYaml
from schemas.errors import ConfigError


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int


class Outer(BaseModel):
    items: list[Inner]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.yml"


def fault(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        LocatedYaml(path).read_as(Outer)
    return str(caught.value)


def test_a_wrong_value_is_told_with_its_file_line_and_key(path: Path) -> None:
    told = fault(path, "items:\n  - size: 1\n  - size: many\n")
    assert told.startswith(f"{path}:3: items.1.size: ")
    assert "'many'" in told


def test_a_missing_key_is_told_at_its_parent(path: Path) -> None:
    assert fault(path, "items:\n  - size: 1\n  - {}\n").startswith(f"{path}:3: items.1.size: Field required")


def test_an_unknown_key_is_told_at_its_own_line(path: Path) -> None:
    assert fault(path, "items:\n  - size: 1\n    sice: 2\n").startswith(f"{path}:3: items.0.sice: ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("items: [1, 2\nb: 3", "not YAML"),
        ("items: 1\nitems: 2", "given twice"),
        ("a: &a [1]\nitems: *a", "aliases"),
        ("? [1, 2]\n: 3", "plain text"),
        ("items: !!python/name:os.system x", "not YAML"),
        ("", "valid dictionary"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(path: Path, text: str, told: str) -> None:
    assert told in fault(path, text)


def test_a_file_that_is_no_text_or_too_large_or_missing_is_refused(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        LocatedYaml(path)
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="too large"):
        LocatedYaml(path)
    with pytest.raises(ConfigError, match="cannot read"):
        LocatedYaml(tmp_path / "none.yml")
