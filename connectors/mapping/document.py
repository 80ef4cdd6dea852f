"""The mapping file: its models. `docs/forwarder.md` shows one; `connectors/mappings/` holds those that ship."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from connectors.mapping.convert import CONVERSIONS, ConversionName
from connectors.mapping.grok import expand_grok
from connectors.mapping.moments import FormatName
from connectors.pseudonyms import KeyName

MAX_PATTERN: Final = 4096

FieldName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[A-Za-z0-9_@-]+)*$", max_length=200)]
"""An ECS field, dotted."""
Scalar = str | int | float | bool
Constant = Scalar | list[Scalar]
Key = Annotated[str, StringConstraints(min_length=1, max_length=200)]
"""A field of the parsed line; in JSON a path."""

OWN_FIELDS: Final = ("event.id", "ecs.version", "organization.id", "jointsoc.key_epoch", "jointsoc.truncated")
"""Fields that the forwarder or the centre sets."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Parse(_Strict):
    behind: Literal["syslog"] | None = Field(
        default=None, description="a syslog header stands before what is parsed; its parts are `syslog.*`"
    )


class RegexParse(_Parse):
    """The line matches a pattern; its named groups are the fields."""

    kind: Literal["regex"]
    pattern: str = Field(max_length=MAX_PATTERN)


class GrokParse(_Parse):
    """The line matches a pattern in which `%{NAME:field}` stands for a regular expression (`grok.py`)."""

    kind: Literal["grok"]
    pattern: str = Field(max_length=MAX_PATTERN)

    @field_validator("pattern")
    @classmethod
    def _expanded(cls, value: str) -> str:
        return expand_grok(value)


class SyslogParse(_Strict):
    """A syslog message, RFC 3164 or 5424: `syslog.{time,host,program,pid}`... and `message`."""

    kind: Literal["syslog"]


class CsvParse(_Parse):
    """Values in the order of `fields`; a line that holds the names themselves is dropped."""

    kind: Literal["csv"]
    fields: tuple[Key, ...] = Field(min_length=1, max_length=1000)
    separator: Annotated[str, StringConstraints(min_length=1, max_length=1)] = ","


class W3cParse(_Parse):
    """W3C extended log format, as IIS writes it; `w3c.time` joins `date` and `time`. Directives are dropped."""

    kind: Literal["w3c"]
    fields: tuple[Key, ...] = Field(min_length=1, max_length=1000, description="as the log's `#Fields:` names them")


class LeefParse(_Strict):
    """IBM's LEEF 1.0 and 2.0, behind a syslog header or not. Header fields are named `leef.vendor`..."""

    kind: Literal["leef"]


class KeyValueParse(_Parse):
    """`key=value key="quoted value"`."""

    kind: Literal["kv"]
    separator: Annotated[str, StringConstraints(min_length=1, max_length=1)] = " "
    assign: Annotated[str, StringConstraints(min_length=1, max_length=1)] = "="


class JsonParse(_Parse):
    """One JSON object; fields are paths into it."""

    kind: Literal["json"]


class CefParse(_Strict):
    """ArcSight CEF, behind a syslog header or not. Header fields are named `cef.vendor`, `cef.signature`..."""

    kind: Literal["cef"]


Parse = Annotated[
    RegexParse | GrokParse | SyslogParse | KeyValueParse | CsvParse | W3cParse | JsonParse | CefParse | LeefParse,
    Field(discriminator="kind"),
]


def _one_or_several(value: Any) -> Any:
    """`user` and `[user, account]` are short for `{from: ...}`."""
    return {"from": value} if isinstance(value, str | list) else value


class Move(_Strict):
    """Where a field's value comes from, and what it is made into."""

    model_config = ConfigDict(populate_by_name=True)

    source: tuple[Key, ...] = Field(alias="from", min_length=1, description="the first that has a value")
    convert: ConversionName = Field(default="text", alias="as")
    opt_in: bool = Field(default=False, description="leaves only if the input's `include` names it")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return _one_or_several(value)

    @field_validator("source", mode="before")
    @classmethod
    def _one_is_enough(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("convert", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if value not in CONVERSIONS:
            raise ValueError(f"no such conversion; expected one of {', '.join(CONVERSIONS)}")
        return value


class Pseudonym(_Strict):
    """An identifier that leaves as a keyed hash only."""

    model_config = ConfigDict(populate_by_name=True)

    source: tuple[Key, ...] = Field(alias="from", min_length=1)
    convert: Literal["text", "account"] = Field(default="text", alias="as", description="before it is hashed")
    key: KeyName
    kind: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,20}$")]

    @field_validator("source", mode="before")
    @classmethod
    def _one_is_enough(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class Time(_Strict):
    """A field that says when it happened."""

    model_config = ConfigDict(populate_by_name=True)

    source: Key = Field(alias="from")
    format: FormatName = Field(alias="as")


class Like(_Strict):
    """The field matches a pattern somewhere; its named groups become fields."""

    regex: str = Field(max_length=MAX_PATTERN)


Condition = Like | list[Scalar] | Scalar


class Content(_Strict):
    """What becomes of a line's fields."""

    set: dict[FieldName, Constant] = {}
    map: dict[FieldName, Move] = {}
    hmac: dict[FieldName, Pseudonym] = {}

    @model_validator(mode="after")
    def _fields_are_set_once(self) -> Content:
        names = [*self.set, *self.map, *self.hmac]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"set in two ways: {', '.join(repeated)}")
        own = sorted(name for name in names if name in OWN_FIELDS or name.startswith("related."))
        if own:
            raise ValueError(f"not for a mapping to set: {', '.join(own)}")
        return self


class Rule(Content):
    """What to do with the lines that match; the first rule that matches decides."""

    name: str = Field(min_length=1, max_length=100)
    match: dict[Key, Condition] = Field(default={}, description="all must hold; empty: every line")
    drop: str | None = Field(default=None, min_length=1, description="why such a line is not sent")

    @model_validator(mode="after")
    def _dropped_lines_have_no_fields(self) -> Rule:
        if self.drop is not None and (self.set or self.map or self.hmac):
            raise ValueError("a rule either drops or sets fields")
        return self


class Sample(_Strict):
    """A raw line and what must become of it: exactly one of `event`, `drop` and `dead`."""

    line: str
    event: dict[str, Constant] | None = Field(
        default=None,
        description="all fields that leave; a pseudonym is written `hmac(key, kind, value)`",
    )
    drop: str | None = None
    dead: str | None = None

    @model_validator(mode="after")
    def _one_outcome(self) -> Sample:
        if sum(one is not None for one in (self.event, self.drop, self.dead)) != 1:
            raise ValueError("a sample needs one of event, drop and dead")
        return self


class MappingDocument(Content):
    """One mapping file."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{2,60}$")]
    version: int = Field(ge=1)
    description: str = Field(min_length=1)
    parse: Parse
    absent: tuple[str, ...] = Field(default=("", "-"), description="texts that mean: no value")
    time: tuple[Time, ...] = Field(min_length=1, description="the first that has a value")
    rules: tuple[Rule, ...] = Field(min_length=1)
    samples: tuple[Sample, ...] = Field(min_length=1)

    @field_validator("time", mode="before")
    @classmethod
    def _one_is_enough(cls, value: Any) -> Any:
        return [value] if isinstance(value, dict) else value
