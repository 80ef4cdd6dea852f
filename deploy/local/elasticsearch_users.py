"""Elasticsearch's users and roles, as files: one user for each process, with no more rights than it needs.

The file realm takes hashes, so no password is ever given to a program of theirs; nobody is a superuser.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from pathlib import Path
from typing import Any, Final

import yaml

from connectors.settings import ElasticsearchConnection, read_secret
from deploy.local.secret_files import ensure_password
from deploy.local.settings import StackSettings

ITERATIONS: Final = 10_000
"""PBKDF2-HMAC-SHA512; the passwords are 256 random bits, so stretching adds nothing."""

_READ: Final = ["read", "view_index_metadata"]

ROLES: Final[dict[str, dict[str, Any]]] = {
    "indexer": {
        "cluster": ["monitor", "manage_index_templates", "manage_ilm"],
        "indices": [{"names": ["alerts-*"], "privileges": ["create_index", "index", "view_index_metadata"]}],
    },
    # For `jsoc index rebuild`: the one that may remove indices, and of alerts only.
    "rebuilder": {
        "cluster": ["monitor", "manage_index_templates", "manage_ilm"],
        "indices": [{"names": ["alerts-*"], "privileges": [*_READ, "create_index", "index", "delete_index"]}],
    },
    "dashboard": {
        "cluster": ["monitor"],
        "indices": [
            {"names": ["alerts-*"], "privileges": _READ},
            {"names": ["workflow-*"], "privileges": [*_READ, "create_index", "index", "maintenance"]},
            # Entries of the audit are added and read, never changed.
            {"names": ["audit-*"], "privileges": [*_READ, "create_index", "create_doc"]},
        ],
    },
    # For a centre that keeps events too, by a connector of its own: schemas/event_index.py.
    "collector": {
        "cluster": ["monitor", "manage_index_templates"],
        "indices": [{"names": ["events-*"], "privileges": ["create_index", "index", "view_index_metadata"]}],
    },
    "operator": {
        "cluster": ["monitor"],
        "indices": [{"names": ["alerts-*", "workflow-*", "audit-*", "events-*"], "privileges": _READ}],
    },
}

USERS: Final = tuple(ROLES)
"""Every user has the role of the same name."""


def password_file(settings: StackSettings, user: str) -> Path:
    """Where a user's password is."""
    return settings.secrets / f"elasticsearch-{user}.password"


def elasticsearch_connection(settings: StackSettings, user: str) -> ElasticsearchConnection:
    """How a user reaches Elasticsearch; makes its password where there is none."""
    return ElasticsearchConnection(
        url=settings.elasticsearch_url,
        username=user,
        password_file=ensure_password(password_file(settings, user)),
        ca_file=settings.secrets / "ca.crt",
    )


def users_file(settings: StackSettings) -> str:
    """The file realm's `users`: one `name:hash` a line."""
    lines = []
    for user in USERS:
        password = read_secret(ensure_password(password_file(settings, user)))
        lines.append(f"{user}:{hash_password(password, secrets.token_bytes(32))}\n")
    return "".join(lines)


def users_roles_file() -> str:
    """The file realm's `users_roles`: one `role:user` a line."""
    return "".join(f"{user}:{user}\n" for user in USERS)


def roles_file() -> str:
    """`roles.yml`, in block style without anchors: their parser cuts the file at unindented lines."""
    return yaml.safe_dump(json.loads(json.dumps(ROLES)), sort_keys=False, default_flow_style=False)


def hash_password(password: str, salt: bytes) -> str:
    """Elasticsearch's own notation of a PBKDF2 hash: `{PBKDF2}<iterations>$<salt>$<hash>`, both base64."""
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS, dklen=32)
    return f"{{PBKDF2}}{ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"
