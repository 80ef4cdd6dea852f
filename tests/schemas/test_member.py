from pathlib import Path

import pytest

from schemas.errors import ConfigError
from schemas.member import Member, MemberRegistry, load_registry, member_of_topic, save_registry


def test_a_registry_survives_writing_and_reading(tmp_path: Path) -> None:
    registry = MemberRegistry(
        members=(Member(id="bank-a", name="Bank A", kind="bank", group="alpha"), Member(id="ins-b", name="Insurer B"))
    )
    save_registry(tmp_path / "members.yml", registry)
    assert load_registry(tmp_path / "members.yml") == registry


def test_a_member_without_a_group_counts_for_itself() -> None:
    registry = MemberRegistry(members=(Member(id="bank-a", name="A", group="g"), Member(id="bank-b", name="B")))
    assert registry.groups() == {"bank-a": "g", "bank-b": "bank-b"}


def test_a_disabled_member_is_not_among_the_enabled() -> None:
    registry = MemberRegistry(members=(Member(id="bank-a", name="A", enabled=False), Member(id="bank-b", name="B")))
    assert registry.enabled_ids() == {"bank-b"}


def test_the_topic_names_the_member() -> None:
    assert member_of_topic(Member(id="bank-a", name="A").topic) == "bank-a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("members: [{id: Bank_A, name: A}]", "members.0.id"),
        ("members: [{id: bank-a, name: A}, {id: bank-a, name: B}]", "must be unique"),
        ("members: [{id: bank-a, name: A, colour: red}]", "members.0.colour"),
        ("members: [", "not YAML"),
        ("!!python/object/apply:os.system [true]", "not YAML"),
    ],
)
def test_a_bad_registry_names_the_place(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "members.yml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=expected) as caught:
        load_registry(path)
    assert str(path) in str(caught.value)


def test_an_empty_registry_is_a_registry(tmp_path: Path) -> None:
    (tmp_path / "members.yml").write_text("")
    assert load_registry(tmp_path / "members.yml").members == ()
