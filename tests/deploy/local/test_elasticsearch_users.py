from __future__ import annotations

import base64
import hashlib

import yaml

from connectors.settings import read_secret
from deploy.local.elasticsearch_users import (
    ROLES,
    USERS,
    hash_password,
    password_file,
    roles_file,
    users_file,
    users_roles_file,
)
from deploy.local.settings import StackSettings


def test_the_roles_file_says_what_the_table_says() -> None:
    assert yaml.safe_load(roles_file()) == ROLES


def test_the_roles_file_has_no_anchors_and_each_role_begins_a_line() -> None:
    text = roles_file()
    assert "&" not in text
    assert "{" not in text
    assert [line.rstrip(":") for line in text.splitlines() if not line.startswith((" ", "-"))] == list(ROLES)


def test_every_user_has_exactly_the_role_of_its_name() -> None:
    assert users_roles_file().splitlines() == [f"{user}:{user}" for user in USERS]


def test_nobody_is_a_superuser_and_nobody_has_all_indices() -> None:
    for role in ROLES.values():
        assert "all" not in role["cluster"]
        for grant in role["indices"]:
            assert "all" not in grant["privileges"]
            assert "*" not in grant["names"]


def test_only_the_indexer_and_who_rebuilds_the_index_write_alerts() -> None:
    writes = {"write", "index", "create", "delete", "manage", "create_index"}
    writers = {
        user
        for user, role in ROLES.items()
        for grant in role["indices"]
        if "alerts-*" in grant["names"] and writes & set(grant["privileges"])
    }
    assert writers == {"indexer", "rebuilder"}


def test_a_hash_is_pbkdf2_in_elasticsearchs_notation() -> None:
    salt = bytes(range(32))
    prefix, salt_text, digest = hash_password("word", salt).split("$")
    assert prefix == "{PBKDF2}10000"
    assert base64.b64decode(salt_text) == salt
    assert base64.b64decode(digest) == hashlib.pbkdf2_hmac("sha512", b"word", salt, 10_000, 32)


def test_the_users_file_holds_hashes_and_no_password(settings: StackSettings) -> None:
    text = users_file(settings)
    assert [line.partition(":")[0] for line in text.splitlines()] == list(USERS)
    assert all(read_secret(password_file(settings, user)) not in text for user in USERS)
