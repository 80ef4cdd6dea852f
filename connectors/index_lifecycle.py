"""How long alert indices are kept, by the server's own index lifecycle management (ILM) where it has that."""

from __future__ import annotations

from typing import Any, Final

import structlog
from elasticsearch import Elasticsearch

from connectors.elasticsearch import abilities

log = structlog.get_logger()

POLICY_NAME: Final = "jointsoc-alerts"
MONTH_DAYS: Final = 31
"""An index is for a month, and its age counts from its first alert: the last one is younger by so much."""


def lifecycle_policy(keep_days: int) -> dict[str, Any]:
    """An ILM policy that removes an index once every alert in it is at least so old.

    >>> lifecycle_policy(365)["phases"]["delete"]["min_age"]
    '396d'
    """
    return {"phases": {"delete": {"min_age": f"{keep_days + MONTH_DAYS}d", "actions": {"delete": {}}}}}


def install_lifecycle(client: Elasticsearch, keep_days: int | None) -> dict[str, Any]:
    """Make the policy, and give the index settings that put it in force; none where nothing is to be removed.

    Args:
        client: of a user that may manage policies.
        keep_days: None: for ever.

    Raises:
        ApiError: the server refuses.
        TransportError: it is away.
    """
    if keep_days is None:
        return {}
    if not abilities(client)["ILM"]:
        log.warning(
            "indexer.keeps_for_ever",
            why="this Elasticsearch has no ILM: keep_days has no effect. Try: remove the indices of old months by hand",
        )
        return {}
    client.ilm.put_lifecycle(name=POLICY_NAME, policy=lifecycle_policy(keep_days))
    return {"index.lifecycle.name": POLICY_NAME}
