"""Who may do what: roles, and the one place that turns a role into rights."""

from __future__ import annotations

from typing import Final, Literal, get_args

Role = Literal["analyst", "lead", "rule_author", "auditor", "member_viewer"]
Right = Literal["read", "triage", "notify", "except", "approve", "audit", "own"]
"""`except` proposes exceptions, `approve` puts them into force, `own` sees one institution's part of alerts only."""

ROLES: Final[tuple[Role, ...]] = get_args(Role)
RIGHTS: Final[dict[Role, frozenset[Right]]] = {
    "analyst": frozenset({"read", "triage", "notify", "except"}),
    "lead": frozenset({"read", "triage", "notify", "except", "approve", "audit"}),
    "rule_author": frozenset({"read", "except", "approve"}),
    "auditor": frozenset({"read", "audit"}),
    "member_viewer": frozenset({"own"}),
}
