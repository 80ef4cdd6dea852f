"""Correlations that refer to correlations: in which order to compile them, who alerts, and where they live together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from pipeline.correlate.correlation import Correlation
from pipeline.correlate.correlation_block import Block
from pipeline.correlate.identity import digest
from pipeline.correlate.instants import ORGANIZATION, carried
from schemas.errors import RuleError
from schemas.rule_document import RuleDocument

MAX_DEPTH = 8
"""Correlations on the way from a detection to the last one that builds on it."""

Rule = tuple[RuleDocument, Block]


def in_order(rules: Sequence[Rule], names: Mapping[str, RuleDocument]) -> list[Rule]:
    """The rules, each after those that it refers to; otherwise as they came.

    Raises:
        RuleError: `file:line`: a correlation that refers to itself, directly or through others, or too long a chain.
    """
    by_id = {document.id: (document, block) for document, block in rules}
    depths: dict[str, int] = {}
    path: list[str] = []

    def visit(rule: Rule) -> int:
        document, block = rule
        if document.id in depths:
            return depths[document.id]
        where = document.where("correlation", "rules")
        if document.id in path:
            circle = " -> ".join([*path[path.index(document.id) :], document.id])
            raise RuleError(where, "the correlation refers to itself, directly or through others", got=circle)
        path.append(document.id)
        depth = len(path)
        if depth <= MAX_DEPTH:
            depth = 1 + max((visit(by_id[names[name].id]) for name in block.rules if name in names), default=0)
        if depth > MAX_DEPTH:
            raise RuleError(where, "a chain of too many correlations", got=depth, expected=f"at most {MAX_DEPTH}")
        path.pop()
        depths[document.id] = depth
        return depth

    return sorted(rules, key=visit)


def referred_by(document: RuleDocument, documents: Sequence[RuleDocument]) -> list[RuleDocument]:
    """A correlation and, directly or through others, those that it refers to, as far as they can be read."""
    names = {str(name): one for one in documents for name in (one.data.get("name"), one.id) if name}
    found = {document.id: document}
    waiting = [document]
    while waiting:
        block = waiting.pop().data.get("correlation")
        rules = block.get("rules", block.get("condition")) if isinstance(block, dict) else None
        for name in re.findall(r"[\w.-]+", rules) if isinstance(rules, str) else rules or ():
            one = names.get(str(name))
            if one is not None and one.id not in found:
                found[one.id] = one
                waiting.append(one)
    return list(found.values())


def check_carried(document: RuleDocument, parent: Correlation, children: Mapping[str, Correlation]) -> None:
    """See that every correlation that is referred to carries the fields that are asked of it.

    Raises:
        RuleError: `file:line`: a field that it has not.
    """
    for reference in parent.references:
        child = children.get(reference.id)
        if child is None:
            continue
        for key, names in (("group-by", parent.group_by), ("condition", parent.values)):
            try:
                carried(child, [reference.fields.get(name, name) for name in names])
            except KeyError as missing:
                raise RuleError(
                    document.where("correlation", key),
                    f"the correlation `{child.title}` does not carry a field that is asked of it",
                    got=missing.args[0],
                    expected=", ".join(dict.fromkeys([*child.group_by, ORGANIZATION])),
                    hint="add it to that rule's group-by, or name what stands for it there in `aliases`",
                ) from missing


def check_settled_in_time(document: RuleDocument, parent: Correlation, children: Mapping[str, Correlation]) -> None:
    """See that no correlation that is referred to can tell of a time that the parent holds for settled.

    Raises:
        RuleError: `file:line`: the parent waits for less long than such a correlation.
    """
    own = parent.settle_after
    if own is None:
        return
    for reference in parent.references:
        child = children.get(reference.id)
        if child is not None and (child.settle_after is None or child.settle_after > own):
            raise RuleError(
                document.where("federation", "settle_after"),
                f"the correlation `{child.title}` that it refers to settles later",
                got=f"{own // 1000}s",
                expected="no less than there" if child.settle_after else "`settle_after` there, too",
            )


def settle_alerts(correlations: Sequence[Correlation], stated: Mapping[str, bool | None]) -> list[Correlation]:
    """Who alerts: a correlation that others refer to does not, unless one of them says `generate`, or it says so.

    Args:
        correlations: all of them.
        stated: id -> `federation: {alert: ...}`, None where the rule does not say.
    """
    referred = {reference.id for parent in correlations for reference in parent.references}
    generated = {reference.id for parent in correlations if parent.generate for reference in parent.references}
    settled = []
    for one in correlations:
        said = stated[one.id]
        alerts = said if said is not None else one.id not in referred or one.id in generated
        settled.append(msgspec.structs.replace(one, alerts=alerts))
    return settled


def with_families(correlations: Sequence[Correlation]) -> list[Correlation]:
    """Correlations that refer to each other, marked to live in one shard, apart by the group values they share."""
    by_id = {one.id: one for one in correlations}
    edges = [
        (parent, reference.id, reference.fields)
        for parent in correlations
        for reference in parent.references
        if reference.id in by_id
    ]
    families = _components([(parent.id, child) for parent, child, _ in edges])
    placed = []
    for one in correlations:
        members = families.get(one.id)
        if members is None:
            placed.append(one)
            continue
        own_edges = [edge for edge in edges if edge[0].id in members]
        keys = _shared_keys(sorted(members), own_edges, by_id)
        name = digest("family", *sorted(members), size=8).hex()
        placed.append(msgspec.structs.replace(one, family=name, family_key=keys[one.id]))
    return placed


def _components(pairs: Sequence[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for pair in pairs:
        united = set().union(*(found.get(one, {one}) for one in pair))
        found.update(dict.fromkeys(united, united))
    return found


def _shared_keys(
    members: Sequence[str],
    edges: Sequence[tuple[Correlation, str, Mapping[str, str]]],
    by_id: Mapping[str, Correlation],
) -> dict[str, tuple[int, ...]]:
    """For each member the positions of the values that every one of them groups by, in the same order for all."""
    keys: dict[str, tuple[int, ...]] = dict.fromkeys(members, ())
    start = members[0]
    for position in range(len(by_id[start].group_by)):
        found = _same_value(start, position, edges, by_id)
        if found.keys() == set(members):
            keys = {member: (*keys[member], found[member]) for member in members}
    return keys


def _same_value(
    start: str,
    position: int,
    edges: Sequence[tuple[Correlation, str, Mapping[str, str]]],
    by_id: Mapping[str, Correlation],
) -> dict[str, int]:
    """Where each correlation of a family has the value that `start` has at `position`; empty if they disagree."""
    found = {start: position}
    grown = True
    while grown:
        grown = False
        for parent, child_id, fields in edges:
            child = by_id[child_id]
            pairs = [
                (number, child.group_by.index(fields.get(name, name)))
                for number, name in enumerate(parent.group_by)
                if fields.get(name, name) in child.group_by
            ]
            if parent.id in found and not any(ours == found[parent.id] for ours, _ in pairs):
                return {}
            for ours, theirs in pairs:
                if (found.get(parent.id) == ours) == (found.get(child_id) == theirs):
                    continue
                if found.setdefault(parent.id, ours) != ours or found.setdefault(child_id, theirs) != theirs:
                    return {}
                grown = True
    return found
