"""The `federation:` block of a rule: what a joint SOC asks beyond Sigma.

federation:
  min_organizations: 2          distinct corporate groups, at the same instant
  suppress: 24h                 instants no further apart belong to one alert; the rule's timespan if left out
  settle_after: 5m              how late an event may be for this rule, and how long what must wait waits
  weight: jointsoc.rollup.count field with the number of events in a rolled-up event
  nonnegative: true             value_sum only: values are never negative, so it may alert on arrival
  share: {k: 3, tlp: amber}     under which conditions the finding may be shared
  alert: true                   alert by itself, though another correlation refers to it
  enabled: false                checked and tested, but left out of every pack; the description says why
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

import msgspec

from pipeline.correlate.correlation import Kind, Share
from pipeline.correlate.timespan import parse_timespan
from schemas.alert import Tlp
from schemas.errors import RuleError
from schemas.member import MemberRegistry
from schemas.rule_document import RuleDocument
from schemas.suggest import did_you_mean

KEYS: Final = ("min_organizations", "suppress", "settle_after", "weight", "nonnegative", "share", "alert", "enabled")
THINNING_PARTS: Final = 16
"""`suppress` is at least this part of the timespan: hits of a flooded group are thinned in buckets of that width."""


class TooFewGroups(RuleError):
    """The correlation is sound, but the federation is too small for it so far."""


class Federation(msgspec.Struct, frozen=True):
    """The block with its defaults filled in; spans in milliseconds."""

    suppress: int
    min_organizations: int = 1
    settle_after: int | None = None
    weight: str | None = None
    nonnegative: bool = False
    share: Share | None = None
    alert: bool | None = None
    """None where the rule does not say."""


def read_federation(document: RuleDocument, kind: Kind, timespan: int, registry: MemberRegistry) -> Federation:
    """Read the block; a rule without one gets the defaults.

    Raises:
        RuleError: `file:line`: a key that is unknown, or a value that cannot be.
    """
    block = document.data.get("federation", {})
    if not isinstance(block, dict):
        raise RuleError(document.where("federation"), "not a block", got=block, expected="keys and values")
    is_enabled(document)
    for key in block:
        if key not in KEYS:
            where, hint = document.where("federation", key), did_you_mean(key, KEYS)
            raise RuleError(where, "unknown key in `federation`", got=key, expected=", ".join(KEYS), hint=hint)
    return Federation(
        suppress=_suppress(document, block, timespan),
        min_organizations=_min_organizations(document, block, registry),
        settle_after=_settle_after(document, block),
        weight=_weight(document, block),
        nonnegative=_nonnegative(document, block, kind),
        alert=_alert(document, block),
        share=_share(document, block),
    )


def _suppress(document: RuleDocument, block: Mapping[str, Any], timespan: int) -> int:
    if "suppress" not in block:
        return timespan
    where = document.where("federation", "suppress")
    suppress = parse_timespan(block["suppress"], where, "suppress")
    if suppress * THINNING_PARTS < timespan:
        raise RuleError(
            where,
            "suppress is too short",
            got=block["suppress"],
            expected=f"at least 1/{THINNING_PARTS} of the timespan",
        )
    return suppress


def _min_organizations(document: RuleDocument, block: Mapping[str, Any], registry: MemberRegistry) -> int:
    least = block.get("min_organizations", 1)
    where = document.where("federation", "min_organizations")
    if type(least) is not int or least < 1:
        raise RuleError(where, "not a number of corporate groups", got=least, expected="a whole number from 1")
    # Without a registry (a rule tried on a file) every organization is its own group, and there may be any number.
    groups = len(set(registry.groups().values()))
    if groups and least > groups:
        raise TooFewGroups(
            where,
            "more corporate groups than there are members",
            got=least,
            expected=f"at most {groups}",
            hint="`--skip-unsupported` leaves the rule out until there are as many",
        )
    return least


def _settle_after(document: RuleDocument, block: Mapping[str, Any]) -> int | None:
    if "settle_after" not in block:
        return None
    return parse_timespan(block["settle_after"], document.where("federation", "settle_after"), "settle_after")


def _weight(document: RuleDocument, block: Mapping[str, Any]) -> str | None:
    weight = block.get("weight")
    if weight is not None and (not isinstance(weight, str) or not weight):
        raise RuleError(document.where("federation", "weight"), "not a field name", got=weight)
    return weight


def _nonnegative(document: RuleDocument, block: Mapping[str, Any], kind: Kind) -> bool:
    nonnegative = block.get("nonnegative", False)
    where = document.where("federation", "nonnegative")
    if type(nonnegative) is not bool:
        raise RuleError(where, "not yes or no", got=nonnegative, expected="true or false")
    if nonnegative and kind != "value_sum":
        raise RuleError(where, f"`nonnegative` means nothing for {kind}", expected="value_sum")
    return nonnegative


def is_enabled(document: RuleDocument) -> bool:
    """Whether a correlation belongs into packs: `federation: {enabled: false}` keeps it out.

    Raises:
        RuleError: neither yes nor no.
    """
    block = document.data.get("federation")
    enabled = block.get("enabled", True) if isinstance(block, dict) else True
    if type(enabled) is not bool:
        where = document.where("federation", "enabled")
        raise RuleError(where, "not yes or no", got=enabled, expected="true or false")
    return enabled


def _alert(document: RuleDocument, block: Mapping[str, Any]) -> bool | None:
    alert = block.get("alert")
    if alert is not None and type(alert) is not bool:
        raise RuleError(document.where("federation", "alert"), "not yes or no", got=alert, expected="true or false")
    return alert


def _share(document: RuleDocument, block: Mapping[str, Any]) -> Share | None:
    share = block.get("share")
    if share is None:
        return None
    where = document.where("federation", "share")
    if not isinstance(share, dict) or share.keys() != {"k", "tlp"}:
        raise RuleError(where, "not a sharing policy", got=share, expected="`{k: 3, tlp: amber}`")
    if type(share["k"]) is not int or share["k"] < 2:
        where = document.where("federation", "share", "k")
        raise RuleError(where, "k would single out an institution", got=share["k"], expected="a whole number from 2")
    if share["tlp"] not in get_args(Tlp):
        where = document.where("federation", "share", "tlp")
        raise RuleError(where, "not a TLP label", got=share["tlp"], expected=", ".join(get_args(Tlp)))
    return Share(share["k"], share["tlp"])
