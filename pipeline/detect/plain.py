"""The plain evaluator: a plan becomes a function from an event to true or false, by what each part means and no more.

It is the reference: `explain` is made of it, and every faster way to the same answer is tested against it. Every test
is total: there is no event, however odd, that makes one raise.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache, singledispatch
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, NamedTuple, NoReturn

from pipeline.detect.plan import (
    AllOf,
    AnyOf,
    Boolean,
    Cidr,
    Comparison,
    Exists,
    Not,
    Null,
    Number,
    Regex,
    SameAs,
    Selection,
    Text,
    TimePart,
    TimeUnit,
)
from pipeline.detect.regexes import compile_like, compile_regex
from pipeline.detect.view import EventView, elements_of, number_of
from schemas.event import Scalar

Test = Callable[[EventView], bool]
Texts = tuple[str, ...]
Address = IPv4Address | IPv6Address

COMPARISONS: Final[dict[Comparison, Callable[[int | float, int | float], bool]]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

MAX_ADDRESS_TEXT: Final = 64
MILLISECONDS_FROM: Final = 10**11
"""Epoch numbers from here on are milliseconds: as seconds they would lie beyond the year 5138."""


@singledispatch
def compile_test(expression: object) -> Test:
    """The test of an expression.

    Raises:
        RuleError: a regular expression or network that a damaged plan holds.
    """
    raise TypeError(f"not a part of a plan: {type(expression).__name__}")


@compile_test.register
def _(expression: AllOf) -> Test:
    tests = tuple(map(compile_test, expression.parts))

    def every(view: EventView) -> bool:
        for test in tests:  # noqa: SIM110 - half the time of all() over a generator
            if not test(view):
                return False
        return True

    return every


@compile_test.register
def _(expression: AnyOf) -> Test:
    tests = tuple(map(compile_test, expression.parts))

    def some(view: EventView) -> bool:
        for test in tests:  # noqa: SIM110 - half the time of any() over a generator
            if test(view):
                return True
        return False

    return some


@compile_test.register
def _(expression: Not) -> Test:
    test = compile_test(expression.part)
    return lambda view: not test(view)


@compile_test.register
def _(expression: Selection) -> Test:
    return compile_test(expression.part)


@compile_test.register
def _(leaf: Text) -> Test:
    field, cased = leaf.field, leaf.cased
    wanted = leaf.text if cased else leaf.text.casefold()
    read = EventView.texts if cased else EventView.folded
    match leaf.how:
        case "equals" if field is not None:
            return lambda view: wanted in read(view, field)
        case "equals":
            return lambda view: wanted in read(view, None)
        case "contains":
            return lambda view: any(wanted in text for text in read(view, field))
        case "startswith":
            return lambda view: any(text.startswith(wanted) for text in read(view, field))
        case "endswith":
            return lambda view: any(text.endswith(wanted) for text in read(view, field))
    matches = compile_like(wanted)
    return lambda view: any(map(matches, read(view, field)))


@compile_test.register
def _(leaf: Number) -> Test:
    field, number, compare = _named(leaf.field), leaf.number, COMPARISONS[leaf.op]
    return lambda view: any(compare(found, number) for found in view.numbers(field))


@compile_test.register
def _(leaf: Boolean) -> Test:
    field, truth = _named(leaf.field), leaf.truth
    return lambda view: truth in view.truths(field)


@compile_test.register
def _(leaf: Null) -> Test:
    field = _named(leaf.field)
    return lambda view: view.is_null(field)


@compile_test.register
def _(leaf: Exists) -> Test:
    field = _named(leaf.field)
    return lambda view: view.exists(field)


@compile_test.register
def _(leaf: Regex) -> Test:
    field, search = leaf.field, compile_regex(leaf.pattern, leaf.flags, "rule pack")
    return lambda view: any(map(search, view.texts(field)))


@compile_test.register
def _(leaf: Cidr) -> Test:
    field, network = leaf.field, Network.of(leaf.network)

    def within(view: EventView) -> bool:
        return any(network.holds(address) for text in view.texts(field) for address in addresses_in(text))

    return within


@compile_test.register
def _(leaf: SameAs) -> Test:
    field, other = _named(leaf.field), leaf.other
    read = EventView.texts if leaf.cased else EventView.folded
    related = _RELATED[leaf.how]
    return lambda view: related(read(view, field), read(view, other))


def _some_equal(mine: Texts, theirs: Texts) -> bool:
    return not set(mine).isdisjoint(theirs)


def _some_contains(mine: Texts, theirs: Texts) -> bool:
    if not mine:
        return False
    page = "\n".join(mine)
    return any(part in page and ("\n" not in part or any(part in text for text in mine)) for part in theirs)


def _some_starts(mine: Texts, theirs: Texts) -> bool:
    wanted, lengths = set(theirs), {len(part) for part in theirs}
    return any(text[:length] in wanted for text in mine for length in lengths if length <= len(text))


def _some_ends(mine: Texts, theirs: Texts) -> bool:
    wanted, lengths = set(theirs), {len(part) for part in theirs}
    return any(text[len(text) - length :] in wanted for text in mine for length in lengths if length <= len(text))


# Of any two elements; without looking at every pair, which a minute would not suffice for in an event of two arrays.
_RELATED: Final[dict[str, Callable[[Texts, Texts], bool]]] = {
    "equals": _some_equal,
    "contains": _some_contains,
    "startswith": _some_starts,
    "endswith": _some_ends,
}


@compile_test.register
def _(leaf: TimePart) -> Test:
    field, unit, number, compare = _named(leaf.field), leaf.unit, leaf.number, COMPARISONS[leaf.op]

    def falls(view: EventView) -> bool:
        moments = (moment_of(element) for element in elements_of(view.fields.get(field)))
        return any(compare(_part(moment, unit), number) for moment in moments if moment is not None)

    return falls


def _named(field: str | None) -> str:
    return field if field is not None else _nameless()


def _nameless() -> NoReturn:
    raise TypeError("this test needs a field")


class Network(NamedTuple):
    """A network, as numbers."""

    version: int
    mask: int
    base: int

    @classmethod
    def of(cls, text: str) -> Network:
        """The network that a text is: `10.0.0.0/8`."""
        network = ip_network(text)
        return cls(network.version, int(network.netmask), int(network.network_address))

    def holds(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether the address is within the network."""
        return address.version == self.version and int(address) & self.mask == self.base


def addresses_in(text: str) -> tuple[IPv4Address | IPv6Address, ...]:
    """As `addresses_of`; a text too long to be an address has none."""
    return addresses_of(text) if len(text) <= MAX_ADDRESS_TEXT else ()


@lru_cache(maxsize=65_536)
def addresses_of(text: str) -> tuple[Address, ...]:
    """The IP address a text is, if it is one; `::ffff:10.0.0.1` is that and the IPv4 address 10.0.0.1."""
    try:
        address = ip_address(text)
    except ValueError:
        return ()
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (address,) if mapped is None else (address, mapped)


def moment_of(scalar: Scalar) -> datetime | None:
    """The date-time a value is: ISO 8601 text as written, or seconds or milliseconds since 1970 in UTC.

    A text of digits alone is such a number too, unless it is as short as `20261127`.
    """
    try:
        if isinstance(scalar, str):
            number = number_of(scalar) if len(scalar) > len("20261127") else None
            if number is None:
                return datetime.fromisoformat(scalar) if len(scalar) <= MAX_ADDRESS_TEXT else None
            scalar = number
        if not isinstance(scalar, int | float) or isinstance(scalar, bool):
            return None
        seconds = scalar / 1000 if abs(scalar) >= MILLISECONDS_FROM else scalar
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _part(moment: datetime, unit: TimeUnit) -> int:
    if unit == "week":
        return moment.isocalendar().week
    parts: dict[str, int] = {
        "minute": moment.minute,
        "hour": moment.hour,
        "day": moment.day,
        "month": moment.month,
        "year": moment.year,
    }
    return parts[unit]
