"""API keys of Elasticsearch, where the server has them: one for each process, with no more rights than it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elasticsearch import Elasticsearch

from connectors.elasticsearch import abilities, translated
from connectors.settings import ElasticsearchConnection
from schemas.errors import ConfigError


def make_api_key(
    client: Elasticsearch,
    connection: ElasticsearchConnection,
    process: str,
    role: Mapping[str, Any],
    days: int | None = None,
) -> str:
    """A new key, in the notation that `api_key_file` wants.

    Whoever makes it needs `manage_own_api_key`, and no key has more rights than its maker.

    Args:
        client: of whoever makes it.
        connection: the client's, for errors.
        process: whose key it is.
        role: its rights, as in `roles.yml`.
        days: until it expires; None: never.

    Raises:
        ConfigError: the server has no API keys.
        ConnectionError_: it is away or refuses.
    """
    with translated(connection):
        if not abilities(client)["API keys"]:
            raise ConfigError(
                f"elasticsearch {connection.url}", "has no API keys", hint="use users with passwords (roles.yml)"
            )
        answer = client.security.create_api_key(
            name=f"jointsoc-{process}", role_descriptors={process: role}, expiration=f"{days}d" if days else None
        )
    return str(answer["encoded"])
