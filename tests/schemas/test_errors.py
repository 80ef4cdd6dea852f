import pytest

from schemas.errors import ConfigError, ConnectionError_, EventError, JointSocError, RuleError, printable


def test_an_error_says_where_what_got_expected_and_what_to_try() -> None:
    error = ConfigError("a.yml:3", "unknown key", got="colour", expected="one of id, name", hint="jsoc member list")
    assert str(error) == "a.yml:3: unknown key; got colour; expected one of id, name. Try: jsoc member list"


def test_hostile_text_cannot_move_the_cursor() -> None:
    assert "\x1b" not in str(EventError("x", "bad", got="\x1b[2J" + "\u202e"))


def test_long_values_are_cut() -> None:
    assert len(str(EventError("x", "bad", got="y" * 10_000))) < 300


@pytest.mark.parametrize(
    ("kind", "code"), [(RuleError, 2), (ConfigError, 3), (ConnectionError_, 3), (EventError, 1), (JointSocError, 3)]
)
def test_exit_codes_are_the_contract(kind: type[JointSocError], code: int) -> None:
    assert kind("x", "y").exit_code == code


def test_ordinary_text_stays_as_it_is() -> None:
    assert printable("Genève 銀行") == "Genève 銀行"
