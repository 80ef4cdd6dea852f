"""Rule documents to pySigma's rules: its metadata checks and value types, our modifiers, an error that names the line.

{"title": ..., "detection": {"sel": {"a|contains": "x"}, "condition": "sel"}}
    ->  SigmaRule(title=..., detection={"sel": SigmaDetection([SigmaDetectionItem("a", [Contains], [*x*])])})
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sigma.exceptions import SigmaError, SigmaRuleLocation, SigmaTypeError
from sigma.modifiers import SigmaModifier
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaDetections, SigmaLogSource, SigmaRule
from sigma.types import SigmaExpansion, SigmaNumber, SigmaString, SigmaType, sigma_type

from pipeline.detect.modifiers import MODIFIERS
from pipeline.detect.placeholders import Placeholders, expand_with
from pipeline.detect.view import NATIVE_INTEGERS
from schemas.errors import RuleError, printable
from schemas.logsource import ATTRIBUTES
from schemas.rule_document import RuleDocument
from schemas.suggest import did_you_mean

SCALARS: Final = (str, int, float, bool, type(None))
TAXONOMIES: Final = ("sigma", "ecs")
VALUED: Final = frozenset({"exists", "gt", "gte", "lt", "lte", "minute", "hour", "day", "week", "month", "year"})
"""Modifiers that take a number or a boolean."""
TEXTUAL: Final = frozenset(MODIFIERS) - VALUED - {"all", "neq"}
MAX_ID: Final = 128
_NO_PLACEHOLDERS: Final[Placeholders] = {}
Modifiers = Mapping[str, type[SigmaModifier[Any, Any]]]
_LISTS: Final = ("falsepositives", "fields", "references", "scope")
"""Metadata that may be one text instead of a list."""

# What pySigma lets escape on malformed documents instead of its own errors.
PARSER_FAULTS: Final = (SigmaError, TypeError, ValueError, AttributeError, KeyError, IndexError, RecursionError)


def parse_rule(
    document: RuleDocument, section: str = "detection", placeholders: Placeholders = _NO_PLACEHOLDERS
) -> SigmaRule:
    """Read one detection, or with `section="filter"` the tests of a filter.

    Args:
        document: the rule.
        section: where the selections stand.
        placeholders: values for `expand`.

    Raises:
        RuleError: `file:line`: what is wrong, by Sigma's rules or pySigma's.
    """
    _check_taxonomy(document)
    _check_logsource(document)
    identity = document.data.get("id")
    if identity is not None and not _is_id(identity):
        told = f"text without blanks, at most {MAX_ID} characters"
        raise RuleError(document.where("id"), "not an id", got=identity, expected=told, hint="uuidgen")
    # Ids need not be UUIDs, the specification says; to pySigma they must.
    left_out = {"id", "logsource", section}
    metadata = {key: _listed(key, value) for key, value in document.data.items() if key not in left_out}
    try:
        attributes, _ = SigmaRule.from_dict_common_params(metadata)
    except PARSER_FAULTS as fault:
        raise RuleError(_guilty_line(document, fault), f"pySigma refuses it: {_told(fault)}") from fault
    try:
        logsource = SigmaLogSource.from_dict(document.data["logsource"])
    except PARSER_FAULTS as fault:
        raise RuleError(document.where("logsource"), f"pySigma refuses it: {_told(fault)}") from fault
    return SigmaRule(logsource=logsource, detection=_detections(document, section, placeholders), **attributes)


def _is_id(identity: Any) -> bool:
    short = isinstance(identity, str) and 0 < len(identity) <= MAX_ID
    return short and identity.isprintable() and " " not in identity


def _listed(key: str, value: Any) -> Any:
    return [value] if key in _LISTS and isinstance(value, str) else value


def _check_taxonomy(document: RuleDocument) -> None:
    taxonomy = document.data.get("taxonomy", "sigma")
    if taxonomy not in TAXONOMIES:
        where = document.where("taxonomy")
        raise RuleError(where, "unknown taxonomy", got=taxonomy, expected=" or ".join(TAXONOMIES))


def _check_logsource(document: RuleDocument) -> None:
    source = document.data.get("logsource")
    expected = ", ".join(ATTRIBUTES)
    if not isinstance(source, dict):
        raise RuleError(document.where("logsource"), "a rule needs a log source", got=source, expected=expected)
    for attribute, name in source.items():
        where = document.where("logsource", attribute)
        if attribute not in {*ATTRIBUTES, "definition"}:
            # Left out, the rule would be put to events it is not meant for.
            told = f"events have no log source attribute `{printable(attribute)}`"
            raise RuleError(where, told, got=name, expected=expected, hint=did_you_mean(attribute, ATTRIBUTES))
        if attribute != "definition" and name is not None and (not isinstance(name, str) or not name.strip()):
            raise RuleError(where, "a log source is named by text", got=name, expected="such as windows")


def _detections(document: RuleDocument, section: str, placeholders: Placeholders) -> SigmaDetections:
    data = document.data.get(section)
    where = document.where(section)
    if not isinstance(data, dict) or not data:
        raise RuleError(where, f"`{section}` must hold selections and a condition", got=data)
    if "timeframe" in data:
        raise RuleError(
            document.where(section, "timeframe"), "`timeframe` is no longer part of Sigma", hint="write a correlation"
        )
    conditions = data.get("condition")
    conditions = conditions if isinstance(conditions, list) else [conditions]
    if not conditions or not all(isinstance(condition, str) for condition in conditions):
        raise RuleError(document.where(section, "condition"), "a condition must be text", got=data.get("condition"))
    reserved = {"condition", "rules"} if section == "filter" else {"condition"}
    reader = _SelectionReader(document, MODIFIERS | {"expand": expand_with(placeholders)})
    selections = {
        name: reader.selection(value, (section, name)) for name, value in data.items() if name not in reserved
    }
    if not selections:
        raise RuleError(where, f"`{section}` defines no selection")
    return SigmaDetections(selections, conditions, _location(document, section, "condition"))


class _SelectionReader:
    """The detection section's maps and lists to pySigma's items; `place` is the path of keys, for errors."""

    def __init__(self, document: RuleDocument, modifiers: Modifiers) -> None:
        self._document = document
        self._modifiers = modifiers

    def selection(self, value: Any, place: tuple[str | int, ...]) -> SigmaDetection:
        """A map: all must hold. A list of maps: any. A scalar or a list of scalars: keywords, any."""
        where, source = self._document.where(*place), _location(self._document, *place)
        if isinstance(value, dict) and value:
            return SigmaDetection([self._item(key, entry, (*place, key)) for key, entry in value.items()], source)
        if isinstance(value, list) and value and not all(isinstance(entry, SCALARS) for entry in value):
            parts = [self.selection(entry, (*place, index)) for index, entry in enumerate(value)]
            return SigmaDetection(list(parts), source)
        if value is None or value in ({}, []) or (isinstance(value, list) and None in value):
            raise RuleError(where, "a selection must not be empty", got=value, expected="fields, or keywords")
        if isinstance(value, list | str | int | float):
            return SigmaDetection([self._item("", value, place)], source)
        raise RuleError(where, f"a {_called(value)} is not a selection", expected="a map, a list or keywords")

    def _item(self, key: str, value: Any, place: tuple[str | int, ...]) -> SigmaDetectionItem:
        where = self._document.where(*place)
        field, *names = key.split("|")
        unknown = [name for name in names if name not in MODIFIERS]
        if unknown:
            told = f"unknown modifier `{printable(unknown[0])}`"
            close = did_you_mean(unknown[0], MODIFIERS)
            raise RuleError(where, told, got=key, expected=", ".join(sorted(MODIFIERS)), hint=close)
        if field != field.strip():
            raise RuleError(where, "a blank before or after a field's name", got=key, hint=printable(field.strip()))
        values = value if isinstance(value, list) else [value]
        places = [(*place, index) for index in range(len(values))] if isinstance(value, list) else [place]
        odd = [entry for entry in values if not isinstance(entry, SCALARS)]
        if odd:
            raise RuleError(where, f"a {_called(odd[0])} is not a value", got=odd[0], expected="text or a number")
        if not values:
            raise RuleError(where, "an empty list matches nothing", got=key, hint="null, if the field shall be empty")
        try:
            written = map(self._document.written.get, places)
            typed = [_typed(entry, text, field, names) for entry, text in zip(values, written, strict=True)]
            modifiers = [self._modifiers[name] for name in names]
            return SigmaDetectionItem(field or None, modifiers, typed, source=_location(self._document, *place))
        except SigmaTypeError as fault:
            # pySigma names the modifier's class.
            guilty = next(
                (name for name in names if f"Modifier {self._modifiers[name].__name__} " in _told(fault)), None
            )
            told = f"`{guilty}` does not take such a value" if guilty else f"pySigma refuses it: {_told(fault)}"
            raise RuleError(where, told, got=f"{key}: {value!r}") from fault
        except PARSER_FAULTS as fault:
            raise RuleError(where, f"pySigma refuses it: {_told(fault)}", got=f"{key}: {value!r}") from fault


def _typed(entry: Any, written: str | None, field: str, names: Sequence[str]) -> SigmaType:
    """A value by its YAML type; where text is wanted (keywords, `contains`), numbers and booleans as they are written.

    Of a value that YAML reads as something else than is written (`0x1010` is 4112, `no` is false) either counts.
    """
    valued = not VALUED.isdisjoint(names)
    if isinstance(entry, bool | int | float) and not valued and (not field or not TEXTUAL.isdisjoint(names)):
        entry = written or str(entry).lower()
    if isinstance(entry, str) and "re" in names:
        return SigmaString.from_str(entry)
    value = sigma_type(entry)
    if isinstance(value, SigmaNumber) and isinstance(entry, int):
        # pySigma rounds integers that are no floating-point numbers: 9007199254740993 becomes ...992.
        value.number = entry if entry in NATIVE_INTEGERS else float(entry)
    if written is None or valued or isinstance(value, SigmaString):
        return value
    return SigmaExpansion([value, sigma_type(written)])


def _called(value: object) -> str:
    """What an author calls it."""
    names: dict[type, str] = {dict: "map", list: "list"}
    return names.get(type(value), type(value).__name__)


def _location(document: RuleDocument, *place: str | int) -> SigmaRuleLocation:
    return SigmaRuleLocation(document.path, int(document.where(*place).rpartition(":")[2]))


def _told(fault: Exception) -> str:
    # The text without the place, which pySigma would add as an absolute path.
    return printable(str(fault.args[0] if fault.args else "").strip() or type(fault).__name__)


def _guilty_line(document: RuleDocument, fault: Exception) -> str:
    """Where the attribute stands that a metadata error is about; pySigma tells it by the error's class, or a word."""
    about = type(fault).__name__.removeprefix("Sigma").removesuffix("Error").lower()
    if about == "identifier":
        return document.where("id")
    words = {about, *_told(fault).lower().split()}
    return document.where(*[key for key in document.data if key in words or key.removesuffix("s") in words][:1])
