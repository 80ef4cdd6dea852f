"""Why an alert fired: each condition of its correlation with the value that met it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from dashboard.language import say
from dashboard.wording import clock, counted, duration, number, safe
from pipeline.correlate.correlation import TEMPORAL, Correlation
from schemas.alert import Alert
from schemas.times import from_rfc3339

_SIGNS: Final = {"gt": ">", "gte": "≥", "lt": "<", "lte": "≤", "eq": "=", "neq": "≠"}


@dataclass(frozen=True, slots=True)
class Reason:
    """One condition that was met."""

    condition: str
    value: str


def reasons(rule: Correlation, alert: Alert, names: Mapping[str, str], zone: ZoneInfo) -> list[Reason]:
    """The conditions of a correlation, each with the alert's own value.

    Args:
        rule: the correlation in force; it may be newer than the alert.
        alert: as it stands in the index.
        names: member id -> institution's name.
        zone: in which times are told.
    """
    body, told = alert.jointsoc, []
    for name, value in body.group_by.items():
        told.append(Reason(say("The same {field} in every hit", field=safe(name, 60)), safe(value, 120)))
    titles = ", ".join(safe(reference.title, 80) for reference in rule.references)
    span = duration(rule.timespan)
    if rule.kind == "temporal_ordered":
        told.append(Reason(say("In this order within {span}", span=span), titles))
    elif rule.kind in TEMPORAL:
        told.append(Reason(say("Together within {span}", span=span), titles))
    else:
        told.append(Reason(say("Counted within {span}", span=span), titles))
    for comparison in () if rule.kind in TEMPORAL else rule.comparisons:
        wanted = f"{_SIGNS[comparison.op]} {comparison.number:,}"
        if rule.kind == "event_count":
            told.append(Reason(say("Hits {wanted}", wanted=wanted), number(body.events, exact=body.alert.exact)))
        else:
            fields = ", ".join(safe(field, 60) for field in rule.values)
            told.append(Reason(say("{kind} of {fields} {wanted}", kind=rule.kind, fields=fields, wanted=wanted),
                               say("met at {time}", time=_at(alert.timestamp, zone))))  # fmt: skip
    if rule.min_organizations > 1:
        told.append(_groups(rule, alert, names, zone))
    return told


def _groups(rule: Correlation, alert: Alert, names: Mapping[str, str], zone: ZoneInfo) -> Reason:
    wanted = counted(rule.min_organizations, "corporate group")
    seen: set[str] = set()
    for member in alert.jointsoc.members:
        seen.add(member.group)
        if len(seen) == rule.min_organizations:
            name = names.get(member.id, safe(member.id, 60))
            reached = say("{n} reached; this many at {time} with {name}", n=alert.jointsoc.groups,
                          time=_at(member.first_seen, zone), name=name)  # fmt: skip
            return Reason(say("At {groups} or more", groups=wanted), reached)
    return Reason(say("At {groups} or more", groups=wanted), str(alert.jointsoc.groups))


def _at(moment: str, zone: ZoneInfo) -> str:
    return clock(from_rfc3339(moment), zone, seconds=True)
