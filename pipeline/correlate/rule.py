"""Correlation documents to correlations: references resolved, everything that cannot be honoured refused by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, get_args

import msgspec

from pipeline.correlate.correlation import Correlation, Reference, Tlp, fingerprint_of, tlp_of
from pipeline.correlate.correlation_block import Block, read_correlation
from pipeline.correlate.federation_block import TooFewGroups, read_federation
from schemas.alert import Level
from schemas.errors import RuleError
from schemas.member import MemberRegistry
from schemas.rule_document import RuleDocument

__all__ = ["Correlation", "compile_correlations"]

LEVELS: Final = get_args(Level)


def compile_correlations(
    documents: Sequence[RuleDocument],
    detections: Mapping[str, str],
    registry: MemberRegistry,
    *,
    on_too_few: Callable[[RuleError], None] | None = None,
) -> list[Correlation]:
    """Compile every correlation among the documents.

    Args:
        documents: rule documents; detections among them only lend their titles to the evidence.
        detections: id or name of each detection -> its id.
        registry: the members, whose corporate groups bound `min_organizations`.
        on_too_few: told of each correlation that wants more corporate groups than there are; it is left out then.

    Raises:
        RuleError: `file:line`: the first correlation that cannot be honoured, and why.
    """
    correlations = [document for document in documents if document.kind == "correlation"]
    titles = {
        document.id: str(document.data.get("title", "")) for document in documents if document.kind == "detection"
    }
    names = _names(correlations, detections)
    blocks = [(document, read_correlation(document)) for document in correlations]
    _refuse_chains(blocks, names)
    compiled = []
    for document, block in blocks:
        try:
            compiled.append(_compile(document, block, detections, titles, registry))
        except TooFewGroups as error:
            if on_too_few is None:
                raise
            on_too_few(error)
    return compiled


def _names(correlations: Sequence[RuleDocument], detections: Mapping[str, str]) -> dict[str, RuleDocument]:
    names: dict[str, RuleDocument] = {}
    for document in correlations:
        for name in {document.id, str(document.data.get("name") or document.id)}:
            if not name:
                raise RuleError(document.where(), "a correlation needs an id")
            if name in names or name in detections:
                raise RuleError(document.where("id"), "this id or name belongs to another rule", got=name)
            names[name] = document
    return names


def _refuse_chains(blocks: Sequence[tuple[RuleDocument, Block]], names: Mapping[str, RuleDocument]) -> None:
    children = {document.id: [names[rule].id for rule in block.rules if rule in names] for document, block in blocks}
    for document, block in blocks:
        chained = next((rule for rule in block.rules if rule in names), None)
        if chained is None:
            continue
        where = document.where("correlation", "rules")
        if _reaches(document.id, document.id, children):
            raise RuleError(where, "the correlation refers to itself, directly or through others", got=chained)
        raise RuleError(
            where,
            "a correlation of correlations is not supported yet",
            got=chained,
            hint="refer to its detections instead",
        )


def _reaches(start: str, goal: str, children: Mapping[str, list[str]]) -> bool:
    seen: set[str] = set()
    waiting = list(children[start])
    while waiting:
        current = waiting.pop()
        if current == goal:
            return True
        if current not in seen:
            seen.add(current)
            waiting += children[current]
    return False


def _compile(
    document: RuleDocument,
    block: Block,
    detections: Mapping[str, str],
    titles: Mapping[str, str],
    registry: MemberRegistry,
) -> Correlation:
    federation = read_federation(document, block.kind, block.timespan, registry)
    correlation = Correlation(
        id=document.id,
        fingerprint="",
        kind=block.kind,
        references=_references(document, block, detections, titles),
        group_by=block.group_by,
        timespan=block.timespan,
        comparisons=block.comparisons,
        clauses=block.clauses,
        values=block.values,
        percentile=block.percentile,
        min_organizations=federation.min_organizations,
        suppress=federation.suppress,
        weight=federation.weight,
        nonnegative=federation.nonnegative,
        share=federation.share,
        source=document.where().rpartition("/")[2],
        **_metadata(document),
    )
    _check_organizations(document, correlation)
    semantics = msgspec.json.encode(fingerprint_of(correlation))
    return msgspec.structs.replace(correlation, fingerprint=blake2b(semantics, digest_size=8).hexdigest())


def _references(
    document: RuleDocument, block: Block, detections: Mapping[str, str], titles: Mapping[str, str]
) -> tuple[Reference, ...]:
    found: dict[str, Reference] = {}
    for rule in block.rules:
        where = document.where("correlation", "rules" if "rules" in document.data["correlation"] else "condition")
        detection = detections.get(rule)
        if detection is None:
            raise RuleError(where, "refers to a rule that is not here", got=rule, expected="id or name of a detection")
        if detection in found:
            raise RuleError(where, "refers to one rule twice, by its id and by its name", got=rule)
        fields = {alias: names[rule] for alias, names in block.aliases.items() if rule in names}
        found[detection] = Reference(detection, titles.get(detection) or rule, fields)
    return tuple(found.values())


def _check_organizations(document: RuleDocument, correlation: Correlation) -> None:
    """A chain is hit at no more groups than it has links; one that may be of any length has no definite spread."""
    least = correlation.min_organizations
    if least <= 1 or correlation.kind != "temporal_ordered":
        return
    where = document.where("federation", "min_organizations")
    if not correlation.clauses and not correlation.rising:
        raise RuleError(
            where, "`min_organizations` of an ordered rule with an upper bound is not supported yet", got=least
        )
    links = min((len(clause.present) for clause in correlation.clauses), default=correlation.least)
    if least > links:
        raise RuleError(where, "more corporate groups than the chain has links", got=least, expected=f"at most {links}")


def _metadata(document: RuleDocument) -> dict[str, Any]:
    data = document.data
    title = data.get("title")
    if not isinstance(title, str) or not title.strip():
        raise RuleError(document.where("title"), "a rule needs a title", got=title)
    level = data.get("level", "medium")
    if level not in LEVELS:
        raise RuleError(document.where("level"), "not a level", got=level, expected=", ".join(LEVELS))
    tags = _texts(document, "tags")
    _check_tlp(document, tags)
    return {
        "title": title.strip(),
        "level": level,
        "tags": tags,
        "tlp": tlp_of(tags),
        "links": _texts(document, "references"),
        "falsepositives": _texts(document, "falsepositives"),
        **{key: str(data.get(key) or "").strip() for key in ("name", "status", "description", "author", "license")},
    }


def _texts(document: RuleDocument, key: str) -> tuple[str, ...]:
    value = document.data.get(key) or []
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise RuleError(document.where(key), f"`{key}` is not a list of texts", got=value)
    return tuple(texts)


def _check_tlp(document: RuleDocument, tags: Sequence[str]) -> None:
    known = {f"tlp.{label}" for label in get_args(Tlp)}
    for tag in tags:
        if tag.lower().startswith("tlp.") and tag.lower() not in known:
            raise RuleError(document.where("tags"), "not a TLP label", got=tag, expected=", ".join(sorted(known)))
