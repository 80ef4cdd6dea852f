r"""The pySigma pipeline `jointsoc_ecs`: from a rule to a query over events in the indices `events-*`.

    {"product: windows, service: sysmon", "Image|endswith": "\CMD.exe"}
    --> event.dataset is windows.sysmon (or ...), process.executable ends with \cmd.exe, in events-*

Names as the engine maps them, log sources as the centre derives them, values as `schemas/event_index.py` indexes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sigma.conditions import ConditionOR
from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaPlaceholderError
from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline, QueryPostprocessingItem
from sigma.processing.postprocessing import QueryPostprocessingTransformation
from sigma.processing.transformations import AddConditionTransformation, SetStateTransformation
from sigma.processing.transformations.base import PreprocessingTransformation, ValueTransformation
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaRule
from sigma.types import SigmaBool, SigmaExpansion, SigmaNumber, SigmaRegularExpression, SigmaString, SigmaType

from pipeline.detect.lower import place_of
from pipeline.detect.placeholders import Placeholders, filled
from pipeline.detect.taxonomy import ecs_pipeline
from pipeline.workbench.esql_text import exact_esql
from pipeline.workbench.lists_beside import lists_beside
from pipeline.workbench.lucene_regex import lucene_regex
from pipeline.workbench.wider_query import TellWider, Widen
from schemas.errors import RuleError
from schemas.event_index import INDEX_PATTERN, kind_of
from schemas.logsource import DATASET, FIELDS, MODULE, Entry, load_table

LOG_SOURCE: Final = "_logsource"
Wanted = tuple[str | None, str | None, str | None]
"""Product, category, service."""


def hunting_pipeline() -> ProcessingPipeline:
    """Field names, log source, values and index, in this order; `-t esql` also gets Sigma's logic of absent fields."""
    # pySigma's pipelines belong to one sum only, and the engine uses its own as it is.
    mapped = deepcopy(ecs_pipeline())
    indexed = ProcessingPipeline(
        items=[
            ProcessingItem(Widen()),
            ProcessingItem(_Lists()),
            ProcessingItem(_LogSourceCondition(name=LOG_SOURCE)),
            ProcessingItem(_AsIndexed()),
            ProcessingItem(SetStateTransformation("index", INDEX_PATTERN)),
        ],
        postprocessing_items=[QueryPostprocessingItem(_ExactEsql()), QueryPostprocessingItem(TellWider())],
    )
    hunting = mapped + indexed
    hunting.name, hunting.priority = mapped.name, mapped.priority
    return hunting


def logsource_conditions(wanted: Wanted) -> list[dict[str, Any]]:
    """What the fields of an event of a log source hold: any of these, each a Sigma map of field and values.

    >>> logsource_conditions((None, "webserver", None))[-1]
    {'jointsoc.logsource.category': 'webserver'}
    """
    table = load_table()
    found: list[dict[str, Any]] = []
    channels = {channel for channel, code in table.windows if _offers(table.windows[channel, ""], wanted)}
    found += _any_of("winlog.channel", channels)
    for channel in sorted({channel for channel, _ in table.windows} - channels):
        codes = {code: entry for (name, code), entry in table.windows.items() if name == channel and code}
        found += [{"winlog.channel": channel} | way for way in _choices("event.code", codes, wanted)]
    found += _choices(DATASET, table.datasets, wanted)
    found += _choices(MODULE, table.modules, wanted)
    stated = {field: name for field, name in zip(FIELDS, wanted, strict=True) if name}
    return [*found, stated] if stated else []


def _choices(field: str, entries: dict[str, Entry], wanted: Wanted) -> Iterator[dict[str, Any]]:
    yield from _any_of(field, {value for value, entry in entries.items() if _offers(entry, wanted)})
    for value, entry in entries.items():
        if not _offers(entry, wanted):
            yield from ({field: value} | way for way in _ways(entry, wanted))


def _any_of(field: str, values: Iterable[str]) -> Iterator[dict[str, Any]]:
    if ordered := sorted(values):
        yield {field: ordered if len(ordered) > 1 else ordered[0]}


def _ways(entry: Entry, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """Values of further fields with which an entry comes to offer what is wanted."""
    missing: Wanted = tuple(  # type: ignore[assignment] # three in, three out
        None if name in offered else name for name, offered in zip(wanted, entry.names, strict=True)
    )
    if missing == (None, None, None):
        yield {}
    for field, choices in entry.refine.items():
        for value, more in choices.items():
            yield from ({field: value} | way for way in _ways(more, missing))


def _offers(entry: Entry, wanted: Wanted) -> bool:
    return all(name is None or name in offered for name, offered in zip(wanted, entry.names, strict=True))


@dataclass
class _LogSourceCondition(AddConditionTransformation):
    """The log source as a condition: in an index, nothing else keeps a rule to its events."""

    def apply(self, rule: SigmaRule | SigmaCorrelationRule) -> None:
        """Add the condition to a detection."""
        if not isinstance(rule, SigmaRule):
            return
        source = rule.logsource
        conditions = logsource_conditions((source.product, source.category, source.service))
        if conditions:
            alternatives: list[SigmaDetectionItem | SigmaDetection] = [
                SigmaDetection.from_definition(each) for each in conditions
            ]
            rule.detection.detections[self.name] = SigmaDetection(alternatives, item_linking=ConditionOR)
            for condition in rule.detection.parsed_condition:
                self.apply_condition(condition)


@dataclass
class _Lists(PreprocessingTransformation):
    """Placeholders filled from the lists beside the rule, as `jsoc rules build` fills them."""

    def apply(self, rule: SigmaRule | SigmaCorrelationRule) -> None:
        """Fill the placeholders of a detection.

        Raises:
            SigmaPlaceholderError: no list has the name.
        """
        if isinstance(rule, SigmaRule):
            values = lists_beside([Path(rule.source.path)] if rule.source else [])
            try:
                for detection in rule.detection.detections.values():
                    _fill(detection, values)
            except RuleError as error:
                raise SigmaPlaceholderError(str(error)) from error


def _fill(detection: SigmaDetection, placeholders: Placeholders) -> None:
    for item in detection.detection_items:
        if isinstance(item, SigmaDetectionItem):
            item.value = [_filled(value, placeholders, place_of(item.source)) for value in item.value]
        else:
            _fill(item, placeholders)


def _filled(value: SigmaType, placeholders: Placeholders, where: str) -> SigmaType:
    if isinstance(value, SigmaExpansion):
        return SigmaExpansion([_filled(part, placeholders, where) for part in value.values])
    return filled(value, placeholders, where) if isinstance(value, SigmaString | SigmaRegularExpression) else value


@dataclass
class _AsIndexed(ValueTransformation):
    """Values as the index holds them: texts in lower case, numbers as texts where the field is a keyword."""

    def apply_detection_item(self, detection_item: SigmaDetectionItem) -> SigmaDetectionItem | None:
        """Alternatives within one value become values where that says the same: backends know those better."""
        if detection_item.value_linking is ConditionOR or len(detection_item.value) == 1:
            detection_item.value_linking = ConditionOR
            detection_item.value = [one for value in detection_item.value for one in _alternatives(value)]
        return super().apply_detection_item(detection_item)

    def apply_value(self, field: str | None, val: SigmaType) -> SigmaType | None:
        kind = kind_of(field) if field else "keyword"
        match val:
            case SigmaExpansion():
                return SigmaExpansion([self.apply_value(field, one) or one for one in val.values])
            case SigmaRegularExpression():
                return SigmaRegularExpression(lucene_regex(str(val.regexp)))
            case SigmaString():
                return SigmaNumber(str(val)) if kind == "long" and str(val).isdecimal() else _lower(val)
            case SigmaNumber() if kind == "keyword":
                return SigmaString(str(val.number))
            case SigmaBool() if kind == "keyword":
                return SigmaString(str(val.boolean).lower())
        return None


def _alternatives(value: SigmaType) -> list[SigmaType]:
    return value.values if isinstance(value, SigmaExpansion) else [value]


def _lower(text: SigmaString) -> SigmaString:
    lowered = SigmaString()
    lowered.s = [part.lower() if isinstance(part, str) else part for part in text.s]
    return lowered


@dataclass
class _ExactEsql(QueryPostprocessingTransformation):
    def apply(self, rule: SigmaRule | SigmaCorrelationRule, query: Any) -> Any:
        super().apply(rule, query)
        return exact_esql(query)
