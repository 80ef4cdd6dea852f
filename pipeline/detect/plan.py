"""What a Sigma detection becomes: plain data that says what to test, without the parser that read it.

A plan is a tree: leaves test one field (or, with field `None`, every value of the event: a *keyword*), `AllOf`, `AnyOf`
and `Not` combine them, `Selection` keeps the name the author gave to a part. Everything is frozen, hashable and travels
as msgpack. Texts are kept as written; case folding belongs to the evaluator.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

How = Literal["equals", "contains", "startswith", "endswith", "like"]
Comparison = Literal["==", "<", "<=", ">", ">="]
TimeUnit = Literal["minute", "hour", "day", "week", "month", "year"]


class _Leaf(msgspec.Struct, frozen=True, array_like=True):
    field: str | None


class Text(_Leaf, frozen=True, array_like=True, tag="text"):
    r"""The value's text. `like` holds wildcards: `*` any characters, `?` one; `\` makes the next one literal."""

    how: How
    text: str
    cased: bool = False


class Number(_Leaf, frozen=True, array_like=True, tag="number"):
    """The value as a number: numbers, and texts that are plain decimal numbers; never booleans."""

    op: Comparison
    number: int | float


class Boolean(_Leaf, frozen=True, array_like=True, tag="boolean"):
    """True or false, or the text `true` or `false`."""

    truth: bool


class Null(_Leaf, frozen=True, array_like=True, tag="null"):
    """The field is absent, null or an empty array."""


class Exists(_Leaf, frozen=True, array_like=True, tag="exists"):
    """The field is there, whatever its value."""


class Regex(_Leaf, frozen=True, array_like=True, tag="regex"):
    """A regular expression found anywhere in the value's text; flags are letters of `ims`."""

    pattern: str
    flags: str = ""


class Cidr(_Leaf, frozen=True, array_like=True, tag="cidr"):
    """An IP address within a network."""

    network: str


class SameAs(_Leaf, frozen=True, array_like=True, tag="fieldref"):
    """The value compared with another field of the same event."""

    how: Literal["equals", "contains", "startswith", "endswith"]
    other: str
    cased: bool = False


class TimePart(_Leaf, frozen=True, array_like=True, tag="time"):
    """A part of a date-time as written, without time-zone arithmetic; weeks are ISO weeks."""

    unit: TimeUnit
    op: Comparison
    number: int


class AllOf(msgspec.Struct, frozen=True, array_like=True, tag="all"):
    """True if every part is; without parts, true."""

    parts: tuple[Expression, ...]


class AnyOf(msgspec.Struct, frozen=True, array_like=True, tag="any"):
    """True if some part is; without parts, false."""

    parts: tuple[Expression, ...]


class Not(msgspec.Struct, frozen=True, array_like=True, tag="not"):
    """True if the part is false. A test of an absent field is false, so its negation is true."""

    part: Expression


class Selection(msgspec.Struct, frozen=True, array_like=True, tag="selection"):
    """A named part of the rule; means what its part means."""

    name: str
    part: Expression


Leaf = Text | Number | Boolean | Null | Exists | Regex | Cidr | SameAs | TimePart
Expression = AllOf | AnyOf | Not | Selection | Leaf
LEAF_TYPES = (Text, Number, Boolean, Null, Exists, Regex, Cidr, SameAs, TimePart)


class LogSource(msgspec.Struct, frozen=True):
    """What a rule is about; an attribute it does not name may be anything. Lower case."""

    product: str | None = None
    category: str | None = None
    service: str | None = None

    def attributes(self) -> tuple[str | None, str | None, str | None]:
        """Product, category and service, in this order everywhere."""
        return self.product, self.category, self.service

    def covers(self, other: LogSource) -> bool:
        """Whether every event of the other log source is one of this one's."""
        pairs = zip(self.attributes(), other.attributes(), strict=True)
        return all(mine is None or mine == theirs for mine, theirs in pairs)

    def __str__(self) -> str:
        named = zip(("product", "category", "service"), self.attributes(), strict=True)
        return ", ".join(f"{attribute}={name}" for attribute, name in named if name is not None)


class DetectionPlan(msgspec.Struct, frozen=True):
    """One detection, ready to be evaluated; its authors' names and licence travel with it."""

    id: str
    title: str
    logsource: LogSource
    expression: Expression
    name: str = ""
    level: str = "medium"
    """Sigma's level; `medium` where the rule states none."""
    status: str = ""
    description: str = ""
    author: str = ""
    license: str = ""
    references: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()
    alerts: bool = False
    """`federation: {alert: true}`: a match is an alert by itself, not only a building block of correlations."""
    filters: tuple[str, ...] = ()
    """Ids of the Sigma filters that are part of the expression."""
    source: str = ""
    """`file:line` without the folder, so that the same rules give the same pack wherever they lie."""


def leaves(expression: Expression) -> Iterator[Leaf]:
    """Every leaf, left to right."""
    match expression:
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from leaves(part)
        case Not(part):
            yield from leaves(part)
        case Selection(_, part):
            yield from leaves(part)
        case _:
            yield expression


def fields_of(expression: Expression) -> frozenset[str]:
    """The fields an expression looks at; keywords look at all and count as none."""
    named = {leaf.field for leaf in leaves(expression)}
    named |= {leaf.other for leaf in leaves(expression) if isinstance(leaf, SameAs)}
    return frozenset(field for field in named if field is not None)


def all_of(parts: tuple[Expression, ...]) -> Expression:
    """`AllOf`, or the only part."""
    return parts[0] if len(parts) == 1 else AllOf(parts)


def any_of(parts: tuple[Expression, ...]) -> Expression:
    """`AnyOf`, or the only part."""
    return parts[0] if len(parts) == 1 else AnyOf(parts)
