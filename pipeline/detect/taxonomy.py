r"""Field names: Sigma's, those of ECS, or both in one rule.

{"Image|endswith": "\\cmd.exe"}  --ecs-->  {"process.executable|endswith": "\\cmd.exe"}
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Final, Literal, get_args

from sigma.conditions import ConditionAND
from sigma.exceptions import SigmaError
from sigma.modifiers import SigmaContainsModifier
from sigma.processing.pipeline import ProcessingPipeline
from sigma.processing.transformations import HashesFieldsDetectionItemTransformation
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaRule

from pipeline.detect.lower import lower_rule, place_of
from pipeline.detect.parse import parse_rule
from pipeline.detect.placeholders import Placeholders
from pipeline.detect.plan import AllOf, AnyOf, Exists, Expression, Not, Selection
from schemas.errors import RuleError
from schemas.rule_document import RuleDocument

Taxonomy = Literal["sigma", "ecs", "both"]
"""Which names events are taken to have: as the rules write them, ECS, or each event its own."""
TAXONOMIES: Final = get_args(Taxonomy)
ECS_MARKS: Final = ("ecs.version", "event.dataset", "event.module", "event.kind", "winlog.channel")
"""Fields by any of which an event tells that its names are ECS. Not `event.id`: the centre gives one to every event."""

_IS_ECS: Final = AnyOf(tuple(Exists(mark) for mark in ECS_MARKS))
_IS_NOT_ECS: Final = Not(_IS_ECS)
_DIGITS: Final = {"MD5": 32, "IMPHASH": 32, "SHA1": 40, "SHA256": 64, "SHA512": 128}


def lower_document(
    document: RuleDocument,
    placeholders: Placeholders,
    taxonomy: Taxonomy = "sigma",
    section: str = "detection",
) -> tuple[SigmaRule, Expression]:
    """Read a detection (or with `section="filter"` a filter) and what it demands, in the names of a taxonomy.

    A document whose own `taxonomy` is `ecs` is taken as it is. Of `both`, an event with one of `ECS_MARKS` is asked for
    ECS names, any other for Sigma's.

    Args:
        document: the rule.
        placeholders: values for `expand`.
        taxonomy: the names that events have.
        section: where the selections stand.

    Raises:
        RuleError: `file:line`: what cannot be honoured.
    """
    rule = parse_rule(document, section, placeholders)
    if taxonomy == "sigma" or document.data.get("taxonomy", "sigma") != "sigma":
        return rule, lower_rule(rule)
    mapped_rule = parse_rule(document, section, placeholders)
    map_fields(mapped_rule, ecs_pipeline(), document)
    mapped = lower_rule(mapped_rule)
    if taxonomy == "ecs":
        return rule, mapped
    plain = lower_rule(rule)
    if plain == mapped:
        return rule, plain
    return rule, AnyOf((AllOf((_IS_ECS, mapped)), AllOf((_IS_NOT_ECS, plain))))


def of_one_taxonomy(expression: Expression, *, ecs: bool) -> Expression:
    """What an expression of `both` taxonomies demands of events that have ECS names, or of those that have not."""
    match expression:
        case AnyOf((AllOf((first, mapped)), AllOf((second, plain)))) if (first, second) == (_IS_ECS, _IS_NOT_ECS):
            return mapped if ecs else plain
        case AllOf(parts):
            return AllOf(tuple(of_one_taxonomy(part, ecs=ecs) for part in parts))
        case Selection(name, part):
            return Selection(name, of_one_taxonomy(part, ecs=ecs))
    return expression


@cache
def ecs_pipeline() -> ProcessingPipeline:
    """`jointsoc_ecs`, the pySigma processing pipeline from Sigma's names to ECS."""
    text = files("pipeline.detect").joinpath("taxonomies/jointsoc_ecs.yml").read_text("utf-8")
    return ProcessingPipeline.from_yaml(text)


def map_fields(rule: SigmaRule, fields: ProcessingPipeline, document: RuleDocument) -> None:
    """Give the rule's fields other names, in place.

    Raises:
        RuleError: the mapping refuses the rule, or would change what it means.
    """
    steps = [item.transformation for item in fields.items]
    parsers = [step for step in steps if isinstance(step, HashesFieldsDetectionItemTransformation)]
    parsed = {name for parser in parsers for name in parser.field_to_parse}
    for detection in rule.detection.detections.values():
        for item in _items(detection):
            if item.field in parsed:
                _check_hashes(item)
    try:
        fields.apply(rule)
    except SigmaError as error:
        raise RuleError(document.where("detection"), f"the field mapping refuses it: {error}") from error


def _items(detection: SigmaDetection) -> Iterator[SigmaDetectionItem]:
    for item in detection.detection_items:
        if isinstance(item, SigmaDetection):
            yield from _items(item)
        else:
            yield item


def _check_hashes(item: SigmaDetectionItem) -> None:
    # ECS has a field for each algorithm: pySigma takes `SHA1=...` apart, but drops what it cannot, and forgets `all`.
    all_at_once = item.value_linking is ConditionAND and len(item.value) > 1
    modified = item.negated or not all(issubclass(modifier, SigmaContainsModifier) for modifier in item.modifiers)
    odd = [str(value) for value in item.value if not _is_whole_hash(str(value))]
    if all_at_once or modified or odd:
        raise RuleError(
            place_of(item.source),
            "hashes that cannot be told apart by algorithm have no ECS fields",
            got=odd[0] if odd else item.field,
            expected="whole values such as SHA1=..., any of them",
        )


def _is_whole_hash(text: str) -> bool:
    found = re.fullmatch(r"\*?(\w+)=([0-9a-f]+)\*?", text, re.IGNORECASE)
    return found is not None and _DIGITS.get(found[1].upper()) == len(found[2])
