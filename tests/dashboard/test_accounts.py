from __future__ import annotations

from pathlib import Path

import pytest

from dashboard.accounts import Accounts, session_key
from dashboard.login_limit import FREE_FAILURES, LONGEST_WAIT_SECONDS, MAX_REMEMBERED, LoginLimit
from dashboard.sessions import LIFETIME_SECONDS, Session, Sessions
from schemas.errors import ConfigError

KEY = b"k" * 32


def test_the_first_start_makes_one_account_whose_password_opens_it(tmp_path: Path, real_hashes: None) -> None:
    accounts = Accounts(tmp_path)
    password = (tmp_path / "dashboard-password").read_text().strip()
    assert len(password) >= 20
    assert accounts.verify("analyst", password)
    assert not accounts.verify("analyst", password + "x")
    assert not accounts.verify("root", password)
    stored = (tmp_path / "dashboard-users.yml").read_text()
    assert "m=65536" in stored or "m=102400" in stored, "a hash that is slow to guess"


def test_removing_the_user_file_makes_a_new_password_and_ends_what_was_signed_for_the_old(tmp_path: Path) -> None:
    before = Accounts(tmp_path).fingerprint("analyst")
    (tmp_path / "dashboard-users.yml").unlink()
    after = Accounts(tmp_path).fingerprint("analyst")
    assert before != after
    assert Accounts(tmp_path).fingerprint("nobody") is None


@pytest.mark.parametrize("content", ["accounts: 5", "- x", "a: [", "accounts: [{name: x}]"])
def test_a_broken_user_file_is_told_with_what_to_do(tmp_path: Path, content: str) -> None:
    path = tmp_path / "dashboard-users.yml"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"not a list of accounts.*Try: remove it"):
        Accounts(tmp_path)


def test_a_user_file_others_can_read_is_refused(tmp_path: Path) -> None:
    Accounts(tmp_path)
    (tmp_path / "dashboard-users.yml").chmod(0o644)
    with pytest.raises(ConfigError, match="can be read by other users"):
        Accounts(tmp_path)


def test_the_session_key_stays_the_same_over_restarts(tmp_path: Path) -> None:
    assert session_key(tmp_path) == session_key(tmp_path)
    assert len(session_key(tmp_path)) == 64


def test_a_session_is_read_back_until_its_time_is_over() -> None:
    now = [1000.0]
    sessions = Sessions(KEY, lambda: now[0])
    token = sessions.token(sessions.start("analyst", "f"))
    read = sessions.read(token)
    assert read is not None
    assert (read.user, read.fingerprint) == ("analyst", "f")
    now[0] += LIFETIME_SECONDS + 1
    assert sessions.read(token) is None


def test_a_token_changed_in_any_character_or_signed_with_another_key_is_nothing() -> None:
    sessions = Sessions(KEY)
    token = sessions.token(sessions.start("analyst", "f"))
    for place in range(len(token)):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert sessions.read(changed) is None
    assert Sessions(b"other" * 8).read(token) is None


def test_a_logged_out_session_stays_out_and_others_stay_in() -> None:
    sessions = Sessions(KEY)
    mine, other = sessions.start("a", "f"), sessions.start("a", "f")
    sessions.end(mine)
    assert sessions.read(sessions.token(mine)) is None
    assert sessions.read(sessions.token(other)) == other


def test_a_form_token_belongs_to_one_session_and_cannot_be_used_as_a_cookie() -> None:
    sessions = Sessions(KEY)
    mine, other = sessions.start("a", "f"), sessions.start("a", "f")
    token = sessions.form_token(mine)
    assert sessions.is_form_token(mine, token)
    assert not sessions.is_form_token(other, token)
    assert not sessions.is_form_token(mine, "")
    assert sessions.read(f"x.{token}") is None


def test_failures_make_the_next_try_wait_ever_longer_and_a_success_forgets_them() -> None:
    now = [0.0]
    limit = LoginLimit(lambda: now[0])
    for _ in range(FREE_FAILURES - 1):
        limit.failed("10.0.0.1", "analyst")
    assert limit.wait_seconds("10.0.0.1", "analyst") == 0
    waits = []
    for _ in range(8):
        limit.failed("10.0.0.1", "analyst")
        waits.append(limit.wait_seconds("10.0.0.1", "analyst"))
    assert waits[:3] == [60, 120, 240]
    assert waits[-1] == LONGEST_WAIT_SECONDS
    assert limit.wait_seconds("10.0.0.2", "analyst") == 0, "another address is not locked out"
    now[0] += LONGEST_WAIT_SECONDS
    assert limit.wait_seconds("10.0.0.1", "analyst") == 0
    limit.succeeded("10.0.0.1", "analyst")
    limit.failed("10.0.0.1", "analyst")
    assert limit.wait_seconds("10.0.0.1", "analyst") == 0


def test_a_flood_of_names_does_not_grow_the_memory() -> None:
    limit = LoginLimit(lambda: 0.0)
    for number in range(MAX_REMEMBERED + 50):
        limit.failed("10.0.0.1", f"user{number}")
    assert len(limit._failures) == MAX_REMEMBERED


def test_a_visit_without_a_user_is_no_log_in() -> None:
    visit = Sessions(KEY).start("", "")
    assert isinstance(visit, Session)
    assert visit.user == ""
