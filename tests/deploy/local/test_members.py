from __future__ import annotations

import pytest

from deploy.local.configuration import registry_of
from deploy.local.kafka_access import password_file
from deploy.local.members import add_member, add_members, remove_member
from deploy.local.settings import StackSettings
from schemas.errors import ConfigError
from schemas.member import Member

KESTREL = Member(id="kestrel-bank", name="Kestrel Bank", kind="bank")
HERON = Member(id="heron-life", name="Heron Life", kind="insurer", group="heron")


def quiet(name: str, progress: str, detail: str) -> None:
    pass


def test_with_the_stack_down_members_are_registered_and_get_their_passwords(settings: StackSettings) -> None:
    files = add_members(settings, [KESTREL, HERON], quiet)
    assert registry_of(settings).members == (KESTREL, HERON)
    assert files == [password_file(settings, "kestrel-bank"), password_file(settings, "heron-life")]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files)


def test_adding_the_same_member_again_changes_nothing(settings: StackSettings) -> None:
    word = add_member(settings, KESTREL, quiet).read_text()
    assert add_member(settings, KESTREL, quiet).read_text() == word
    assert registry_of(settings).members == (KESTREL,)


def test_an_id_that_is_taken_with_other_details_is_refused(settings: StackSettings) -> None:
    add_member(settings, KESTREL, quiet)
    with pytest.raises(ConfigError, match="already registered"):
        add_member(settings, Member(id="kestrel-bank", name="Another Bank"), quiet)
    assert registry_of(settings).members == (KESTREL,)


def test_a_reserved_id_is_refused_and_nobody_of_the_same_call_is_registered(settings: StackSettings) -> None:
    with pytest.raises(ConfigError, match="indexer"):
        add_members(settings, [KESTREL, Member(id="indexer", name="Sly")], quiet)
    assert registry_of(settings).members == ()
    assert not password_file(settings, "kestrel-bank").exists()


def test_a_removed_member_leaves_the_registry_and_its_password_is_gone(settings: StackSettings) -> None:
    add_members(settings, [KESTREL, HERON], quiet)
    assert remove_member(settings, "kestrel-bank", quiet) == KESTREL
    assert registry_of(settings).members == (HERON,)
    assert not password_file(settings, "kestrel-bank").exists()


def test_removing_an_unknown_member_names_those_there_are(settings: StackSettings) -> None:
    add_member(settings, HERON, quiet)
    with pytest.raises(ConfigError, match="heron-life"):
        remove_member(settings, "kestrel-bank", quiet)
