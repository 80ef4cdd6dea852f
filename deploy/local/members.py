"""Institutions of the one-machine stack: registry, topic, password and grants, in the order that is safe."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from deploy.local.configuration import registry_of
from deploy.local.kafka_access import check_member_ids, ensure_access, password_file, revoke_member
from deploy.local.kafka_broker import open_broker_admin
from deploy.local.processes import find_leader
from deploy.local.secret_files import ensure_password
from deploy.local.settings import StackSettings
from deploy.local.stack import renew_rules
from deploy.local.steps import Observer
from schemas.errors import ConfigError, RuleError
from schemas.member import Member, MemberRegistry, save_registry


def add_members(settings: StackSettings, members: Iterable[Member], observe: Observer) -> list[Path]:
    """Register institutions; returns their password files, in the same order.

    With the stack running the Flink job takes the new registry with a new rule pack, then topics, users and grants are
    made. Otherwise the next `up` does that. Members that are there already, unchanged, are left alone.

    Raises:
        ConfigError: an id that is taken by another member or by a service.
        RuleError: the rules cannot be compiled; nothing was changed.
    """
    wanted = list(members)
    check_member_ids(wanted)
    registry = registry_of(settings)
    there = {member.id: member for member in registry.members}
    for member in wanted:
        if there.get(member.id, member) != member:
            raise ConfigError(
                f"member {member.id}",
                "already registered, with other details",
                got=member.name,
                expected=there[member.id].name,
                hint=f"jsoc member remove {member.id}",
            )
    new = tuple(member for member in wanted if member.id not in there)
    files = [ensure_password(password_file(settings, member.id)) for member in wanted]
    if new:
        _change(settings, MemberRegistry(members=registry.members + new), observe)
    return files


def add_member(settings: StackSettings, member: Member, observe: Observer) -> Path:
    """Register one institution; see `add_members`."""
    return add_members(settings, [member], observe)[0]


def remove_member(settings: StackSettings, member_id: str, observe: Observer) -> Member:
    """Take an institution out: its password and rights end at once, its topic and events stay as evidence.

    Raises:
        ConfigError: no such member.
    """
    registry = registry_of(settings)
    leaving = next((member for member in registry.members if member.id == member_id), None)
    if leaving is None:
        known = ", ".join(member.id for member in registry.members) or "none yet"
        raise ConfigError(f"member {member_id}", "not registered", expected=f"one of: {known}")
    if find_leader(settings, "kafka") is not None:
        admin = open_broker_admin(settings)
        try:
            revoke_member(settings, admin, member_id)
        finally:
            admin.close()
    password_file(settings, member_id).unlink(missing_ok=True)
    remaining = tuple(member for member in registry.members if member.id != member_id)
    _change(settings, MemberRegistry(members=remaining), observe)
    return leaving


def _change(settings: StackSettings, registry: MemberRegistry, observe: Observer) -> None:
    before = registry_of(settings)
    settings.etc.mkdir(parents=True, exist_ok=True)
    save_registry(settings.members_file, registry)
    if find_leader(settings, "kafka") is None:
        return
    # The job learns of a member before that member can write: otherwise its first events would be dead letters.
    if find_leader(settings, "jobmanager") is not None:
        try:
            renew_rules(settings, observe)
        except RuleError:
            save_registry(settings.members_file, before)
            raise
    admin = open_broker_admin(settings)
    try:
        ensure_access(settings, admin, registry)
    finally:
        admin.close()
