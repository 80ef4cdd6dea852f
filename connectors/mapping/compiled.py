"""A mapping made ready to run: a raw line in, the ECS fields that may leave out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from connectors.forwarder.settings import INTERNAL_NETWORKS, Network
from connectors.located_yaml import Place
from connectors.mapping.candidates import candidates, leading_fields
from connectors.mapping.conditions import MatchFields, Test, all_of, condition_test
from connectors.mapping.convert import Convert, account, conversion, plain
from connectors.mapping.document import (
    Condition,
    Content,
    GrokParse,
    Like,
    MappingDocument,
    Move,
    Pseudonym,
    RegexParse,
    Rule,
)
from connectors.mapping.find import Find, first_of
from connectors.mapping.memo import remembering
from connectors.mapping.moments import ReadTime, time_reader
from connectors.mapping.parse import Parsed, Skipped, Unparsed, line_parser
from connectors.mapping.patterns import Pattern
from connectors.mapping.syslog import SYSLOG_FIELDS
from connectors.pseudonyms import Pseudonyms
from schemas.times import now_ms, to_rfc3339

MAX_VALUE_CHARS: Final = 16_384
"""A longer text is cut before it is converted, and `jointsoc.truncated` names the field."""

Fields = dict[str, Any]
Made = TypeVar("Made")


class Dropped(NamedTuple):
    """A line the mapping says not to send."""

    reason: str


class Refused(NamedTuple):
    """A line the mapping does not understand."""

    reason: str
    detail: str


Outcome = Fields | Dropped | Refused


@dataclass(frozen=True)
class Surroundings:
    """What a mapping needs beside its file."""

    pseudonyms: Pseudonyms
    internal: Sequence[Network] = INTERNAL_NETWORKS
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    now: Callable[[], int] = now_ms
    include: frozenset[str] | None = frozenset()
    """Opt-in fields that were asked for; None: all."""
    epoch: int = 1


class _Move(NamedTuple):
    target: str
    find: Find
    convert: Convert
    cut: bool
    """A pseudonym is made of the whole value: cut, two identifiers could become one."""
    origin: str


class _Rule(NamedTuple):
    tests: dict[str, Test]
    match: MatchFields
    drop: Dropped | None
    constants: Fields
    moves: tuple[_Move, ...]


class CompiledMapping:
    """A mapping that can run.

    Args:
        document: the mapping.
        around: keys, networks, time zone.

    Raises:
        MappingFault: something in it cannot be; names its place.
    """

    def __init__(self, document: MappingDocument, around: Surroundings) -> None:
        self.document = document
        self._around = around
        self._nested = document.parse.kind == "json"
        self._absent = frozenset(document.absent)
        self._parse = _guarded(("parse", "pattern"), lambda: line_parser(document.parse))
        self._times: list[tuple[Find, ReadTime]] = [
            (self._finder((time.source,)), time_reader(time.format, around.zone, around.now)) for time in document.time
        ]
        self._rules = tuple(self._compile_rule(number, rule) for number, rule in enumerate(document.rules))
        self._candidates = candidates(
            {key: self._finder((key,)) for key in leading_fields(document.rules)},
            [(rule.tests, rule) for rule in self._rules],
        )
        self._check_sources()

    def apply(self, raw: bytes) -> Outcome:
        """What becomes of one line. Never raises for what a line holds."""
        return self._decide(raw)[0]

    def explain(self, raw: bytes) -> tuple[Outcome, dict[str, str]]:
        """What becomes of one line, and for each field where it comes from: `hmac(federation, customer) of user`."""
        outcome, rule = self._decide(raw)
        if rule is None or not isinstance(outcome, dict):
            return outcome, {}
        origins = dict.fromkeys(rule.constants, "set by the mapping") | {
            move.target: move.origin for move in rule.moves
        }
        origins["@timestamp"] = " or ".join(time.source for time in self.document.time)
        return outcome, origins

    def unused(self, raw: bytes) -> list[str]:
        """Names of the fields a line has and no rule that decides about it uses: what stays at home."""
        try:
            data = self._parse(raw)
        except (Unparsed, Skipped):
            return []
        deciding = next((number for number, rule in enumerate(self._rules) if rule.match(data) is not None), None)
        used = {time.source for time in self.document.time}
        for rule in self.document.rules:
            used.update(rule.match)
        contents: list[Content] = [self.document]
        if deciding is not None:
            contents.append(self.document.rules[deciding])
        for content in contents:
            used.update(*(move.source for move in content.map.values()))
            used.update(*(move.source for move in content.hmac.values()))
        return sorted(_names(data, "") - used)

    def _decide(self, raw: bytes) -> tuple[Outcome, _Rule | None]:
        try:
            data = self._parse(raw)
        except Unparsed as unparsed:
            return Refused(unparsed.reason, unparsed.detail), None
        except Skipped as skipped:
            return Dropped(skipped.reason), None
        for rule in self._candidates(data):
            matched = rule.match(data)
            if matched is not None:
                return (rule.drop if rule.drop is not None else self._event(rule, matched)), rule
        return Refused("no-rule", "no rule of the mapping matches"), None

    def _event(self, rule: _Rule, data: Parsed) -> Outcome:
        event = rule.constants.copy()
        target = "@timestamp"
        cut: list[str] = []
        try:
            event["@timestamp"] = to_rfc3339(self._time(data))
            for target, find, convert, may_cut, _ in rule.moves:
                value = find(data)
                if value is None:
                    continue
                if may_cut and type(value) is str and len(value) > MAX_VALUE_CHARS:
                    value = value[:MAX_VALUE_CHARS]
                    cut.append(target)
                made = convert(value)
                if made is not None:
                    event[target] = made
        except (ValueError, OverflowError) as error:
            reason = "bad-time" if target == "@timestamp" else "bad-value"
            return Refused(reason, f"{target}: {error}"[:200])
        if cut:
            event["jointsoc.truncated"] = cut
        return event

    def _time(self, data: Parsed) -> int:
        for find, read in self._times:
            value = find(data)
            if value is not None:
                return read(value)
        raise ValueError("the line says no time")

    def _compile_rule(self, number: int, rule: Rule) -> _Rule:
        place = ("rules", number)
        drop = None if rule.drop is None else Dropped(rule.drop)
        tests = self._compile_tests((*place, "match"), rule.match)
        match = all_of(tuple((self._finder((key,)), test) for key, test in tests.items()))
        if drop is not None:
            return _Rule(tests, match, drop, {}, ())
        constants: Fields = {}
        moves: dict[str, _Move] = {}
        for prefix, content in (((), self.document), (place, rule)):  # what a rule sets goes before what all set
            for name in (*content.set, *content.map, *content.hmac):
                constants.pop(name, None)
                moves.pop(name, None)
            constants |= content.set
            moves |= self._compile_content(prefix, content)
        if any(name in content.hmac for content in (self.document, rule) for name in moves):
            previous = self._around.pseudonyms.previous
            epoch = self._around.epoch
            constants["jointsoc.key_epoch"] = epoch if previous is None else [epoch, previous.epoch]
        # The time stands first, as people look for it first.
        return _Rule(tests, match, None, {"@timestamp": "", **constants}, tuple(moves.values()))

    def _compile_content(self, place: Place, content: Content) -> dict[str, _Move]:
        moves: dict[str, _Move] = {}
        for name, move in content.map.items():
            if self._leaves(name, move):
                convert = conversion(move.convert, self._around.internal)
                origin = f"{move.convert} of {' or '.join(move.source)}"
                moves[name] = _Move(name, self._finder(move.source), convert, cut=True, origin=origin)
        for name, pseudonym in content.hmac.items():
            if not self._around.pseudonyms.has(pseudonym.key):
                raise MappingFault((*place, "hmac", name), f"needs the {pseudonym.key} key; `keys` names none")
            convert = _pseudonymiser(self._around.pseudonyms, pseudonym)
            origin = f"hmac({pseudonym.key}, {pseudonym.kind}) of {' or '.join(pseudonym.source)}"
            moves[name] = _Move(name, self._finder(pseudonym.source), convert, cut=False, origin=origin)
        return moves

    def _leaves(self, name: str, move: Move) -> bool:
        return not move.opt_in or self._around.include is None or name in self._around.include

    def _finder(self, sources: tuple[str, ...]) -> Find:
        return first_of(sources, self._absent, nested=self._nested)

    def _compile_tests(self, place: Place, conditions: dict[str, Condition]) -> dict[str, Test]:
        return {
            key: _guarded((*place, key, "regex"), lambda condition=condition: condition_test(condition))  # type: ignore[misc]
            for key, condition in conditions.items()
        }

    def _check_sources(self) -> None:
        """Where the pattern names all the fields there are, a field it does not name is a mistake."""
        parse = self.document.parse
        if not isinstance(parse, RegexParse | GrokParse):
            return
        known = Pattern(parse.pattern).names | (SYSLOG_FIELDS if parse.behind == "syslog" else frozenset())
        for index, time in enumerate(self.document.time):
            _check_known(("time", index), (time.source,), known)
        everywhere = known
        for index, rule in enumerate(self.document.rules):
            place = ("rules", index)
            for key in rule.match:
                _check_known((*place, "match", key), (key,), known)
            groups = known.union(*(Pattern(one.regex).names for one in rule.match.values() if isinstance(one, Like)))
            _check_content(place, rule, groups)
            everywhere |= groups
        _check_content((), self.document, everywhere)


class MappingFault(Exception):
    """Something in a mapping cannot be.

    Args:
        place: keys and indexes from the top of the file.
        problem: what is wrong.
    """

    def __init__(self, place: Place, problem: str) -> None:
        self.place, self.problem = place, problem
        super().__init__(place, problem)


def _names(data: Parsed, prefix: str) -> set[str]:
    """Dotted names of all fields, lists looked into."""
    names: set[str] = set()
    for key, value in data.items():
        items = value if isinstance(value, list) else [value]
        inner = {name for item in items if isinstance(item, dict) for name in _names(item, f"{prefix}{key}.")}
        names |= inner or {prefix + key}
    return names


def _guarded(place: Place, make: Callable[[], Made]) -> Made:
    try:
        return make()
    except ValueError as error:
        raise MappingFault(place, str(error)) from error


def _check_content(place: Place, content: Content, known: frozenset[str]) -> None:
    for section, moves in (("map", content.map), ("hmac", content.hmac)):
        for name, move in moves.items():
            _check_known((*place, section, name), move.source, known)


def _check_known(place: Place, sources: tuple[str, ...], known: frozenset[str]) -> None:
    for source in sources:
        if source not in known:
            raise MappingFault(place, f"the pattern has no group {source}; it has {', '.join(sorted(known))}")


def _pseudonymiser(pseudonyms: Pseudonyms, pseudonym: Pseudonym) -> Convert:
    prepare = plain if pseudonym.convert == "text" else account

    known = remembering(lambda value: pseudonyms.under_all_keys(pseudonym.key, pseudonym.kind, value))
    return lambda value: known(prepare(value))
