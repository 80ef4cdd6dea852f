from __future__ import annotations

import hmac
from pathlib import Path

import pytest

from connectors.pseudonyms import OldPseudonyms, Pseudonyms, canonical, read_key
from schemas.errors import ConfigError

KEY, OTHER = bytes(32), b"\1" * 32


def test_a_pseudonym_is_the_hmac_of_kind_and_canonical_value() -> None:
    expected = hmac.new(OTHER, b"customer|a123456789", "sha256").hexdigest()
    assert Pseudonyms(KEY, OTHER).of("federation", "customer", " A123456789\t") == expected


@pytest.mark.parametrize("same", ["ALICE", " alice ", "\uff21lice", "Al\u0131ce".replace("\u0131", "i")])
def test_spellings_of_one_identifier_are_one_pseudonym(same: str) -> None:
    names = Pseudonyms(KEY, OTHER)
    assert names.of("federation", "customer", same) == names.of("federation", "customer", "alice")


def test_kind_and_key_and_value_each_make_another_pseudonym() -> None:
    names = Pseudonyms(KEY, OTHER)
    made = {
        names.of("federation", "customer", "a"),
        names.of("federation", "payee", "a"),
        names.of("institution", "customer", "a"),
        names.of("federation", "customer", "b"),
        names.event_id_key.hex(),
    }
    assert len(made) == 5


def test_nothing_has_no_pseudonym() -> None:
    assert Pseudonyms(KEY, OTHER).of("federation", "customer", " \u3000") is None


@pytest.mark.parametrize("text", ["\u1e9e", "\ufb01n", "\u0345\u0391", "ΐ"])
def test_the_canonical_form_of_a_canonical_form_is_itself(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)


def test_a_key_that_is_not_configured_is_asked_for_by_name() -> None:
    with pytest.raises(ConfigError, match=r"keys\.federation"):
        Pseudonyms(KEY, None).of("federation", "customer", "a")


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_a_key_file_holds_hexadecimal_digits(tmp_path: Path) -> None:
    assert read_key(write(tmp_path / "key", "ab" * 32 + "\n")) == b"\xab" * 32


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        ("ab" * 31, 0o600, "too short"),
        ("my secret key", 0o600, "hexadecimal"),
        ("ab" * 32, 0o644, "other users"),
        ("", 0o600, "empty"),
    ],
)
def test_a_bad_key_file_is_refused_without_showing_it(tmp_path: Path, text: str, mode: int, told: str) -> None:
    path = write(tmp_path / "key", text, mode)
    with pytest.raises(ConfigError) as caught:
        read_key(path)
    assert told in str(caught.value)
    assert not text or text not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__cause__ is None


def test_while_keys_change_an_identifier_leaves_under_both() -> None:
    old = OldPseudonyms(1, {"federation": b"o" * 32})
    names = Pseudonyms(KEY, OTHER, old)
    new, before = Pseudonyms(KEY, OTHER), Pseudonyms(KEY, b"o" * 32)
    both = [new.of("federation", "customer", "a"), before.of("federation", "customer", "a")]
    assert names.under_all_keys("federation", "customer", " A ") == both
    assert names.under_all_keys("institution", "user", "a") == new.of("institution", "user", "a")
    assert names.under_all_keys("federation", "customer", " ") is None
    assert new.under_all_keys("federation", "customer", "a") == both[0]


def test_a_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_KEY", "ab" * 32)
    assert read_key(Path("env:OUR_KEY")) == b"\xab" * 32
    with pytest.raises(ConfigError, match="no such key"):
        read_key(Path("env:NOBODY_SET_THIS"))
