"""A reading of the ES|QL that pySigma writes, by the language's documented rules: null, patterns, one value, types."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import Any

from schemas.event import Fields
from schemas.event_index import kind_of

Truth = bool | None
"""None is null."""
_SIGN = re.compile(r'"(?:\\.|[^"\\])*"|`[^`]*`|==|>=|<=|[<>(),]|[^\s()",=<>`]+', re.DOTALL)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda one, other: one == other,
    ">=": lambda one, other: one >= other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    "<": lambda one, other: one < other,
}


def finds(query: str, fields: Fields) -> bool:
    """Whether `from ... | where <condition>` keeps an event."""
    reader = _Reader(_SIGN.findall(query.partition(" | where ")[2]), fields)
    found = reader.either()
    assert reader.rest() == [], query
    return found is True


class _Reader:
    def __init__(self, signs: list[str], fields: Fields) -> None:
        self._signs, self._at, self._fields = signs, 0, fields

    def rest(self) -> list[str]:
        return self._signs[self._at :]

    def either(self) -> Truth:
        found = [self._all()]
        while self._have("or"):
            found.append(self._all())
        return True if True in found else None if None in found else False

    def _all(self) -> Truth:
        found = [self._negated()]
        while self._have("and"):
            found.append(self._negated())
        return False if False in found else None if None in found else True

    def _negated(self) -> Truth:
        if self._have("not"):
            inner = self._negated()
            return None if inner is None else not inner
        if self._have("("):
            inner = self.either()
            self._want(")")
            return inner
        return self._test(self._next())

    def _test(self, name: str) -> Truth:
        if name == "coalesce":
            self._want("(")
            inner = self.either()
            self._want(",", "false", ")")
            return bool(inner)
        if name in ("starts_with", "ends_with", "cidr_match"):
            self._want("(")
            value = self._value(self._next())
            self._want(",")
            wanted = self._literal()
            self._want(")")
            if name == "cidr_match":
                return None if value is None else ip_address(value) in ip_network(wanted)
            return None if value is None else value.startswith(wanted) if name[0] == "s" else value.endswith(wanted)
        return self._comparison(name.strip("`"), self._next())

    def _comparison(self, field: str, operator: str) -> Truth:
        value = self._value(field)
        if operator == "is":
            negated = self._have("not")
            self._want("null")
            return (value is None) is not negated
        if operator == "in":
            self._want("(")
            choices = [self._literal(field)]
            while self._have(","):
                choices.append(self._literal(field))
            self._want(")")
            return None if value is None else value in choices
        wanted = self._literal(field)
        if value is None:
            return None
        if operator == "like":
            return fnmatchcase(value, _glob(wanted))
        if operator == "rlike":
            return re.fullmatch(wanted, value, re.DOTALL) is not None
        return _COMPARE[operator](value, wanted)

    def _value(self, field: str) -> Any:
        """As the index holds it; a field with several values is null."""
        value = self._fields.get(field)
        if isinstance(value, tuple):
            value = value[0] if len(value) == 1 else None
        if value is None or kind_of(field) == "long":
            return value
        return str(value).lower()

    def _literal(self, field: str = "") -> Any:
        sign = self._next()
        is_text = sign.startswith('"')
        # A keyword beside a number, or the other way round, is refused by the language.
        assert not field or is_text is (kind_of(field) != "long"), (field, sign)
        return re.sub(r"\\(.)", r"\1", sign[1:-1], flags=re.DOTALL) if is_text else int(sign)

    def _have(self, sign: str) -> bool:
        if self._signs[self._at : self._at + 1] != [sign]:
            return False
        self._at += 1
        return True

    def _want(self, *signs: str) -> None:
        for sign in signs:
            assert self._have(sign), (sign, self.rest()[:5])

    def _next(self) -> str:
        self._at += 1
        return self._signs[self._at - 1]


def _glob(pattern: str) -> str:
    """A pattern of `like` for fnmatch: a backslash takes the next sign as it is."""
    signs = re.findall(r"\\.|.", pattern, re.DOTALL)
    return "".join(sign if sign in "*?" else f"[{sign[-1]}]" if sign[-1] in "*?[" else sign[-1] for sign in signs)
