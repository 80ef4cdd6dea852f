"""Correlation documents to correlations: references resolved, everything that cannot be honoured refused by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple, get_args

import msgspec

from pipeline.correlate.chaining import check_carried, check_settled_in_time, in_order, settle_alerts, with_families
from pipeline.correlate.correlation import NUMERIC, Correlation, Reference, fingerprint_of, tlp_of
from pipeline.correlate.correlation_block import Block, read_correlation
from pipeline.correlate.federation_block import Federation, TooFewGroups, read_federation
from schemas.alert import Level, Tlp
from schemas.errors import RuleError
from schemas.member import MemberRegistry
from schemas.rule_document import RuleDocument
from schemas.suggest import did_you_mean

__all__ = ["Correlation", "compile_correlations"]

MOST_COUNTED: Final = 10_000
"""Events or values that a rule may ask for in one window; of a flooded group some 32 times as many are held."""
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
    known = _Known(detections, titles, {name: document.id for name, document in names.items()}, {})
    stated: dict[str, bool | None] = {}
    for document, block in in_order([(one, read_correlation(one)) for one in correlations], names):
        try:
            federation = read_federation(document, block.kind, block.timespan, registry)
            known.compiled[document.id] = _compile(document, block, known, federation)
            stated[document.id] = federation.alert
        except TooFewGroups as error:
            if on_too_few is None:
                raise
            on_too_few(error)
    placed = with_families(settle_alerts(list(known.compiled.values()), stated))
    return _fingerprinted(placed)


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


class _Known(NamedTuple):
    """What a correlation may refer to."""

    detections: Mapping[str, str]
    titles: Mapping[str, str]
    correlations: Mapping[str, str]
    """Id or name -> id."""
    compiled: dict[str, Correlation]
    """By id; those that are compiled so far."""


def _compile(document: RuleDocument, block: Block, known: _Known, federation: Federation) -> Correlation:
    correlation = Correlation(
        id=document.id,
        fingerprint="",
        kind=block.kind,
        references=_references(document, block, known),
        group_by=block.group_by,
        timespan=block.timespan,
        comparisons=block.comparisons,
        clauses=block.clauses,
        values=block.values,
        percentile=block.percentile,
        min_organizations=federation.min_organizations,
        suppress=federation.suppress,
        settle_after=federation.settle_after,
        weight=federation.weight,
        nonnegative=federation.nonnegative,
        share=federation.share,
        generate=block.generate,
        source=document.where().rpartition("/")[2],
        **_metadata(document),
    )
    _check_organizations(document, correlation, known.compiled)
    _check_numbers(document, correlation, known.compiled)
    _check_count(document, correlation)
    check_carried(document, correlation, known.compiled)
    check_settled_in_time(document, correlation, known.compiled)
    return correlation


def _fingerprinted(compiled: Sequence[Correlation]) -> list[Correlation]:
    """With the hash of what decides when each fires; those that are referred to come first."""
    fingerprints: dict[str, str] = {}
    found = []
    for one in compiled:
        references = tuple(
            msgspec.structs.replace(reference, fingerprint=fingerprints.get(reference.id, ""))
            for reference in one.references
        )
        placed = msgspec.structs.replace(one, references=references)
        semantics = msgspec.json.encode(fingerprint_of(placed))
        fingerprints[one.id] = blake2b(semantics, digest_size=8).hexdigest()
        found.append(msgspec.structs.replace(placed, fingerprint=fingerprints[one.id]))
    return found


def _references(document: RuleDocument, block: Block, known: _Known) -> tuple[Reference, ...]:
    found: dict[str, Reference] = {}
    where = document.where("correlation", "rules" if "rules" in document.data["correlation"] else "condition")
    for rule in block.rules:
        target = known.detections.get(rule) or known.correlations.get(rule)
        if target is None:
            raise RuleError(
                where,
                "refers to a rule that is not here",
                got=rule,
                expected="id or name of a detection or correlation",
                hint=did_you_mean(rule, [*known.detections, *known.correlations]),
            )
        if rule not in known.detections and target not in known.compiled:
            raise TooFewGroups(
                where, "refers to a correlation that wants more corporate groups than there are", got=rule
            )
        if target in found:
            raise RuleError(where, "refers to one rule twice, by its id and by its name", got=rule)
        fields = {alias: names[rule] for alias, names in block.aliases.items() if rule in names}
        child = known.compiled.get(target)
        title = child.title if child is not None else known.titles.get(target)
        found[target] = Reference(target, title or rule, fields)
    return tuple(found.values())


def _check_organizations(document: RuleDocument, correlation: Correlation, compiled: Mapping[str, Correlation]) -> None:
    """A chain is hit at no more groups than it has links; one that may be of any length has no definite spread."""
    least = correlation.min_organizations
    if least <= 1 or correlation.kind != "temporal_ordered":
        return
    where = document.where("federation", "min_organizations")
    if not correlation.clauses and not correlation.rising:
        raise RuleError(
            where, "`min_organizations` of an ordered rule with an upper bound is not supported yet", got=least
        )
    if any(reference.id in compiled for reference in correlation.references):
        return  # a link that is a correlation may by itself be at many groups
    links = min((len(clause.present) for clause in correlation.clauses), default=correlation.least)
    if least > links:
        raise RuleError(where, "more corporate groups than the chain has links", got=least, expected=f"at most {links}")


def _check_count(document: RuleDocument, correlation: Correlation) -> None:
    """A group must hold what it counts."""
    counts = correlation.kind in ("event_count", "value_count") and not correlation.weight
    if counts and correlation.least > MOST_COUNTED:
        raise RuleError(
            document.where("correlation", "condition"),
            "more than one group can hold",
            got=correlation.least,
            expected=f"at most {MOST_COUNTED:,}",
            hint="let the members roll events up, and name the field with their number in `federation.weight`",
        )


def _check_numbers(document: RuleDocument, correlation: Correlation, compiled: Mapping[str, Correlation]) -> None:
    chained = next((reference for reference in correlation.references if reference.id in compiled), None)
    if chained is not None and correlation.kind in NUMERIC:
        raise RuleError(
            document.where("correlation", "type"),
            "a satisfied correlation holds no numbers to add up",
            got=correlation.kind,
            expected="event_count, value_count or a temporal type over a correlation",
        )


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
