from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dashboard.accounts import Accounts
from dashboard.tokens import Tokens
from pipeline.cli.user import user
from schemas.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Accounts(tmp_path)
    return tmp_path


def run(folder: Path, *words: str) -> Result:
    result = CliRunner().invoke(user, [*words, "--secrets", str(folder)])
    if isinstance(result.exception, ConfigError):
        raise result.exception
    return result


def test_the_printed_password_opens_the_account(folder: Path) -> None:
    word = run(folder, "add", "kim", "--role", "member_viewer", "--member", "kestrel-bank").stdout.strip()
    assert Accounts(folder).verify("kim", word)
    new = run(folder, "password", "kim").stdout.strip()
    assert Accounts(folder).verify("kim", new)
    assert not Accounts(folder).verify("kim", word)


def test_the_printed_token_acts_until_its_user_is_removed(folder: Path) -> None:
    run(folder, "add", "mei", "--role", "analyst")
    secret = run(folder, "token", "mei", "tickets").stdout.strip()
    assert Tokens(folder).user_of(secret) == "mei"
    listed = run(folder, "list").stdout
    assert "mei" in listed
    assert "tickets (until 20" in listed
    assert secret not in listed
    run(folder, "remove", "mei")
    assert Tokens(folder).user_of(secret) is None


def test_mistakes_are_told(folder: Path, tmp_path: Path) -> None:
    for words in (("remove", "nobody"), ("password", "nobody"), ("token", "nobody", "x"), ("remove", "analyst")):
        with pytest.raises(ConfigError):
            run(folder, *words)
    with pytest.raises(ConfigError, match="no dashboard here"):
        run(tmp_path / "missing", "list")
    assert run(folder, "add", "mei", "--role", "king").exit_code == 2
