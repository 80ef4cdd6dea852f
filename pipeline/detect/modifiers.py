"""pySigma's value modifiers, mended where version 1.5 departs from the specification.

Each class here replaces one of pySigma's and says why. Case sensitivity is not theirs to carry: the lowering looks at
whether `cased` stands anywhere in the chain.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any, Final

from sigma.exceptions import SigmaValueError
from sigma.modifiers import (
    SigmaAllModifier,
    SigmaBase64Modifier,
    SigmaBase64OffsetModifier,
    SigmaCaseSensitiveModifier,
    SigmaCIDRModifier,
    SigmaContainsModifier,
    SigmaEndswithModifier,
    SigmaFieldReferenceModifier,
    SigmaModifier,
    SigmaNegateModifier,
    SigmaRegularExpressionModifier,
    SigmaStartswithModifier,
    SigmaUTF16BEModifier,
    SigmaUTF16Modifier,
    SigmaWideModifier,
    SigmaWindowsDashModifier,
    modifier_mapping,
)
from sigma.types import (
    Placeholder,
    SigmaCIDRExpression,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
)

MAX_DASHES: Final = 5
"""`windash` tries five characters in the place of each dash, so five dashes are 3,125 values."""

MAX_ALTERNATIVES: Final = 50_000
"""What `windash` and `base64offset` may make of one list of values; more would take seconds to compile."""
MAX_ENCODED: Final = 1 << 20
"""Bytes of an encoded value: a chain of encodings grows it exponentially."""

Matchable = SigmaString | SigmaRegularExpression | SigmaFieldReference


class ByteString(SigmaString):
    """A value after `wide` or `utf16*`: every character of its parts is one byte."""


class Wide(SigmaWideModifier):
    """`wide`, `utf16le`: pySigma refuses non-ASCII text and does not know the name `utf16le`."""

    def modify(self, val: SigmaString) -> SigmaString:
        """Two bytes for each code unit, low byte first."""
        return _encoded(val, "utf-16-le")


class WideBigEndian(SigmaUTF16BEModifier):
    """`utf16be`: as `Wide`."""

    def modify(self, val: SigmaString) -> SigmaString:
        """Two bytes for each code unit, high byte first."""
        return _encoded(val, "utf-16-be")


class WideWithMark(SigmaUTF16Modifier):
    """`utf16`: pySigma's byte order mark becomes three UTF-8 bytes once it is encoded in Base64."""

    def modify(self, val: SigmaString) -> SigmaString:
        """The mark FF FE, then two bytes for each code unit, low byte first."""
        encoded = _encoded(val, "utf-16-le")
        encoded.s = ["\xff\xfe", *encoded.s]
        return encoded._merge_strs()


class Cased(SigmaCaseSensitiveModifier):
    """`cased`: pySigma refuses it after `re` and `fieldref`."""

    def modify(self, val: Matchable) -> Matchable:  # type: ignore[override]
        """A text as pySigma's type, which other backends read; the lowering looks at the chain instead."""
        return super().modify(val) if isinstance(val, SigmaString) else val


class Cidr(SigmaCIDRModifier):
    """`cidr`: pySigma refuses it behind any other modifier, `expand` and `neq` too."""

    def modify(self, val: SigmaString) -> SigmaCIDRExpression:
        """The network that the text is."""
        return SigmaCIDRExpression(str(val))


class FieldReference(SigmaFieldReferenceModifier):
    """`fieldref`: pySigma takes `startswith` and the like behind it only."""

    def modify(self, val: SigmaString) -> SigmaFieldReference:
        """The other field; the wildcards that modifiers before added are how it is compared."""
        before = set(self.applied_modifiers)
        starts, ends = not before.isdisjoint({StartsWith, Contains}), not before.isdisjoint({EndsWith, Contains})
        name = SigmaString()
        name.s = val.s[ends : len(val.s) - starts]
        reference = super().modify(name)
        reference.starts_with, reference.ends_with = starts, ends
        return reference


class Pattern(SigmaRegularExpression):
    r"""A regular expression that RE2 judges alone: pySigma has Python compile it, which knows no `\p{L}`."""

    def compile(self) -> None:
        """Nothing; the lowering compiles."""


class RegularExpression(SigmaRegularExpressionModifier):
    """`re`: pySigma refuses it after modifiers that leave the value alone, such as `neq`."""

    def modify(self, val: SigmaString) -> SigmaRegularExpression:
        """The value as it is written, as a pattern."""
        if not set(self.applied_modifiers) <= {Cased, SigmaAllModifier, SigmaNegateModifier}:
            raise SigmaValueError("re takes the value as it is written, before other modifiers", source=self.source)
        return Pattern(val.original)


class Base64(SigmaBase64Modifier):
    r"""`base64`: pySigma encodes the escape of `\*` too, and text instead of bytes after `utf16`."""

    def modify(self, val: SigmaString) -> SigmaString:
        """The value's bytes in Base64."""
        return SigmaString.from_str(b64encode(_bytes(val)).decode())


class _Multiplying:
    """Counts the alternatives a modifier makes of all values of an item."""

    source: Any
    _made = 0

    def count(self, alternatives: int) -> None:
        self._made += alternatives
        if self._made > MAX_ALTERNATIVES:
            raise SigmaValueError(f"too many alternatives; at most {MAX_ALTERNATIVES:,}", source=self.source)


class Base64Offset(_Multiplying, SigmaBase64OffsetModifier):
    """`base64offset`: pySigma counts characters where bytes decide the alignment."""

    def modify(self, val: SigmaString) -> SigmaExpansion:
        """The parts of the Base64 text that do not depend on what stands before and after, for each alignment."""
        self.count(3)
        raw = _bytes(val)
        found = [
            b64encode(b" " * before + raw)[self.start_offsets[before] : self.end_offsets[(len(raw) + before) % 3]]
            for before in range(3)
        ]
        if not all(found):
            raise SigmaValueError("base64offset needs at least two bytes", source=self.source)
        return SigmaExpansion([SigmaString.from_str(text.decode()) for text in found])


class WindowsDash(_Multiplying, SigmaWindowsDashModifier):
    """`windash`: pySigma makes five to the power of the number of dashes, however many there are."""

    def modify(self, val: SigmaString) -> SigmaExpansion:
        """Every way to write the dashes."""
        dashes = sum(len(re.findall(r"\B[-/]\b", part)) for part in val.s if isinstance(part, str))
        if dashes > MAX_DASHES:
            raise SigmaValueError(f"windash on {dashes} dashes; at most {MAX_DASHES}", source=self.source)
        self.count(5**dashes)
        return super().modify(val)


class Contains(SigmaContainsModifier):
    """`contains` after `re`: a regular expression is searched anyway; pySigma's rewriting fails on an empty one."""

    def modify(self, val: Matchable) -> Matchable:
        """Wildcards on both sides."""
        return val if isinstance(val, SigmaRegularExpression) else super().modify(val)


class StartsWith(SigmaStartswithModifier):
    """`startswith` after `re`: pySigma only appends `.*`, which a search ignores."""

    def modify(self, val: Matchable) -> Matchable:
        """A wildcard behind, or an anchor in front of a regular expression."""
        return _anchored(val, r"\A(?:{})") if isinstance(val, SigmaRegularExpression) else super().modify(val)


class EndsWith(SigmaEndswithModifier):
    """`endswith` after `re`: as `StartsWith`."""

    def modify(self, val: Matchable) -> Matchable:
        """A wildcard in front, or an anchor behind a regular expression."""
        return _anchored(val, r"(?:{})(?-m:$)") if isinstance(val, SigmaRegularExpression) else super().modify(val)


def _whole(modifier: Any) -> Any:
    class WholeTimePart(modifier):  # type: ignore[misc]
        """`minute` to `year`: pySigma cuts the fraction off."""

        def modify(self, val: SigmaNumber) -> SigmaTimestampPart:
            if isinstance(val.number, float):
                raise SigmaValueError(f"a part of a time is a whole number, not {val.number}", source=self.source)
            return SigmaTimestampPart(self.time_part_unit, val.number)

    return WholeTimePart


MODIFIERS: Final[dict[str, type[SigmaModifier[Any, Any]]]] = {
    **modifier_mapping,
    "base64": Base64,
    "base64offset": Base64Offset,
    "cased": Cased,
    "cidr": Cidr,
    "contains": Contains,
    "endswith": EndsWith,
    "fieldref": FieldReference,
    "re": RegularExpression,
    "startswith": StartsWith,
    "utf16": WideWithMark,
    "utf16be": WideBigEndian,
    "utf16le": Wide,
    "wide": Wide,
    "windash": WindowsDash,
    **{name: _whole(modifier_mapping[name]) for name in ("minute", "hour", "day", "week", "month", "year")},
}

ENCODING: Final = frozenset((Base64, Base64Offset, Wide, WideBigEndian, WideWithMark))


def _encoded(value: SigmaString, encoding: str) -> ByteString:
    _check_length(2 * len(value))
    encoded = ByteString()
    encoded.s = [part.encode(encoding).decode("latin-1") if isinstance(part, str) else part for part in value.s]
    return encoded


def _bytes(value: SigmaString) -> bytes:
    if any(not isinstance(part, str) for part in value.s):
        what = "placeholders" if any(isinstance(part, Placeholder) for part in value.s) else "wildcards"
        raise SigmaValueError(f"a value with {what} cannot be encoded in Base64")
    _check_length(len(value))
    text = "".join(part for part in value.s if isinstance(part, str))
    return text.encode("latin-1" if isinstance(value, ByteString) else "utf-8")


def _check_length(length: int) -> None:
    if length > MAX_ENCODED:
        raise SigmaValueError(f"a value too long to encode; at most {MAX_ENCODED:,} bytes")


def _anchored(value: SigmaRegularExpression, frame: str) -> SigmaRegularExpression:
    return Pattern(frame.format(str(value.regexp)), value.flags)
