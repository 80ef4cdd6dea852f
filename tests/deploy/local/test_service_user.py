from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.local import service_user
from deploy.local.service_user import can_reach, own, step_down
from schemas.errors import ConfigError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A program below folders that anybody may enter, whatever the temporary folder's own mode."""
    folder = tmp_path / "open" / "program"
    folder.mkdir(parents=True)
    for each in (tmp_path, *tmp_path.parents):
        if each.stat().st_uid == os.geteuid() and each != Path("/"):
            each.chmod(each.stat().st_mode | 0o011)
    return folder


def test_a_folder_closed_to_others_on_the_way_makes_a_path_unreachable(tree: Path) -> None:
    assert can_reach(tree)
    tree.parent.chmod(0o700)
    assert not can_reach(tree)


def test_the_owner_of_a_closed_folder_can_reach_it(tree: Path) -> None:
    tree.chmod(0o700)
    assert can_reach(tree, uid=os.geteuid())


def test_an_ordinary_user_needs_no_stepping_down(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_user, "must_step_down", lambda: False)
    assert step_down([tree]) == []
    own([tree])


def test_root_steps_down_and_keeps_no_capability_where_none_is_needed(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_user, "must_step_down", lambda: True)
    words = step_down([tree])
    assert "--reuid=65534" in words
    assert "--no-new-privs" in words
    assert not any("dac_read_search" in word for word in words)


def test_below_a_closed_folder_root_keeps_the_one_capability_to_read(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_user, "must_step_down", lambda: True)
    tree.parent.chmod(0o700)
    assert "--ambient-caps=+dac_read_search" in step_down([tree])


def test_root_without_setpriv_is_told_what_to_do(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_user, "must_step_down", lambda: True)
    monkeypatch.setenv("PATH", str(tree))
    with pytest.raises(ConfigError, match="util-linux"):
        step_down([tree])
